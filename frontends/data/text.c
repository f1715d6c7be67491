/* Texts as datasets of characters.
 *
 * in:  a UTF-8 file, plain or gzip
 * out: a dataset whose examples are stretches of it, as numbers of characters, and the same one character further on
 * law: the vocabulary follows from the text alone: its characters, in the order of their code points; every character
 *      of the text is a number of it
 */
#include "frontends/data/compress.h"
#include "frontends/data/dataset.h"
#include "frontends/data/utf8.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 64, MOST_CHARACTERS = 1 << 16, CODE_POINTS = 0x110000 };

typedef struct text {
    uint16_t *numbers; /* of the text's characters */
    int64_t n_numbers, context, stride;
} text;

static tn_status read_text(const tn_dataset *d, int field, int64_t index, void *out, tn_diag *diag) {
    (void)diag;
    const text *t = d->state;
    const uint16_t *from = t->numbers + index * t->stride + field; /* field 0 is "x", 1 is "y" */
    for (int64_t i = 0; i < t->context; i++) {
        int64_t number = from[i];
        memcpy((char *)out + i * (int64_t)sizeof number, &number, sizeof number);
    }
    return TN_OK;
}

static void end_text(void *state) {
    text *t = state;
    tn_free(t->numbers);
    tn_free(t);
}

static const dataset_kind text_kind = {read_text, end_text};

/* ---- Characters ---------------------------------------------------------------------------- */

/* The code point of a character that utf8_next went over. */
static uint32_t code_point(const char *from, const char *to) {
    static const uint8_t first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (uint8_t)*from & first_bits[to - from];
    for (from++; from < to; from++) code = code << 6 | ((uint8_t)*from & 0x3f);
    return code;
}

/* The character of a code point, as UTF-8. */
static const char *character(arena *memory, uint32_t code) {
    char c[5] = "";
    if (code < 0x80) {
        c[0] = (char)code;
        return arena_strdup(memory, c);
    }
    int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, code >>= 6) c[i] = (char)(0x80 | (code & 0x3f));
    c[0] = (char)((0xf00 >> n & 0xff) | code);
    return arena_strdup(memory, c);
}

/* Marks the code points that the text has; counts its characters. */
static tn_status mark(const char *content, size_t size, uint16_t *marks, int64_t *n, tn_diag *diag) {
    const char *end = content + size;
    *n = 0;
    for (const char *at = content, *next; at < end; at = next, ++*n) {
        next = utf8_next(at, end);
        if (!next)
            return diag_fail(diag, TN_ERR_PARSE, "it is no UTF-8 text: byte 0x%02x at offset %zu", (uint8_t)*at,
                             (size_t)(at - content));
        marks[code_point(at, next)] = 1;
    }
    return TN_OK;
}

/* Turns marks into numbers; the characters themselves become the dataset's classes. */
static tn_status number_characters(uint16_t *marks, tn_dataset *d, tn_diag *diag) {
    int64_t n = 0;
    for (uint32_t code = 0; code < CODE_POINTS; code++) n += marks[code];
    if (n > MOST_CHARACTERS)
        return diag_fail(diag, TN_ERR_LIMIT, "it has %" PRId64 " different characters, more than %d", n,
                         MOST_CHARACTERS);
    const char **classes = ARENA_ARRAY(&d->arena, const char *, n);
    if (!classes) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    d->classes = classes;
    for (uint32_t code = 0; code < CODE_POINTS; code++) {
        if (!marks[code]) continue;
        classes[d->n_classes] = character(&d->arena, code);
        if (!classes[d->n_classes]) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        marks[code] = (uint16_t)d->n_classes++;
    }
    return TN_OK;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static tn_status check_options(const tn_text_options *o, int64_t n, text *t, tn_diag *diag) {
    *t = (text){
        .context = o->context ? o->context : DEFAULT_CONTEXT, .stride = o->stride ? o->stride : 1, .n_numbers = n};
    if (t->context < 1 || t->stride < 1)
        return diag_fail(diag, TN_ERR_ARGUMENT, "context %" PRId64 " and stride %" PRId64 ", expected 1 or more",
                         t->context, t->stride);
    if (n <= t->context)
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "it has %" PRId64 " characters, no example of %" PRId64 " and the one that comes next", n,
                         t->context);
    return TN_OK;
}

