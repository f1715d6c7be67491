/* Class attention: softmax(q k^T) v, a block of rows of q at a time.
 *
 * in:  a fused function that is an attention (ir/attention.h): two dots, the work on the rows of the first one's
 *      result between them, elementwise work on the second one's result after them
 * out: one stage. A chunk packs k and v for itself and takes its rows a block at a time, in three steps on one
 *      buffer of rows x keys: the product of the rows with all keys into it, the work on each row in place, its
 *      product with the values out of it
 * law: sums are those of the classes contract and reduce, bit for bit: only the whole matrix of scores is
 *      never there
 */
#include "compiler/loops/contraction.h"
#include "compiler/loops/rows.h"
#include "ir/attention.h"

enum {
    ALIAS_BYTES = 4096, /* rows that far apart share sets of the L1 */
    CHUNK_ROWS = 256,
    LEAST_ROWS = 64,
    FEW_OUTER = 8,
};

/* ---- Which functions ---- */

/* The attention whose second dot is the function's last one. */
static bool find(const tn_graph *fused, attention *found) {
    uint32_t n_dots = 0, last = 0;
    for (uint32_t i = 0; i < fused->n_nodes; i++)
        if (fused->nodes[i].op == TN_OP_dot) {
            last = i;
            n_dots++;
        }
    return n_dots == 2 && attention_find(fused, last, found);
}

static bool is_between(const attention *found, uint32_t i) {
    return i >= found->scores && i < found->values && found->is_between[i - found->scores];
}

/* All but the dots is computed element by element, or reduces rows between them. */
static bool has_members_that_fit(const tn_graph *fused, const attention *found) {
    for (uint32_t i = 0; i < fused->n_nodes; i++) {
        const node *n = &fused->nodes[i];
        if (i == found->scores || i == found->values || lower_is_element(n)) continue;
        if (n->op != TN_OP_reduce || !is_between(found, i)) return false;
    }
    return true;
}

/* What is between the dots is read there, and by the second one, and all results are of its shape. */
static bool is_closed(const tn_graph *fused, const attention *found) {
    for (uint32_t i = found->values + 1; i < fused->n_nodes; i++)
        for (uint32_t k = 0; k < fused->nodes[i].n_operands; k++)
            if (is_between(found, fused->values[fused->nodes[i].operands[k]].node)) return false;
    for (size_t r = 0; r < fused->n_results; r++)
        if (is_between(found, fused->values[fused->results[r].value].node)) return false;
    return lower_has_results_like(fused, graph_type(fused, fused->nodes[found->values].first_result));
}

bool attention_takes(const tn_graph *fused) {
    attention found;
    return find(fused, &found) && has_members_that_fit(fused, &found) && is_closed(fused, &found) &&
           contraction_takes(fused, &fused->nodes[found.scores]) &&
           contraction_takes(fused, &fused->nodes[found.values]);
}

/* ---- Lowering ---- */

typedef struct lowering {
    access a;
    dim_table *t;
    attention found;
    contraction scores, values;
    rows rows;
    uint32_t buffer;
    tn_dim row_step; /* elements from one row of the buffer to the next */
} lowering;

/* The work on rows is what is between the dots; their reductions are over the keys. */
static bool open_rows(lowering *l, tn_graph *fused) {
    rows *s = &l->rows;
    value_id first = fused->nodes[l->found.scores].first_result;
    *s = (rows){.a = &l->a, .g = fused, .t = l->t, .held = first};
    if (!rows_find_domain(s) || !rows_find_phases(s)) return false;
    s->lanes_from = l->found.n_batch + l->found.n_rows;
    return rows_limit(s, first, l->found.weights);
}

/* Room for what tiles store: whole vectors of a static number of keys, else whole panels. */
static tn_dim row_step(const lowering *l) {
    const product *p = &l->scores.p;
    int64_t keys = product_constant(p, p->side[SIDE_B].extent), bytes = tn_dtype_bits(p->sum) / 8;
    int64_t lanes = machine_lanes(l->a.b.machine, tn_dtype_bits(p->sum));
    if (keys < 0) return dim_mul_const(l->t, product_panels(p, p->how.nr, SIDE_B), p->how.nr);
    int64_t padded = keys > lanes ? (keys + lanes - 1) / lanes * lanes : lanes;
    return dim_const(l->t, padded * bytes % ALIAS_BYTES == 0 ? padded + lanes : padded);
}

static void choose(lowering *l, const machine *m) {
    product *p[2] = {&l->scores.p, &l->values.p};
    product_shape shapes[2] = {product_known_shape(p[0]), product_known_shape(p[1])};
    blocking how[2];
    blocking_choose_chain(m, shapes, how);
    for (int i = 0; i < 2; i++) {
        p[i]->how = how[i];
        lt_note(&l->a.b, i == 0 ? "first product, the scores:" : "second product, the mixture of values:");
        product_note(p[i]);
    }
}

