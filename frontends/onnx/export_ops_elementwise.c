/* Writers of elementwise ops.
 *
 * law: what Tenon defines and ONNX does not is said with more nodes where a runtime could trap on it (integer
 *      division, shifts), not where it could only give another number
 */
#include "frontends/onnx/export_ops.h"

#include "frontends/onnx/tensorproto.h"
#include "ir/eval.h"

#include <stdio.h>

void write_unary(writing *w) { give_work(w, 0, EMIT(w, w->row->onnx, work_operand(w, 0))); }

/* Also ternary ones, and those whose result has a dtype of its own. */
void write_elementwise(writing *w) {
    label *labels[3];
    work_operands(w, labels);
    give_work(w, 0, emit(w, w->row->onnx, labels, (int)w->n->n_operands));
}

void write_test(writing *w) { give(w, 0, EMIT(w, w->row->onnx, work_operand(w, 0))); }

/* And, Or, Xor, Not are of bool; those of integers are called Bitwise... */
void write_bits(writing *w) {
    const char *op = w->row->onnx;
    label *labels[3];
    if (w->dtype != TN_BOOL) op = arena_printf(&w->x->memory, "Bitwise%s", op);
    if (!op) {
        export_no_memory(w->x);
        return;
    }
    work_operands(w, labels);
    give_work(w, 0, emit(w, op, labels, (int)w->n->n_operands));
}

/* Gives a convolution that operand i is, and nobody else reads, a third input. */
static label *with_bias(writing *w, uint32_t i, label *bias) {
    value_id v = w->n->operands[i];
    const node *n = graph_node_of(w->f->g, v);
    if (!bias || n->op != TN_OP_conv || w->f->uses[v] != 1 || w->work != w->dtype) return NULL;
    made_node *conv = w->f->values[v]->maker;
    label **inputs = ARENA_ARRAY(&w->x->memory, label *, 3);
    if (!inputs) export_no_memory(w->x);
    /* Not when it was converted from or to another dtype. */
    if (!inputs || !conv || conv->n_inputs != 2 || (conv->op[0] != 'C')) return NULL;
    inputs[0] = conv->inputs[0];
    inputs[1] = conv->inputs[1];
    inputs[2] = bias;
    conv->inputs = inputs;
    conv->n_inputs = 3;
    return conv->outputs[0];
}

/* A sum of a convolution and a number for each channel is a convolution with a bias. */
void write_add(writing *w) {
    for (uint32_t i = 0; i < 2; i++) {
        label *l = with_bias(w, i, channel_operand(w, 1 - i));
        if (!l) continue;
        l->wanted = NULL;
        give(w, 0, l);
        return;
    }
    write_elementwise(w);
}

void write_compare(writing *w) {
    static const char *const ops[] = {
        [COMPARE_EQ] = "Equal",       [COMPARE_NE] = "Equal",   [COMPARE_LT] = "Less",
        [COMPARE_LE] = "LessOrEqual", [COMPARE_GT] = "Greater", [COMPARE_GE] = "GreaterOrEqual",
    };
    int64_t kind = attr_int(&w->n->attrs, ATTR_compare, COMPARE_EQ);
    label *labels[2];
    work_operands(w, labels);
    label *l = emit(w, ops[kind], labels, 2);
    give(w, 0, kind == COMPARE_NE ? EMIT(w, "Not", l) : l);
}

/* Between scalars it is a Clip. */
void write_clamp(writing *w) {
    label *low = scalar_operand(w, 0), *high = scalar_operand(w, 2), *labels[3];
    if (low && high) {
        give_work(w, 0, EMIT(w, "Clip", work_operand(w, 1), low, high));
        return;
    }
    work_operands(w, labels);
    give_work(w, 0, EMIT(w, "Min", EMIT(w, "Max", labels[1], labels[0]), labels[2]));
}

void write_convert(writing *w) {
    give(w, 0, emit_cast(w, operand(w, 0), (tn_dtype)operand_type(w, 0)->dtype, (tn_dtype)result_type(w, 0)->dtype));
}

void write_pass_on(writing *w) {
    for (uint32_t i = 0; i < w->n->n_results; i++)
        if (operand_type(w, i)->dtype != TN_TOKEN) give(w, i, operand(w, i));
}