/* *numbers are to be filled. */
static tn_status make_dataset(const text *t, tn_dataset **dataset, uint16_t **numbers, tn_diag *diag) {
    tn_field fields[2] = {{.name = "x", .dtype = TN_I64, .rank = 1, .shape = {t->context}},
                          {.name = "y", .dtype = TN_I64, .rank = 1, .shape = {t->context}}};
    text *state = tn_malloc(sizeof *state);
    if (!state) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    *state = *t;
    *numbers = state->numbers = tn_malloc((size_t)t->n_numbers * sizeof *state->numbers);
    tn_status status = TN_ERR_MEMORY;
    if (state->numbers)
        status =
            dataset_new(&text_kind, state, (t->n_numbers - 1 - t->context) / t->stride + 1, fields, 2, dataset, diag);
    else
        diag_fail(diag, status, "out of memory for %" PRId64 " characters", t->n_numbers);
    if (status != TN_OK) end_text(state);
    return status;
}

static tn_status parse(const char *content, size_t size, const tn_text_options *options, uint16_t *marks,
                       tn_dataset **dataset, tn_diag *diag) {
    int64_t n;
    text t;
    uint16_t *to = NULL;
    tn_status status = mark(content, size, marks, &n, diag);
    if (status == TN_OK) status = check_options(options, n, &t, diag);
    if (status == TN_OK) status = make_dataset(&t, dataset, &to, diag);
    if (status == TN_OK) status = number_characters(marks, *dataset, diag);
    if (status != TN_OK || !to) {
        tn_dataset_free(*dataset);
        *dataset = NULL;
        return status;
    }
    const char *end = content + size;
    for (const char *at = content, *next; at < end; at = next) {
        next = utf8_next(at, end);
        *to++ = marks[code_point(at, next)];
    }
    return TN_OK;
}

tn_status tn_dataset_text(const char *path, const tn_text_options *options, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    void *content;
    size_t size;
    tn_status status = read_maybe_gzip(path, &content, &size, diag);
    if (status != TN_OK) return status;
    uint16_t *marks = tn_calloc(CODE_POINTS, sizeof *marks);
    if (marks)
        status = parse(content, size, options ? options : &(tn_text_options){0}, marks, dataset, diag);
    else
        status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_free(marks);
    tn_free(content);
    return diag_in_file(diag, status, path);
}

/* ---- Encoding ------------------------------------------------------------------------------ */

/* UTF-8 sorts by its bytes as by its code points. */
static int compare_character(const void *key, const void *entry) { return strcmp(key, *(const char *const *)entry); }

tn_status tn_text_encode(const tn_dataset *dataset, const char *text, int64_t *numbers, int64_t capacity, int64_t *n,
                         tn_diag *diag) {
    *n = 0;
    if (!dataset || !text) return diag_fail(diag, TN_ERR_ARGUMENT, "no dataset, or no text");
    const char *end = text + strlen(text);
    for (const char *at = text, *next; at < end; at = next, ++*n) {
        char c[5] = "";
        next = utf8_next(at, end);
        if (!next) return diag_fail(diag, TN_ERR_ARGUMENT, "the text is no UTF-8 at byte %zu", (size_t)(at - text));
        memcpy(c, at, (size_t)(next - at));
        const char *const *found = dataset->n_classes > 0 ? bsearch(c, dataset->classes, (size_t)dataset->n_classes,
                                                                    sizeof *dataset->classes, compare_character)
                                                          : NULL;
        if (!found)
            return diag_fail(diag, TN_ERR_ARGUMENT, "the vocabulary has no '%s', character %" PRId64 " of the text", c,
                             *n);
        if (*n < capacity) numbers[*n] = found - dataset->classes;
    }
    return TN_OK;
}
