/* From fused functions to loop trees: the table of classes, and what they share.
 *
 * in:  a function marked kernel (compiler/passes/fuse.c), the machine
 * out: a loop tree that computes the same results
 */
#include "compiler/loops/stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    class_takes *takes;
    class_lower *lower;
    const char *why; /* for those who ask */
} classes[] = {
    {"cumulate", cumulate_takes, cumulate_lower, "a running sum, product or extreme: one step after the other"},
    {"index", index_takes, index_lower, "a scatter: the data are copied, then updates go to them in their order"},
    {"sort", sort_takes, sort_lower, "rows are sorted, each by one thread"},
    {"contract", contract_takes, contract_lower,
     "one product of matrices, with what is computed from each of its elements"},
    {"attention", attention_takes, attention_lower,
     "two products with a softmax between: a block of rows of scores at a time, so that the scores never are in memory "
     "as a "
     "whole"},
    {"conv", conv_takes, conv_lower, "one convolution, with what is computed from each of its elements"},
    {"bottleneck", bottleneck_takes, bottleneck_lower,
     "a 1 x 1 convolution and a depthwise one on its result: a panel of channels at a time, so that what is between "
     "them "
     "stays in the cache"},
    {"winograd", winograd_takes, winograd_lower,
     "a 3 x 3 convolution by Winograd's algorithm: products of transformed tiles, for which fewer multiplications are "
     "needed"},
    {"winograd_kernel", winograd_kernel_takes, winograd_kernel_lower,
     "the transform of weights for Winograd's algorithm"},
    {"conv_weights", conv_weights_takes, conv_weights_lower, "the gradient of a convolution with regard to its kernel"},
    {"window", window_takes, window_lower, "pooling: each result combines a window of elements"},
    {"reduce", reduce_takes, reduce_lower,
     "reductions over the same axes, with what is computed from and for them, row by row"},
    {"map", map_takes, map_lower, "each element of the result is computed on its own"},
};

lt_kernel *lower_noted(lt_kernel *k, const machine *m, const char *format, ...) {
    if (!k || !m->keeps_notes) return k;
    lt_builder b = {.kernel = k, .machine = m};
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    lt_note(&b, "%s", text);
    return b.failed ? NULL : k;
}

/* The class is told before what it has chosen. */
static void put_last_first(lt_kernel *k) {
    const char *last = k->notes[k->n_notes - 1];
    memmove(k->notes + 1, k->notes, (k->n_notes - 1) * sizeof *k->notes);
    k->notes[0] = last;
}

lt_kernel *lt_lower(tn_graph *fused, const machine *m) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (!classes[i].takes(fused)) continue;
        lt_kernel *k = stream_results(classes[i].lower(fused, m), m);
        k = lower_noted(k, m, "class %s: %s", classes[i].name, classes[i].why);
        if (k && k->n_notes > 0) put_last_first(k);
        return k;
    }
    const node *last = fused->n_nodes ? &fused->nodes[fused->n_nodes - 1] : NULL;
    module_error(fused->module, TN_ERR_UNSUPPORTED, last ? last->locations : LOCATION_NONE,
                 "kernel %s: no loop class takes %s", fused->name,
                 last ? op_name((tn_op)last->op) : "an empty function");
    return NULL;
}

const node *lower_single(const tn_graph *fused, tn_op op) {
    const node *found = NULL;
    for (size_t i = 0; i < fused->n_nodes; i++)
        if (fused->nodes[i].op == op) {
            if (found) return NULL;
            found = &fused->nodes[i];
        }
    return found;
}

bool lower_has_class(const tn_graph *fused, loop_class c) {
    for (size_t i = 0; i < fused->n_nodes; i++)
        if (op_table[fused->nodes[i].op].loop_class == c) return true;
    return false;
}

bool lower_is_element(const node *n) {
    loop_class c = op_table[n->op].loop_class;
    return c == CLASS_MAP || c == CLASS_VIEW || c == CLASS_LEAF || (c == CLASS_INDEX && n->op != TN_OP_scatter);
}

bool lower_is_light(tn_op op) {
    static const tn_op light[] = {TN_OP_add, TN_OP_sub,     TN_OP_mul,    TN_OP_neg,   TN_OP_abs, TN_OP_max,
                                  TN_OP_min, TN_OP_compare, TN_OP_select, TN_OP_clamp, TN_OP_fma};
    for (size_t i = 0; i < sizeof light / sizeof *light; i++)
        if (op == light[i]) return true;
    return false;
}

