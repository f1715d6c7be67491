/* Which values of the way there are kept when gradients keep little: checkpoints.
 *
 * in:  a joint function (grad.c)
 * out: its way there in segments, and which nodes' results are kept for the way back, of all but the last segment
 * law: what a segment reads is made in it, is kept, or is data. The last segment ends where the way back begins:
 *      nothing of it is made anew
 *
 * A segment is made anew before the way back goes through it, so that what is kept before it and what it makes itself
 * lie in memory together. Borders stand where little crosses them: behind a block, not within. How many segments are
 * best is tried: more of them make less anew at a time and keep more (the square root of the number of layers where
 * these are alike: Chen et al., Training Deep Nets with Sublinear Memory Cost).
 */
#include "ir/grad_sweep.h"

#include "runtime/tenon_rt.h"

enum {
    MAX_SEGMENTS = 64,
    TYPICAL_EXTENT = 64, /* what a symbol counts for */
};

/* Of each node of the way there. */
typedef struct extent {
    double bytes;    /* of its results; views and data cost none */
    double crossing; /* what a border before it keeps */
    uint32_t place;  /* its number; of a decomposition, where its last operand is made */
    uint32_t last;   /* the last place where it is read, also through views */
    bool is_read;    /* by the way back, also through views */
} extent;

/* ---- What values take, and how long ------------------------------------------------------------------ */

static bool typical(void *ctx, tn_dim leaf, int64_t *value) {
    (void)ctx;
    (void)leaf;
    *value = TYPICAL_EXTENT;
    return true;
}

static double bytes_of(const tn_graph *g, value_id v) {
    const tn_type *type = graph_type(g, v);
    double bytes = tn_dtype_bits((tn_dtype)type->dtype) / 8.0;
    for (int i = 0; i < type->rank; i++) {
        int64_t n;
        bytes *= dim_eval(g->module->dims, type->dims[i], typical, NULL, &n) && n > 0 ? (double)n : 0;
    }
    return bytes;
}

static bool is_data(const node *n) { return op_table[n->op].loop_class == CLASS_LEAF; }
static bool is_view(const node *n) { return op_table[n->op].loop_class == CLASS_VIEW; }

/* Control flow and effects are not done twice. */
static bool is_done_once(const node *n) {
    return op_table[n->op].loop_class == CLASS_CONTROL || op_table[n->op].loop_class == CLASS_EFFECT;
}

static void place_nodes(const joint *j, extent *of) {
    for (size_t i = 0; i < j->n_forward; i++) {
        const node *n = &j->g->nodes[i];
        for (uint32_t k = 0; !is_view(n) && !is_data(n) && k < n->n_results; k++)
            of[i].bytes += bytes_of(j->g, n->first_result + k);
        if (i < j->n_there) of[i].place = (uint32_t)i;
        for (uint32_t k = 0; i >= j->n_there && k < n->n_operands; k++) {
            const extent *operand = &of[j->g->values[n->operands[k]].node];
            if (operand->place > of[i].place) of[i].place = operand->place;
        }
        of[i].last = of[i].place;
    }
}

/* A view reads nothing itself: its readers do. */
static void find_readers(const joint *j, extent *of) {
    for (size_t i = j->g->n_nodes; i-- > 0;) {
        const node *n = &j->g->nodes[i];
        bool is_back = i >= j->n_forward, passes_on = !is_back && (is_view(n) || i >= j->n_there);
        for (uint32_t k = 0; k < n->n_operands; k++) {
            uint32_t made = j->g->values[n->operands[k]].node;
            if (made >= j->n_forward) continue;
            of[made].is_read |= is_back || (passes_on && of[i].is_read);
            uint32_t place = is_back ? 0 : is_view(n) ? of[i].last : of[i].place;
            if (place > of[made].last) of[made].last = place;
        }
    }
}

/* What the way back does not read itself is kept for nothing else, and counts twice. */
static void find_crossing(const joint *j, extent *of) {
    for (size_t i = 0; i < j->n_there; i++) {
        double bytes = of[i].bytes * (of[i].is_read ? 1 : 2);
        of[i + 1].crossing += bytes;
        of[of[i].last + 1].crossing -= bytes;
    }
    for (size_t i = 1; i <= j->n_there; i++) of[i].crossing += of[i - 1].crossing;
}

/* ---- Segments ---------------------------------------------------------------------------------------- */

static double read_bytes(const extent *e) { return e->is_read ? e->bytes : 0; }

/* Where the segment ends that begins at a node: before the node where the least crosses, of those that leave it at
 * most `budget` bytes for the way back and at least the half of them. */
static size_t find_border(const extent *of, size_t begin, size_t end, double budget) {
    size_t border = begin;
    double bytes = 0;
    for (size_t i = begin; i < end; i++) {
        bytes += read_bytes(&of[i]);
        if (bytes > budget) return border > begin ? border : i + 1;
        if (bytes >= budget / 2 && (border == begin || of[i + 1].crossing <= of[border].crossing)) border = i + 1;
    }
    return end;
}

static void divide(const joint *j, const extent *of, double budget, checkpoints *c) {
    c->n_segments = 0;
    for (size_t begin = 0; begin < j->n_there; c->n_segments++) {
        size_t border = find_border(of, begin, j->n_there, budget);
        for (; begin < border; begin++) c->segment[begin] = c->n_segments;
    }
    for (size_t i = 0; i < j->n_forward; i++) {
        const node *n = &j->g->nodes[i];
        c->segment[i] = c->segment[of[i].place];
        c->is_kept[i] = is_done_once(n) || (!is_view(n) && c->segment[of[i].last] > c->segment[i]);
    }
}

/* The most that is kept and made anew at a time. */
static double peak_of(const joint *j, const extent *of, const checkpoints *c) {
    double most = 0, kept = 0, made = 0;
    for (size_t i = 0; i < j->n_there; i++) {
        if (i > 0 && c->segment[i] != c->segment[i - 1]) made = 0;
        if (c->is_kept[i])
            kept += of[i].bytes;
        else
            made += read_bytes(&of[i]);
        most = kept + made > most ? kept + made : most;
    }
    return most;
}

static void divide_best(const joint *j, const extent *of, checkpoints *c) {
    double all = 0, best = 0, least = 0;
    for (size_t i = 0; i < j->n_there; i++) all += read_bytes(&of[i]);
    for (int n = 1; n <= MAX_SEGMENTS; n++) {
        divide(j, of, all / n, c);
        double peak = peak_of(j, of, c);
        if (n > 1 && peak >= least) continue;
        least = peak;
        best = all / n;
    }
    divide(j, of, best, c);
}

bool grad_place_checkpoints(const joint *j, checkpoints *c) {
    extent *of = tn_calloc(j->n_forward + 1, sizeof *of);
    *c = (checkpoints){.segment = tn_calloc(j->n_forward + 1, sizeof *c->segment),
                       .is_kept = tn_calloc(j->n_forward + 1, sizeof *c->is_kept)};
    bool ok = of && c->segment && c->is_kept;
    if (ok) {
        place_nodes(j, of);
        find_readers(j, of);
        find_crossing(j, of);
        divide_best(j, of, c);
    }
    tn_free(of);
    return ok;
}

void grad_checkpoints_free(checkpoints *c) {
    tn_free(c->segment);
    tn_free(c->is_kept);
}
