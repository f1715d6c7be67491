/* What layers share: opening and closing, parameters, activations.
 *
 *     nn_scope s;
 *     if (!nn_open(&s, m, at, "dense", args.name, &args.x, 1)) return BUILD_INVALID;
 *     tn_val kernel = nn_parameter(&s, ...);
 *     return nn_close(&s, nn_activate(&s, tn_matmul(args.x, kernel), args.activation));
 *
 * law: between open and close every node carries the place of the layer's call, and names begin with the layer's path
 */
#ifndef TN_NN_LAYER_H
#define TN_NN_LAYER_H

#include "frontends/nn/model.h"
#include "ir/build.h"

typedef struct nn_scope {
    build b;
    tn_model *m;
    location_id former; /* origin of forward before */
    size_t layer;       /* its row among the model's layers */
} nn_scope;

/* False: nothing to be done and nothing to close. Values that are {0} (left out) are not among `values`. */
bool nn_open(nn_scope *s, tn_model *m, tn_location at, const char *kind, const char *name, const tn_val *values, int n);
/* Returns y. */
tn_val nn_close(nn_scope *s, tn_val y);

/* Builds a helper of nn_open's call that has no layer's row and no path: a function of the model. */
bool nn_open_call(build *b, tn_model *m, tn_location at, const char *name, const tn_val *values, int n);

/* What a parameter of a layer is. Of a fan that is 0 the shape decides. */
typedef struct nn_parameter_args {
    const char *name;
    tn_nn_init init;
    const char *init_default;
    double number_default; /* of that initialiser */
    tn_nn_penalty penalty;
    int64_t fan_in, fan_out;
    bool frozen;
    bool keep_dtype; /* the value stays in the model's dtype, for layers that compute in it */
    int rank;
    int64_t dims[TN_MAX_RANK];
} nn_parameter_args;
/* A trainable parameter, in what layers compute in. */
tn_val nn_parameter(nn_scope *s, nn_parameter_args args);
/* A state of the model's dtype, and later its next value. */
tn_val nn_state(nn_scope *s, const char *name, const char *init, int64_t extent);
void nn_set_next(nn_scope *s, tn_val state, tn_val next);

/* The extent of an axis (from either end), which must be a number. */
bool nn_extent(nn_scope *s, tn_val x, int axis, const char *what, int64_t *extent);
/* Whether x has rank least..most (-1: any more) and a float dtype. */
bool nn_check(nn_scope *s, tn_val x, int least, int most);
bool nn_positive(nn_scope *s, const char *what, int64_t number);

/* x with the activation of that name applied; NULL: x. */
tn_val nn_activate(build *b, tn_val x, const char *name);

/* x [..., in] times kernel [in, units], plus a bias; parameters <prefix>kernel and <prefix>bias. */
typedef struct nn_linear_args {
    const char *prefix; /* "" or "query." */
    int64_t units;
    bool no_bias;
    tn_nn_init kernel_init, bias_init;
    tn_nn_penalty penalty;
} nn_linear_args;
tn_val nn_linear(nn_scope *s, tn_val x, nn_linear_args args);

/* v, which stands for the features on `axis`, broadcast to the shape of x. */
tn_val nn_along(tn_val v, tn_val x, int axis);
/* Random bits, u32, of x's shape, from a stream of their own. */
tn_val nn_random_bits(tn_model *m, tn_val x, tn_dtype dtype);
static inline tn_dtype nn_dtype(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }

#endif
