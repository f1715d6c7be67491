/* Quantise: weights of products are stored in fewer bits, when that is asked for.
 *
 * in:  functions of primitives; pass_options.weights
 * out: where the second operand w of a `dot` of f32 is known at load time and not small, the dot reads what is stored
 *      of it, and sums in f32 as before:
 *        bf16  stored = barrier(convert(w))
 *        int8  scale = max |w| / 127 over what is summed; stored = barrier(convert(clamp(round(w / scale))))
 *        dot(x, w) = dot(x, convert(stored)), for int8 times the scale of each of its columns
 * law: each weight is off by at most 2^-8 of itself (bf16), or half of its column's scale (int8); weights must be
 *      finite. So the option `weights` asks for it
 *
 * What is stored moves to `prepare` (hoist.c), its conversion stays in the kernel that reads it (load_time.c,
 * groups.c, loops/pack.c). A scale for each column can wait until its sums are done.
 */
#include "compiler/passes/passes.h"

enum { LEAST_ELEMENTS = 4096 };

/* ---- Which products ---- */

static bool suits(const load_time_visit *v, const tn_graph *g, const node *n) {
    int64_t elements;
    if (n->op != TN_OP_dot || v->what.known[n - g->nodes] || !v->what.known[g->values[n->operands[1]].node])
        return false;
    const tn_type *w = graph_type(g, n->operands[1]);
    const attr *batch = attr_find(&n->attrs, ATTR_batch), *contract = attr_find(&n->attrs, ATTR_contract);
    if ((batch && batch->split > 0) || !contract || contract->split == 0) return false;
    return w->dtype == TN_F32 && narrow_weight(g, n->operands[1]) == VALUE_NONE &&
           attr_int(&n->attrs, ATTR_acc, TN_F32) == TN_F32 &&
           dim_is_const(g->module->dims, type_element_count(g->module->dims, w), &elements) &&
           elements >= LEAST_ELEMENTS;
}

/* ---- How they are stored ---- */

/* The stored form of w; *scale: what its columns are to be multiplied by, of their shape, if by anything. */
typedef tn_val store_weight(tn_val w, tn_ints summed, tn_val *scale);

static tn_val store_bf16(tn_val w, tn_ints summed, tn_val *scale) {
    (void)summed, (void)scale;
    return tn_convert(w, TN_BF16);
}

static tn_val store_int8(tn_val w, tn_ints summed, tn_val *scale) {
    tn_val most = tn_scalar(w.graph, TN_F32, INT8_MAX), least = tn_scalar(w.graph, TN_F32, -INT8_MAX);
    tn_val step = tn_div(tn_reduce("max", tn_abs(w), summed, true), most);
    *scale = tn_squeeze_at(TN_HERE, step, summed);
    return tn_convert(tn_clamp(least, tn_round(tn_div(w, step)), most), TN_I8);
}

static store_weight *const formats[] = {[WEIGHTS_BF16] = store_bf16, [WEIGHTS_INT8] = store_int8};

static bool quantise(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    const load_time_visit *v = ctx;
    if (!suits(v, from, n)) return graph_copy_node(to, from, n, map);
    const attr *contract = attr_find(&n->attrs, ATTR_contract);
    int n_summed = (int)contract->split;
    tn_ints of_x = {n_summed, contract->ints.items}, summed = {n_summed, contract->ints.items + n_summed};
    tn_val x = {to, map[n->operands[0]]}, w = {to, map[n->operands[1]]}, scale = {0};
    tn_val stored = formats[v->options->weights](w, summed, &scale);
    tn_val wide = tn_convert(tn_apply(TN_HERE, to, TN_OP_barrier, &stored, 1, NULL), TN_F32);
    tn_val y = tn_dot(x, wide, TN_NO_INTS, TN_NO_INTS, of_x, summed);
    if (scale.graph) y = tn_mul(y, scale);
    map[n->first_result] = y.id;
    return tn_is_valid(y);
}

bool pass_quantise(tn_module *m, const pass_options *o) {
    return o->weights == WEIGHTS_F32 || module_find(m, "prepare") || load_time_rebuild(m, o, quantise);
}