/* The scores lie in the buffer, a row a row. */
static void place_scores(lowering *l, const product_rows *block) {
    const tn_type *type = graph_type(l->a.fused, l->scores.value);
    source *s = &l->a.sources[l->scores.value];
    int keys_from = l->found.n_batch + l->found.n_rows;
    *s = (source){.kind = SOURCE_BUFFER,
                  .buffer = l->buffer,
                  .base = dim_mul_const(l->t, dim_mul(l->t, block->begin, l->row_step), -1)};
    for (int i = 0; i < type->rank; i++) {
        tn_dim inner = dim_product(l->t, type->dims + i + 1, (i < keys_from ? keys_from : type->rank) - i - 1);
        s->stride[i] = i < l->found.n_batch ? dim_const(l->t, 0)
                       : i < keys_from      ? dim_mul(l->t, inner, l->row_step)
                                            : inner;
    }
    l->rows.place = *s;
}

static void store_weight(rows *s, void *ctx) {
    const lowering *l = ctx;
    lt_value x = access_value(s->a, l->found.weights, s->index);
    if (x != LT_NONE) access_store_in(s->a, &s->place, s->domain.rank, s->index, x);
}

static void work_on_rows(lowering *l, const product_rows *block) {
    rows *s = &l->rows;
    const tn_dim *dims = s->domain.dims;
    int n_batch = l->found.n_batch, n_rows = l->found.n_rows;
    access_loop loop = access_open_loop(&l->a, LT_SERIAL, block->begin, block->end, 0, 0);
    access_know_range(&l->a, access_counter(&loop), l->scores.p.side[SIDE_A].extent);
    access_unravel(&l->a, block->outer, n_batch, dims, s->index);
    access_unravel(&l->a, access_counter(&loop), n_rows, dims + n_batch, s->index + n_batch);
    rows_reduce(s, l->found.weights);
    if (s->held != l->found.weights) rows_sweep(s, store_weight, l);
    rows_forget(s);
    access_close_loop(&l->a, &loop);
}

static void lower_block(lowering *l, const product_rows *block) {
    product *scores = &l->scores.p, *values = &l->values.p;
    operand q = product_take_rows(scores, block);
    product_into(scores, block, q, l->buffer, l->row_step);
    place_scores(l, block);
    work_on_rows(l, block);
    product_from(values, block, product_rows_in(values, block, l->buffer, l->row_step));
}

/* Blocks of a chunk: enough rows to make packing k and v worth it, fewer where there would be few chunks. */
static int64_t blocks_of_chunk(const lowering *l) {
    const product *p = &l->scores.p;
    int64_t outer = product_constant(p, p->outer), rows = outer >= 0 && outer < FEW_OUTER ? LEAST_ROWS : CHUNK_ROWS;
    int64_t block = p->how.row_tiles * p->how.mr;
    return rows > block ? rows / block : 1;
}

static void lower_chunks(lowering *l) {
    product *scores = &l->scores.p;
    dim_table *t = l->t;
    int64_t grain = blocks_of_chunk(l);
    tn_dim blocks = product_row_blocks(scores),
           extents[2] = {scores->outer, dim_ceildiv(t, blocks, dim_const(t, grain))};
    tn_dim number[2];
    access_loop loops[2];
    int64_t rows = scores->how.row_tiles * scores->how.mr;
    lt_note(
        &l->a.b,
        "chunks for threads of %lld blocks of %lld rows of one head: enough to make packing keys and values worth it",
        (long long)grain, (long long)rows);
    l->row_step = row_step(l);
    l->buffer = lt_add_buffer(&l->a.b, LT_SCRATCH, scores->sum,
                              dim_mul_const(t, l->row_step, scores->how.row_tiles * scores->how.mr), "scores");
    access_open_chunks(&l->a, 2, extents, number, loops);
    product_pack_columns(scores, number[0]);
    product_pack_columns(&l->values.p, number[0]);
    tn_dim begin = dim_mul_const(t, number[1], grain), end = dim_min(t, dim_add_const(t, begin, grain), blocks);
    access_loop loop = access_open_loop(&l->a, LT_SERIAL, begin, end, 0, 0);
    access_know_range(&l->a, access_counter(&loop), blocks);
    product_rows block = product_rows_of(scores, number[0], access_counter(&loop));
    lower_block(l, &block);
    access_close_loop(&l->a, &loop);
    access_close_chunks(&l->a, 2, loops);
}

lt_kernel *attention_lower(tn_graph *fused, const machine *m) {
    lowering l = {.t = fused->module->dims};
    bool ok = access_open(&l.a, fused, "attention", m) && find(fused, &l.found) && open_rows(&l, fused);
    if (ok) {
        contraction_open(&l.scores, &l.a, &fused->nodes[l.found.scores]);
        contraction_open(&l.values, &l.a, &fused->nodes[l.found.values]);
        contraction_set_sides(&l.scores);
        contraction_set_sides(&l.values);
        choose(&l, m);
        lower_chunks(&l);
    }
    l.a.b.failed |= !ok;
    tn_free(l.rows.phase);
    return access_close(&l.a);
}