bool lower_has_results_like(const tn_graph *fused, const tn_type *type) {
    for (size_t r = 0; r < fused->n_results; r++) {
        const tn_type *own = graph_type(fused, access_stored(fused, r));
        if (own->rank != type->rank) return false;
        for (int i = 0; i < type->rank; i++)
            if (own->dims[i] != type->dims[i]) return false;
    }
    return fused->n_results > 0;
}

const node *lower_anchor(const tn_graph *fused, tn_op op) {
    const node *anchor = lower_single(fused, op);
    if (!anchor) return NULL;
    for (size_t i = 0; i < fused->n_nodes; i++)
        if (&fused->nodes[i] != anchor && !lower_is_element(&fused->nodes[i])) return NULL;
    return lower_has_results_like(fused, graph_type(fused, anchor->first_result)) ? anchor : NULL;
}

void lower_store_anchor(access *a, value_id v, const tn_dim *index, lt_value sum) {
    if (a->b.failed) return;
    access_in_register(a, v, lt_convert(&a->b, sum, (tn_dtype)graph_type(a->fused, v)->dtype));
    for (uint32_t r = 0; r < a->fused->n_results; r++)
        access_store_ordered(a, r, index, access_value(a, access_stored(a->fused, r), index));
    access_computed(a, v);
}

uint32_t lower_lanes(const tn_graph *fused, const machine *m) {
    unsigned bits = 8;
    for (size_t i = 0; i < fused->n_values; i++) {
        unsigned own = tn_dtype_bits((tn_dtype)fused->values[i].type.dtype);
        bits = own > bits ? own : bits;
    }
    return (uint32_t)machine_lanes(m, bits);
}

uint32_t lower_lanes_for(const tn_graph *fused, const machine *m, tn_dim extent) {
    uint32_t lanes = lower_lanes(fused, m);
    int64_t known;
    if (!dim_is_const(fused->module->dims, extent, &known)) return lanes;
    /* One step with some lanes off beats two of half the lanes. */
    while (lanes > 1 && (machine_has_masks(m) ? lanes / 2 >= known : lanes > known)) lanes /= 2;
    return lanes;
}

static void run_part(access *a, tn_dim begin, tn_dim end, uint32_t width, lower_body *body, void *ctx) {
    access_loop loop = access_open_loop(a, LT_VECTOR, begin, end, width, 0);
    body(ctx, access_counter(&loop));
    access_close_loop(a, &loop);
}

void lower_run(access *a, tn_dim begin, tn_dim end, lower_body *body, void *ctx) {
    dim_table *t = a->fused->module->dims;
    int64_t n, width = lower_lanes(a->fused, a->b.machine);
    if (!dim_is_const(t, dim_sub(t, end, begin), &n)) {
        run_part(a, begin, end, (uint32_t)width, body, ctx);
        return;
    }
    while (width > n && width > 1) width /= 2;
    if (n <= 0) return;
    run_part(a, begin, dim_add_const(t, begin, n / width * width), (uint32_t)width, body, ctx);
    if (n % width) run_part(a, dim_add_const(t, end, -width), end, (uint32_t)width, body, ctx);
}

/* ---- Counting scattered accesses ---- */

static uint32_t scattered_in(const lt_kernel *k, const lt_block *block, tn_dim counter);

/* A stride costs reads lane by lane; an index with divisions costs those and the divisions. */
static uint32_t scatter_cost(const lt_kernel *k, tn_dim index, tn_dim counter) {
    tn_dim coefficient, rest;
    if (!dim_split_linear(k->module->dims, index, counter, &coefficient, &rest)) return 2;
    return !dim_is_value(k->module->dims, coefficient, 0) && !dim_is_value(k->module->dims, coefficient, 1);
}

static uint32_t scattered_of(const lt_kernel *k, const lt_stmt *s, tn_dim counter) {
    switch (s->kind) {
    case LT_LOAD:
    case LT_STORE: return counter == DIM_INVALID ? 0 : scatter_cost(k, s->access.index, counter);
    case LT_LOOP: return scattered_in(k, &s->loop.body, s->loop.kind == LT_VECTOR ? s->loop.variable : counter);
    case LT_IF: return scattered_in(k, &s->branch.then, counter) + scattered_in(k, &s->branch.otherwise, counter);
    default: return 0;
    }
}

static uint32_t scattered_in(const lt_kernel *k, const lt_block *block, tn_dim counter) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < block->n; i++) n += scattered_of(k, block->items[i], counter);
    return n;
}

uint32_t lower_scattered(const lt_kernel *k) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->n_stages; i++) n += scattered_in(k, &k->stages[i].body, DIM_INVALID);
    return n;
}
