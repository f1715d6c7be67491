/* Samples of control flow and effects. */
#include "ir/samples_shape.h"

#include "ir/dtype.h"

#include <stdio.h>
#include <string.h>

/* A shape with the symbols renamed, for a function of its own. */
static sample_shape renamed(const sample_shape *shape) {
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "p", "q"};
    sample_shape other = *shape;
    for (int i = 0; i < shape->rank; i++) {
        if (!shape->args[i].symbol) continue;
        int first = 0;
        while (!shape->args[first].symbol || strcmp(shape->args[first].symbol, shape->args[i].symbol) != 0) first++;
        other.args[i] = TN_DIM(names[first]);
    }
    return other;
}

/* An involution in any dtype. */
static tn_val flip(tn_val x) { return tn_type_of(x).dtype == TN_BOOL ? tn_not(x) : tn_neg(x); }

static tn_val scalar_input(sampler *s, tn_graph *g, tn_dtype dtype) {
    sample_shape scalar = {0};
    return sampler_input(s, g, dtype, &scalar);
}

/* f(x, y) = max(x, y), flip(x); or the other way round. */
static tn_graph *two_results(sampler *s, tn_graph *g, const char *name, const sample_shape *shape, bool swapped) {
    tn_graph *f = tn_graph_sub(g, name);
    sample_shape own = sampler_chance(s, 50) ? renamed(shape) : *shape;
    tn_val x = sampler_input(s, f, s->dtype, &own), y = sampler_input(s, f, s->dtype, &own);
    tn_val results[] = {tn_max(x, y), flip(x)};
    tn_output(f, "first", results[swapped]);
    tn_output(f, "second", results[!swapped]);
    return f;
}

bool sample_call(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 0, 3, 0);
    tn_graph *f = two_results(s, g, "f", &shape, false);
    tn_val x[] = {sampler_input(s, g, s->dtype, &shape), sampler_input(s, g, s->dtype, &shape)};
    return sampler_done(g, tn_call(g, f, x, 2));
}

bool sample_if(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 0, 3, 0);
    tn_graph *then = two_results(s, g, "then", &shape, false),
             *otherwise = two_results(s, g, "otherwise", &shape, true);
    tn_val condition = scalar_input(s, g, TN_BOOL);
    tn_val x[] = {sampler_input(s, g, s->dtype, &shape), sampler_input(s, g, s->dtype, &shape)};
    return sampler_done(g, tn_if(condition, then, otherwise, x, 2));
}

/* while (i < limit) i = i + 1, x = flip(x): limit is a constant, also 0. */
bool sample_while(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape shape = sampler_shape(s, 0, 3, 0), own = sampler_chance(s, 50) ? renamed(&shape) : shape;
    tn_graph *cond = tn_graph_sub(g, "cond"), *body = tn_graph_sub(g, "body");
    tn_val i = scalar_input(s, cond, TN_I64);
    sampler_input(s, cond, s->dtype, &own);
    tn_output(cond, "more", tn_less(i, tn_scalar_int(cond, TN_I64, sampler_range(s, 0, 4))));
    i = scalar_input(s, body, TN_I64);
    tn_val x = sampler_input(s, body, s->dtype, &shape);
    tn_output(body, "i", tn_add_scalar(i, 1));
    tn_output(body, "x", flip(x));
    tn_val carried[] = {tn_scalar_int(g, TN_I64, 0), sampler_input(s, g, s->dtype, &shape)};
    return sampler_done(g, tn_while(cond, body, carried, 2));
}

/* Carries the running maximum of a sequence; also gives each element flipped. */
bool sample_scan(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape element = sampler_shape(s, 0, 2, 0), sequence = {0};
    sampler_append(s, &sequence, sampler_chance(s, 10) ? 0 : 1, 6);
    for (int i = 0; i < element.rank; i++) {
        sequence.args[sequence.rank] = element.args[i];
        sequence.values[sequence.rank++] = element.values[i];
    }
    tn_graph *body = tn_graph_sub(g, "body");
    sample_shape own = sampler_chance(s, 50) ? renamed(&element) : element;
    tn_val best = sampler_input(s, body, s->dtype, &own), x = sampler_input(s, body, s->dtype, &own);
    tn_output(body, "best", tn_max(best, x));
    tn_output(body, "flipped", flip(x));
    tn_val carried = sampler_input(s, g, s->dtype, &element), values = sampler_input(s, g, s->dtype, &sequence);
    return sampler_done(g, tn_scan(body, &carried, 1, &values, 1, tn_dim_of(values, 0), sampler_chance(s, 50)));
}

bool sample_barrier(sampler *s, tn_graph *g, tn_op op) {
    tn_val x[3];
    int n = (int)sampler_range(s, 1, 3);
    for (int i = 0; i < n; i++) {
        sample_shape shape = sampler_shape(s, 0, 3, 0);
        x[i] = sampler_input(s, g, s->dtype, &shape);
    }
    return sampler_done(g, tn_apply(TN_HERE, g, op, x, n, NULL));
}

/* What a user's op does is in a callback that samples don't have. */
bool sample_custom(sampler *s, tn_graph *g, tn_op op) { return sampler_refuse(g, op, s); }

/* ---- Effects ----------------------------------------------------------------------------------- */

static tn_val first_token(tn_graph *g) { return tn_apply(TN_HERE, g, TN_OP_token, NULL, 0, NULL); }

/* The tokens are no outputs; the operand is one. */
static bool with_effect(sampler *s, tn_graph *g, tn_op op) {
    sample_shape shape = sampler_shape(s, 0, 3, 0);
    tn_val x = sampler_input(s, g, s->dtype, &shape), operands[2] = {first_token(g), x};
    tn_attr_arg attrs[] = {{.name = "message", .text = "sample"}, {0}};
    if (op == TN_OP_assert) operands[1] = tn_equal(tn_scalar(g, TN_F32, 1), tn_scalar(g, TN_F32, 1));
    if (op != TN_OP_token) tn_apply(TN_HERE, g, op, operands, 2, attrs);
    char name[32];
    snprintf(name, sizeof name, "y%zu", g->n_results);
    tn_output(g, name, x);
    return !tn_graph_error(g);
}

bool sample_token(sampler *s, tn_graph *g, tn_op op) { return with_effect(s, g, op); }
bool sample_assert(sampler *s, tn_graph *g, tn_op op) { return with_effect(s, g, op); }
bool sample_print(sampler *s, tn_graph *g, tn_op op) { return with_effect(s, g, op); }
