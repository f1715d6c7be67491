/* Einsum, of any number of operands from left to right.
 *
 * Every axis has a letter; "..." stands for axes counted from the right, which get letters of
 * their own. Axes of one operand with the same letter become its diagonal, letters that
 * nobody wants any more are summed, two operands meet in a dot.
 */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

enum { LETTERS = 128 };

/* A tensor and the letter of each axis. */
typedef struct term {
    tn_val v;
    int rank;
    unsigned char letters[2 * TN_MAX_RANK];
} term;

static int find_letter(const term *t, unsigned char letter) {
    for (int i = 0; i < t->rank; i++)
        if (t->letters[i] == letter) return i;
    return -1;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Letters of a term, from text up to `end`. The k-th axis from the right under "..." has the letter k. */
static bool parse_term(conversion *c, const char *text, const char *end, int rank, term *t) {
    int n_letters = 0, n_dots = 0;
    for (const char *p = text; p < end; p++) n_letters += is_letter(*p), n_dots += *p == '.';
    int hidden = rank - n_letters;
    if ((n_dots != 0 && n_dots != 3) || hidden < 0 || (n_dots == 0 && hidden != 0) || rank > TN_MAX_RANK)
        return node_error(c, TN_ERR_SHAPE, "'%.*s' does not fit a tensor of rank %d", (int)(end - text), text, rank);
    t->rank = 0;
    for (const char *p = text; p < end; p++) {
        if (*p == '.') {
            for (int k = hidden; k > 0; k--) t->letters[t->rank++] = (unsigned char)k;
            p += 2;
        } else if (is_letter(*p)) {
            t->letters[t->rank++] = (unsigned char)*p;
        } else if (*p != ' ') {
            return node_error(c, TN_ERR_PARSE, "the equation has the character '%c'", *p);
        }
    }
    return true;
}

/* Two axes of the same letter become one: what is off the diagonal is set to 0 and summed away. */
static void take_diagonals(conversion *c, term *t) {
    for (int i = 0; i < t->rank; i++)
        for (int k = i + 1; k < t->rank; k++) {
            if (t->letters[i] != t->letters[k] || !tn_is_valid(t->v)) continue;
            tn_type type = tn_type_of(t->v);
            tn_val on =
                tn_equal(iota_dims(c, TN_I64, type.rank, type.dims, i), iota_dims(c, TN_I64, type.rank, type.dims, k));
            t->v = tn_reduce("sum", tn_select(on, t->v, scalar_like(t->v, 0)), TN_INTS(k), false);
            memmove(t->letters + k, t->letters + k + 1, (size_t)(t->rank - k - 1));
            t->rank--;
            k--;
        }
}

/* Sums the axes whose letters are not wanted. */
static void sum_unwanted(term *t, const bool *wanted) {
    int64_t axes[TN_MAX_RANK];
    int n = 0, rank = 0;
    for (int i = 0; i < t->rank; i++) {
        if (wanted[t->letters[i]])
            t->letters[rank++] = t->letters[i];
        else
            axes[n++] = i;
    }
    t->rank = rank;
    if (n > 0) t->v = tn_reduce("sum", t->v, ints_of(axes, n), false);
}

/* Axes of extent 1 that stand against a longer one of the other operand vanish. */
static void drop_ones(conversion *c, term *t, const term *other) {
    for (int i = t->rank - 1; i >= 0; i--) {
        int k = find_letter(other, t->letters[i]);
        if (k < 0 || !tn_is_valid(t->v) || !tn_is_valid(other->v)) continue;
        bool is_one = dim_is_value(node_dims(c), tn_type_of(t->v).dims[i], 1);
        if (!is_one || dim_is_value(node_dims(c), tn_type_of(other->v).dims[k], 1)) continue;
        t->v = tn_squeeze(t->v, TN_INTS(i));
        memmove(t->letters + i, t->letters + i + 1, (size_t)(t->rank - i - 1));
        t->rank--;
    }
}

static void multiply(conversion *c, term *a, term *b, const bool *wanted) {
    int64_t batch[2][TN_MAX_RANK], contract[2][TN_MAX_RANK];
    int n_batch = 0, n_contract = 0;
    term result = {0};
    drop_ones(c, a, b);
    drop_ones(c, b, a);
    for (int i = 0; i < a->rank; i++) {
        int k = find_letter(b, a->letters[i]);
        if (k < 0) continue;
        bool is_kept = wanted[a->letters[i]];
        int at = is_kept ? n_batch++ : n_contract++;
        (is_kept ? batch : contract)[0][at] = i;
        (is_kept ? batch : contract)[1][at] = k;
        if (is_kept) result.letters[result.rank++] = a->letters[i];
    }
    for (int i = 0; i < a->rank; i++)
        if (find_letter(b, a->letters[i]) < 0) result.letters[result.rank++] = a->letters[i];
    for (int i = 0; i < b->rank; i++)
        if (find_letter(a, b->letters[i]) < 0) result.letters[result.rank++] = b->letters[i];
    if (result.rank > TN_MAX_RANK) {
        node_error(c, TN_ERR_LIMIT, "a product would have %d axes, the most is %d", result.rank, TN_MAX_RANK);
        return;
    }
    result.v = tn_dot(a->v, b->v, ints_of(batch[0], n_batch), ints_of(batch[1], n_batch),
                      ints_of(contract[0], n_contract), ints_of(contract[1], n_contract));
    *a = result;
}

/* The letters of the result: after "->", or those that stand once, in the order of the alphabet. */
static bool parse_result(conversion *c, const char *arrow, const int *seen, int hidden, term *result) {
    result->rank = 0;
    if (!arrow) {
        for (int k = hidden; k > 0; k--) result->letters[result->rank++] = (unsigned char)k;
        for (int k = 'A'; k < LETTERS && result->rank < TN_MAX_RANK; k++)
            if (seen[k] == 1) result->letters[result->rank++] = (unsigned char)k;
        return true;
    }
    const char *text = arrow + 2, *end = text + strlen(text);
    int n = 0;
    for (const char *p = text; p < end; p++) n += is_letter(*p);
    bool has_dots = strchr(text, '.') != NULL;
    if (!parse_term(c, text, end, n + (has_dots ? hidden : 0), result)) return false;
    for (int i = 0; i < result->rank; i++)
        if (seen[result->letters[i]] == 0)
            return node_error(c, TN_ERR_PARSE, "a letter of the result is in no operand");
    return true;
}

/* The letter sequence of all operands; counts letters, and the most axes under a "...". */
static bool parse_operands(conversion *c, const char *equation, const char *end, term *terms, int n, int *seen,
                           int *hidden) {
    const char *text = equation;
    for (int i = 0; i < n; i++) {
        const char *comma = memchr(text, ',', (size_t)(end - text)), *stop = comma ? comma : end;
        if ((comma != NULL) != (i < n - 1))
            return node_error(c, TN_ERR_SHAPE, "the equation is not for %d operands", n);
        terms[i].v = input(c, i);
        if (!tn_is_valid(terms[i].v) || !parse_term(c, text, stop, tn_rank(terms[i].v), &terms[i])) return false;
        for (int k = 0; k < terms[i].rank; k++) {
            seen[terms[i].letters[k]]++;
            if (terms[i].letters[k] <= TN_MAX_RANK && terms[i].letters[k] > *hidden) *hidden = terms[i].letters[k];
        }
        text = stop + 1;
    }
    return true;
}

void convert_einsum(conversion *c) {
    const char *equation = read_text(c, "equation", ""), *arrow = strstr(equation, "->");
    int n = input_count(c), seen[LETTERS] = {0}, hidden = 0;
    term *terms = ARENA_ARRAY(&c->im->memory, term, n), result;
    if (!terms) {
        import_no_memory(c->im);
        return;
    }
    if (!parse_operands(c, equation, arrow ? arrow : equation + strlen(equation), terms, n, seen, &hidden) ||
        !parse_result(c, arrow, seen, hidden, &result))
        return;
    for (int i = 0; i < n; i++) {
        bool wanted[LETTERS] = {false};
        for (int k = 0; k < result.rank; k++) wanted[result.letters[k]] = true;
        for (int j = i + 1; j < n; j++)
            for (int k = 0; k < terms[j].rank; k++) wanted[terms[j].letters[k]] = true;
        take_diagonals(c, &terms[i]);
        if (i == 0) {
            sum_unwanted(&terms[0], wanted);
            continue;
        }
        /* What only this operand has and nobody else wants goes before the product. */
        bool own[LETTERS];
        memcpy(own, wanted, sizeof own);
        for (int k = 0; k < terms[0].rank; k++) own[terms[0].letters[k]] = true;
        sum_unwanted(&terms[i], own);
        multiply(c, &terms[0], &terms[i], wanted);
        if (has_failed(c)) return;
        sum_unwanted(&terms[0], wanted);
    }
    int64_t perm[TN_MAX_RANK];
    for (int i = 0; i < result.rank; i++) perm[i] = find_letter(&terms[0], result.letters[i]);
    output(c, 0, result.rank > 0 ? tn_transpose(terms[0].v, ints_of(perm, result.rank)) : terms[0].v);
}