/* Tokens are no values; export_lower has seen to effects. */
void write_nothing(writing *w) { (void)w; }

/* ---- Integers that a processor traps on ------------------------------------------------------------------ */

/* No element of a constant operand is within [low, high]. */
static bool is_never(const writing *w, uint32_t i, int64_t low, int64_t high) {
    const tensor_data *data = constant_operand(w, i);
    if (!data) return false;
    size_t bytes = tn_dtype_bits((tn_dtype)data->type.dtype) / 8;
    eval_tensor t = {
        .dtype = (tn_dtype)data->type.dtype, .n = (int64_t)(data->bytes / bytes), .data = (void *)data->data};
    for (int64_t k = 0; k < t.n; k++) {
        int64_t item = eval_load_int(&t, k);
        if (item >= low && item <= high) return false;
    }
    return true;
}

/* Runtimes choose between integers of 64 bits only when they are signed, which changes no bits. */
static label *choose(writing *w, label *condition, label *a, label *b) {
    if (w->work != TN_U64) return EMIT(w, "Where", condition, a, b);
    label *chosen = EMIT(w, "Where", condition, emit_cast(w, a, TN_U64, TN_I64), emit_cast(w, b, TN_U64, TN_I64));
    return emit_cast(w, chosen, TN_I64, TN_U64);
}

/* Quotient or remainder of integers: x / 0 is 0, x / -1 is -x, the remainder is 0 with both. */
static void write_integer_division(writing *w, bool is_remainder) {
    bool is_signed = dtype_in(DTYPES_SINT, w->work);
    label *labels[2], *zero = scalar_label(w->x, w->work, 0), *one = scalar_label(w->x, w->work, 1);
    work_operands(w, labels);
    bool is_safe = is_never(w, 1, is_signed ? -1 : 0, 0);
    label *by_zero = is_safe ? NULL : EMIT(w, "Equal", labels[1], zero), *by_minus_one = NULL, *divisor = labels[1];
    if (!is_safe) divisor = choose(w, by_zero, one, divisor);
    if (!is_safe && is_signed) {
        by_minus_one = EMIT(w, "Equal", labels[1], scalar_label(w->x, w->work, -1));
        divisor = EMIT(w, "Where", by_minus_one, one, divisor);
    }
    made_node *n = EMIT_NODE(w, is_remainder ? "Mod" : "Div", labels[0], divisor);
    if (is_remainder) set_int(w->x, n, "fmod", 1);
    label *l = n->outputs[0];
    /* By one a remainder is 0 already. */
    if (by_minus_one && !is_remainder) l = EMIT(w, "Where", by_minus_one, EMIT(w, "Neg", l), l);
    if (by_zero && !is_remainder) l = choose(w, by_zero, zero, l);
    give_work(w, 0, l);
}

void write_div(writing *w) {
    if (dtype_is_float(w->work))
        write_elementwise(w);
    else
        write_integer_division(w, false);
}

void write_rem(writing *w) {
    label *labels[2];
    if (!dtype_is_float(w->work)) {
        write_integer_division(w, true);
        return;
    }
    work_operands(w, labels);
    made_node *n = emit_node(w, "Mod", labels, 2, 1);
    set_int(w->x, n, "fmod", 1);
    give_work(w, 0, n->outputs[0]);
}

/* Of unsigned integers (export_lower_shift): by the width or more gives 0. */
void write_shift(writing *w) {
    int64_t bits = (int64_t)tn_dtype_bits(w->dtype);
    label *labels[2], *within = NULL, *zero = scalar_label(w->x, w->work, 0);
    work_operands(w, labels);
    if (!is_never(w, 1, bits, INT64_MAX) || !is_never(w, 1, INT64_MIN, -1)) {
        within = EMIT(w, "Less", labels[1], scalar_label(w->x, w->work, (double)bits));
        labels[1] = choose(w, within, labels[1], zero);
    }
    made_node *n = EMIT_NODE(w, "BitShift", labels[0], labels[1]);
    set_text(w->x, n, "direction", w->row->onnx);
    give_work(w, 0, within ? choose(w, within, n->outputs[0], zero) : n->outputs[0]);
}
