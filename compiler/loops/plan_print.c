/* A plan as text: the module, with comments that tell where each value lives.
 *
 * in:  a fused module and its plan
 * out: the module's text; above each node, for each of its results
 *        # %relu: arena 128 .. 3211392 (3211264 bytes) until %pool
 *        # %out: buffer of result %y
 *      and what its call works in; in each function its bytes of arena and scratch; in kernels, their numbers
 * law: the comments stand on lines of their own, so that it parses to the same module
 */
#include "compiler/loops/plan.h"

#include "ir/names.h"

#include <inttypes.h>

typedef struct plan_notes {
    const program_plan *plan;
    const tn_graph *graph; /* whose last uses these are */
    size_t *last_use;      /* node index by root value; n_nodes: a result; SIZE_MAX: none */
} plan_notes;

/* ---- Lifetimes -------------------------------------------------------------------------------------- */

static void find_last_uses(plan_notes *notes, const tn_graph *g) {
    tn_free(notes->last_use);
    notes->graph = g;
    notes->last_use = tn_malloc((g->n_values + 1) * sizeof *notes->last_use);
    if (notes->last_use) plan_last_uses(g, notes->last_use);
}

/* " until %y": the node that reads it last, by the name of what that makes. */
static void put_until(const plan_notes *notes, text_buffer *b, const tn_graph *g, const uint32_t *numbers, value_id v) {
    size_t last = notes->last_use ? notes->last_use[plan_root(g, v)] : SIZE_MAX;
    if (last == SIZE_MAX) return;
    text_add(b, " until ");
    if (last == g->n_nodes)
        text_add(b, "the end");
    else if (g->nodes[last].n_results)
        text_value(b, g, numbers, g->nodes[last].first_result);
    else
        text_add(b, op_name((tn_op)g->nodes[last].op));
}

/* ---- Places ------------------------------------------------------------------------------------------- */

/* 128 .. 256 (128 bytes) */
static void put_range(text_buffer *b, dim_table *t, tn_dim offset, tn_dim bytes) {
    text_dim(b, t, offset);
    text_add(b, " .. ");
    text_dim(b, t, dim_add(t, offset, bytes));
    text_add(b, " (");
    text_dim(b, t, bytes);
    text_add(b, " bytes)");
}

static void put_place(const plan_notes *notes, text_buffer *b, const tn_graph *g, const uint32_t *numbers, value_id v,
                      const place *at) {
    dim_table *t = g->module->dims;
    switch (at->kind) {
    case PLACE_NONE: text_add(b, "nowhere"); return;
    case PLACE_CONSTANT: text_add(b, "constant"); return;
    case PLACE_PARAM:
        text_add(b, "buffer of ");
        text_name(b, '%', g->params[at->index].name);
        return;
    case PLACE_RESULT:
        text_add(b, "buffer of result ");
        text_name(b, '%', g->results[at->index].name);
        text_add(b, ", ");
        put_range(b, t, at->offset, plan_value_bytes(g, v));
        return;
    case PLACE_ARENA:
        text_add(b, "arena ");
        put_range(b, t, at->offset, plan_value_bytes(g, v));
        put_until(notes, b, g, numbers, v);
        return;
    }
}

static void put_value_note(const plan_notes *notes, text_buffer *b, const tn_graph *g, const uint32_t *numbers,
                           const function_plan *f, value_id v) {
    value_id root = plan_root(g, v);
    text_add(b, "  # ");
    text_value(b, g, numbers, v);
    text_add(b, ": ");
    if (root != v) {
        text_add(b, "is ");
        text_value(b, g, numbers, root);
    } else
        put_place(notes, b, g, numbers, v, &f->values[v]);
    text_add(b, "\n");
}

static void note_node(void *ctx, text_buffer *b, const tn_graph *g, const uint32_t *numbers, size_t i) {
    const plan_notes *notes = ctx;
    const function_plan *f = plan_of(notes->plan, g);
    const node *n = &g->nodes[i];
    if (!f || g->is_kernel) return;
    for (uint32_t r = 0; r < n->n_results; r++) put_value_note(notes, b, g, numbers, f, n->first_result + r);
    int64_t bytes;
    if (f->work_offset[i] == DIM_INVALID || (dim_is_const(g->module->dims, f->work_bytes[i], &bytes) && bytes == 0))
        return;
    text_add(b, "  #   works in arena ");
    put_range(b, g->module->dims, f->work_offset[i], f->work_bytes[i]);
    text_add(b, "\n");
}

static void note_function(void *ctx, text_buffer *b, const tn_graph *g) {
    plan_notes *notes = ctx;
    const function_plan *f = plan_of(notes->plan, g);
    find_last_uses(notes, g);
    b->failed |= !notes->last_use;
    if (!f) return;
    if (g->is_kernel) {
        text_format(b, "  # kernel %" PRIu32, f->kernel);
    } else {
        text_add(b, "  # arena: ");
        text_dim(b, g->module->dims, f->arena_bytes);
        text_add(b, " bytes");
        if (f->live_bytes != DIM_INVALID) {
            text_add(b, ", at most ");
            text_dim(b, g->module->dims, f->live_bytes);
            text_add(b, " in use at once");
        }
    }
    text_add(b, "; scratch of each thread: ");
    text_dim(b, g->module->dims, f->scratch_bytes);
    text_add(b, " bytes\n");
}

char *plan_print(const program_plan *p, const char *data_path) {
    plan_notes notes = {.plan = p};
    char *text = module_print_with(p->module, data_path, &(print_notes){note_function, note_node, &notes});
    tn_free(notes.last_use);
    return text;
}
