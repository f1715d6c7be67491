/* Layers without neighbours in space or time: dense, embedding, flatten, dropout; and blocks of layers. */
#include "frontends/nn/layer.h"

#include "ir/dtype.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

tn_val tn_nn_dense_at(tn_location at, tn_model *m, tn_nn_dense_args a) {
    nn_scope s;
    if (!nn_open(&s, m, at, "dense", a.name, &a.x, 1)) return BUILD_INVALID;
    tn_val y = nn_linear(&s, a.x, (nn_linear_args){"", a.units, a.no_bias, a.kernel_init, a.bias_init, a.penalty});
    return nn_close(&s, nn_activate(&s.b, y, a.activation));
}

static tn_val embed(nn_scope *s, const tn_nn_embedding_args *a) {
    char text[BUILD_TEXT];
    if (!nn_positive(s, "count", a->count) || !nn_positive(s, "width", a->width)) return BUILD_INVALID;
    if (!dtype_in(DTYPES_INDEX, nn_dtype(a->x)))
        return build_error(&s->b, TN_ERR_DTYPE, "takes indices, i32 or i64: %s", build_describe(a->x, text));
    tn_val table = nn_parameter(s, (nn_parameter_args){.name = "table",
                                                       .init = a->init,
                                                       .init_default = "uniform",
                                                       .penalty = a->penalty,
                                                       .rank = 2,
                                                       .dims = {a->count, a->width}});
    return tn_take(table, a->x, 0);
}

tn_val tn_nn_embedding_at(tn_location at, tn_model *m, tn_nn_embedding_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "embedding", a.name, &a.x, 1) ? nn_close(&s, embed(&s, &a)) : BUILD_INVALID;
}

static tn_val flatten(nn_scope *s, tn_val x) {
    tn_type type = tn_type_of(x);
    char text[BUILD_TEXT];
    if (type.rank == 0) return build_error(&s->b, TN_ERR_SHAPE, "takes at least 1 axis: %s", build_describe(x, text));
    tn_dim rest = dim_product(build_dims(&s->b), type.dims + 1, type.rank - 1);
    return tn_reshape_dims(x, 2, ((tn_dim[]){type.dims[0], rest}));
}

tn_val tn_nn_flatten_at(tn_location at, tn_model *m, tn_val x) {
    nn_scope s;
    return nn_open(&s, m, at, "flatten", NULL, &x, 1) ? nn_close(&s, flatten(&s, x)) : BUILD_INVALID;
}

/* An element stays when its random word is below (1 - rate) * 2^32. */
static tn_val drop_out(nn_scope *s, tn_val x, double rate) {
    tn_graph *g = s->m->forward;
    if (!(rate >= 0 && rate < 1))
        return build_error(&s->b, TN_ERR_ARGUMENT, "rate is %g, it must be at least 0 and below 1", rate);
    if (!nn_check(s, x, 0, -1)) return BUILD_INVALID;
    if (rate == 0) return x;
    double limit = floor((1 - rate) * 0x1p32);
    tn_val stays = tn_less(nn_random_bits(s->m, x, TN_U32), tn_scalar_int(g, TN_U32, (int64_t)limit));
    tn_val dropped = tn_select(stays, tn_mul_scalar(x, 1 / (1 - rate)), tn_scalar(g, nn_dtype(x), 0));
    return tn_select(tn_model_training(s->m), dropped, x);
}

tn_val tn_nn_dropout_at(tn_location at, tn_model *m, tn_nn_dropout_args a) {
    nn_scope s;
    return nn_open(&s, m, at, "dropout", a.name, &a.x, 1) ? nn_close(&s, drop_out(&s, a.x, a.rate)) : BUILD_INVALID;
}

/* ---- Blocks ---------------------------------------------------------------------------------------- */

tn_val tn_nn_residual_at(tn_location at, tn_model *m, tn_val x, const char *name, tn_nn_block block, void *ctx) {
    build b;
    if (!nn_open_call(&b, m, at, "residual", &x, 1)) return BUILD_INVALID;
    if (!block) return build_error(&b, TN_ERR_ARGUMENT, "there is no block");
    tn_model_push(m, name ? name : "residual");
    tn_val y = block(ctx, m, x);
    tn_model_pop(m);
    return tn_is_valid(y) ? tn_binary_at(at, TN_OP_add, x, y) : y;
}

tn_val tn_nn_sequential_at(tn_location at, tn_model *m, tn_val x, const char *name, const tn_nn_block *blocks,
                           void *const *contexts, int n) {
    build b;
    if (!nn_open_call(&b, m, at, "sequential", &x, 1)) return BUILD_INVALID;
    if (n < 0 || (n > 0 && !blocks)) return build_error(&b, TN_ERR_ARGUMENT, "there are no %d blocks", n);
    tn_model_push(m, name ? name : "sequential");
    for (int i = 0; i < n; i++) {
        char number[16];
        if (!blocks[i]) return build_error(&b, TN_ERR_ARGUMENT, "there is no block %d", i);
        snprintf(number, sizeof number, "%d", i);
        tn_model_push(m, number);
        x = blocks[i](contexts ? contexts[i] : NULL, m, x);
        tn_model_pop(m);
    }
    tn_model_pop(m);
    return x;
}
