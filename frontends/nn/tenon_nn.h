/* Models: layers, losses and metrics.
 *
 * A model is described once, by calls that append layers to its function `forward`, and gives both its training graph
 * and its inference graph:
 *
 *     tn_model *m = tn_model_new("digits", NULL);
 *     tn_val x = tn_model_input(m, "image", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(1), TN_SIZE(8), TN_SIZE(8)));
 *     tn_val label = tn_model_target(m, "label", TN_I32, TN_SHAPE(TN_DIM("n")));
 *     tn_val h = tn_nn_conv2d(m, x, .filters = 16, .kernel = {3, 3}, .padding = "same", .activation = "relu");
 *     h = tn_nn_dropout(m, tn_nn_flatten(m, h), .rate = 0.5);
 *     tn_val logits = tn_nn_dense(m, h, .units = 10);
 *     tn_model_output(m, "logits", logits);
 *     tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, label));
 *     tn_model_metric(m, "accuracy", logits, label);
 *
 * Values are those of tenon_graph.h, whose calls may stand between layers. `forward` has as parameters the inputs and
 * targets, the model's parameters and state, named by path ("block1.conv.kernel"), a bool `training` and the random
 * state `random`, u64[4]; as results the outputs, losses, sums of metrics and the next values of the state. What
 * layers do otherwise in training is chosen by selects on `training`; a graph for either keeps only its side.
 *
 * Errors are sticky, as everywhere in the builder: a wrong call records one diagnostic with the C file and line of the
 * layer's call, tn_model_error has it, and what uses the model reports it. Layers are named after their kind ("dense",
 * "dense_1") unless .name says otherwise. Features are on axis 1 for convolutions, poolings, batch and group
 * normalisation, on the last axis for all others.
 */
#ifndef TENON_NN_H
#define TENON_NN_H

#include "tenon_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Models ------------------------------------------------------------------------------ */

typedef struct tn_model tn_model;

/* All zero: the defaults. */
typedef struct tn_model_options {
    tn_dtype dtype; /* of parameters: f32 (default) or f64 */
    /* What layers compute in: bf16 or f16 for mixed precision, in which parameters are converted where they are used,
     * and normalisations, softmax of the loss and sums are done in `dtype`. Default: `dtype`. */
    tn_dtype compute;
} tn_model_options;

/* A model without layers, to be freed with tn_model_free. NULL: no memory. */
TN_API tn_model *tn_model_new(const char *name, const tn_model_options *options);
TN_API void tn_model_free(tn_model *m); /* NULL is allowed; frees the parameters' arrays too */

/* How a module becomes a model. */
typedef struct tn_model_import {
    const char *loss;          /* one of tn_nn_loss; or "sum" or "mean" of the elements, which take no target */
    const char *output;        /* that the loss is of; NULL: the first float one */
    const char *const *frozen; /* weights that are not trained, ended by NULL; or NULL */
} tn_model_import;

/* A model of a module's main function, one that was imported, say, for training with a loss. Its target, "target", has
 * the output's type, for sparse_cross_entropy i64 without the last axis; that loss brings the metric accuracy. Losses
 * that take logits get the operand of a softmax or logistic that ends the model. Weights with values (tn_weight; of an
 * ONNX model with weights_replaceable, which says what they are) become parameters that begin with these: trained when
 * they have the dtype that the model is for (f64 for an f64 output, else f32), unless they are frozen or the moments of
 * a batch_norm. The module is not changed, and may be freed. NULL with *diag: it has an error, states, weights without
 * values, or nothing to train; a name is none of its. */
TN_API tn_model *tn_model_from_module(const tn_module *module, const tn_model_import *how, tn_diag *diag);

/* The function `forward`, for calls of tenon_graph.h that need a graph. It belongs to the model. */
TN_API tn_graph *tn_model_graph(const tn_model *m);

/* The first error, or NULL while there is none. Lives as long as the model. */
TN_API const tn_diag *tn_model_error(const tn_model *m);

/* What is given at each step: inputs also in inference, targets only where there is a loss or metric. Float inputs are
 * converted to what layers compute in. */
TN_API tn_val tn_model_input_at(tn_location at, tn_model *m, const char *name, tn_dtype dtype, tn_shape shape);
TN_API tn_val tn_model_target_at(tn_location at, tn_model *m, const char *name, tn_dtype dtype, tn_shape shape);
#define tn_model_input(m, name, dtype, shape) tn_model_input_at(TN_HERE, (m), (name), (dtype), (shape))
#define tn_model_target(m, name, dtype, shape) tn_model_target_at(TN_HERE, (m), (name), (dtype), (shape))

/* An output of the model. Of a mixed-precision model it is converted back to `dtype`. */
TN_API void tn_model_output_at(tn_location at, tn_model *m, const char *name, tn_val v);
/* A float scalar that training makes small. Several are added up, with the penalties of regularised parameters. */
TN_API void tn_model_loss_at(tn_location at, tn_model *m, const char *name, tn_val v);
#define tn_model_output(m, name, v) tn_model_output_at(TN_HERE, (m), (name), (v))
#define tn_model_loss(m, name, v) tn_model_loss_at(TN_HERE, (m), (name), (v))

/* Names of layers and parameters between a push and its pop begin with "scope.". */
TN_API void tn_model_push(tn_model *m, const char *scope);
TN_API void tn_model_pop(tn_model *m);

/* ---- Parameters --------------------------------------------------------------------------- */

/* How an array begins. `name` is a row of the table below (NULL: what the layer says), `number` its argument where it
 * has one (0: the row's default). Each element comes from Philox keyed by the seed and the parameter's name, so that
 * other parameters don't matter: same seed, same bits. fan_in is the number of inputs of one output, fan_out the
 * converse (of a kernel [o, c, taps...]: c * taps, o * taps).
 *
 *   zeros, ones
 *   constant          number
 *   uniform           in [-number, number], default 0.05
 *   normal            mean 0, deviation `number`, default 0.05
 *   truncated_normal  likewise, drawn again beyond two deviations
 *   glorot_uniform    variance 2 / (fan_in + fan_out); glorot_normal truncated (Keras), xavier_normal not (PyTorch)
 *   he_uniform        variance 2 / fan_in; he_normal truncated (Keras), kaiming_normal not (PyTorch)
 *   lecun_uniform     variance 1 / fan_in; lecun_normal truncated (Keras)
 *   orthogonal        rows or columns of the array as [extent of axis 0, the rest] are orthonormal, times `number`,
 *                     default 1
 *
 * The truncated forms are scaled so that what is left has that variance. */
typedef struct tn_nn_init {
    const char *name;
    double number;
} tn_nn_init;

/* Penalties added to the loss: l1 * sum |w| + l2 * sum w^2. */
typedef struct tn_nn_penalty {
    double l1, l2;
} tn_nn_penalty;

/* A trainable parameter for layers of one's own, named by the scopes in force; the value is in what layers compute in.
 * fan_in and fan_out 0: as those of a kernel of that shape ([in, out] of rank 2). Sizes are numbers. */
typedef struct tn_model_parameter_args {
    const char *name;
    tn_shape shape;
    tn_nn_init init; /* default glorot_uniform */
    tn_nn_penalty penalty;
    int64_t fan_in, fan_out;
    bool frozen; /* not trained */
} tn_model_parameter_args;
TN_API tn_val tn_model_parameter_at(tn_location at, tn_model *m, tn_model_parameter_args args);
#define tn_model_parameter(m, ...) tn_model_parameter_at(TN_HERE, (m), (tn_model_parameter_args){.name = __VA_ARGS__})

/* The bool scalar that is true in training. */
TN_API tn_val tn_model_training(tn_model *m);
/* Random numbers in [0, 1) of x's shape and dtype, other ones at each call of this function and at each step. */
TN_API tn_val tn_model_uniform_at(tn_location at, tn_model *m, tn_val x);
#define tn_model_uniform(m, x) tn_model_uniform_at(TN_HERE, (m), (x))

/* A parameter or state as arrays on the host. */
typedef struct tn_parameter {
    const char *name; /* lives as long as the model */
    tn_tensor tensor; /* contiguous; data NULL before tn_model_initialise */
    bool is_trainable;
} tn_parameter;
TN_API int tn_model_n_parameters(const tn_model *m);
/* Parameter i in the order they were made; name NULL when there is none. The data are the model's and may be written
 * (between steps). */
TN_API tn_parameter tn_model_parameter_of(const tn_model *m, int i);
TN_API int tn_model_find_parameter(const tn_model *m, const char *name); /* -1: none */

/* Makes all arrays and fills them as their initialisers say; those made before are filled anew. */
TN_API tn_status tn_model_initialise(tn_model *m, uint64_t seed, tn_diag *diag);

/* ---- What a model gives -------------------------------------------------------------------- */

/* A size in place of a symbol; lists end with a NULL symbol. */
typedef struct tn_model_size {
    const char *symbol;
    int64_t value;
} tn_model_size;

/* The model for use: a module of its own whose main has the inputs that outputs depend on and the outputs, with copies
 * of the parameters as weights, without dropout, and with the moments that batch normalisation has learnt. `sizes` may
 * be NULL. NULL with *diag: the model has an error or is not initialised. The caller frees it with tn_module_free. */
TN_API tn_module *tn_model_inference(const tn_model *m, const tn_model_size *sizes, tn_diag *diag);

/* Layers with their output shapes, parameters and floating-point operations (two for a product and its sum; symbols
 * count as 1: for one example), as a table. Freed with tn_text_free; NULL: no memory. */
TN_API char *tn_model_summary(const tn_model *m);

/* ---- Layers -------------------------------------------------------------------------------- */

/* Activations by name: linear relu leaky_relu elu gelu gelu_tanh silu sigmoid hard_sigmoid hard_swish tanh softplus
 * mish softmax log_softmax exp; NULL is linear. */
TN_API tn_val tn_nn_activation_at(tn_location at, tn_model *m, tn_val x, const char *name);
#define tn_nn_activation(m, x, name) tn_nn_activation_at(TN_HERE, (m), (x), (name))

/* y = activation(x kernel + bias): x [..., in], kernel [in, units], bias [units]. */
typedef struct tn_nn_dense_args {
    tn_val x;
    int64_t units;
    bool no_bias;
    const char *activation, *name;
    tn_nn_init kernel_init; /* glorot_uniform */
    tn_nn_init bias_init;   /* zeros */
    tn_nn_penalty penalty;  /* of the kernel */
} tn_nn_dense_args;
TN_API tn_val tn_nn_dense_at(tn_location at, tn_model *m, tn_nn_dense_args args);
#define tn_nn_dense(m, ...) tn_nn_dense_at(TN_HERE, (m), (tn_nn_dense_args){.x = __VA_ARGS__})

/* Rows of a table: x integers [...], table [count, width]; y [..., width]. An index out of range is an error of the
 * run. */
typedef struct tn_nn_embedding_args {
    tn_val x;
    int64_t count, width;
    const char *name;
    tn_nn_init init; /* uniform 0.05 */
    tn_nn_penalty penalty;
} tn_nn_embedding_args;
TN_API tn_val tn_nn_embedding_at(tn_location at, tn_model *m, tn_nn_embedding_args args);
#define tn_nn_embedding(m, ...) tn_nn_embedding_at(TN_HERE, (m), (tn_nn_embedding_args){.x = __VA_ARGS__})

/* Convolutions: x [n, c, spatial...], kernel [filters, c / groups, taps...], bias [filters]. `padding`: "valid" (NULL,
 * none), "same" (ceil(extent / stride) outputs, the odd element after, as in TensorFlow), "causal" (conv1d: all
 * before); or numbers in `pad`, on both sides of each axis. */
typedef struct tn_nn_conv_args {
    tn_val x;
    int64_t filters;
    int64_t kernel[3], stride[3], dilation[3], pad[3]; /* stride and dilation 0 are 1 */
    int64_t groups;                                    /* 0 is 1 */
    int64_t multiplier;                                /* depthwise: filters of each channel, 0 is 1 */
    int64_t output_pad[3];                             /* transposed: rows added after */
    const char *padding;
    bool no_bias;
    const char *activation, *name;
    tn_nn_init kernel_init; /* glorot_uniform */
    tn_nn_init bias_init;   /* zeros */
    tn_nn_penalty penalty;  /* of the kernel */
} tn_nn_conv_args;
TN_API tn_val tn_nn_conv1d_at(tn_location at, tn_model *m, tn_nn_conv_args args);
TN_API tn_val tn_nn_conv2d_at(tn_location at, tn_model *m, tn_nn_conv_args args);
/* Each channel by filters of its own: kernel [c * multiplier, 1, taps...]. */
TN_API tn_val tn_nn_depthwise_conv2d_at(tn_location at, tn_model *m, tn_nn_conv_args args);
/* The gradient of a convolution as a layer: kernel [c, filters / groups, taps...] as in PyTorch; (extent - 1) * stride
 * - 2 * pad + dilation * (taps - 1) + 1 + output_pad outputs. "same": extent * stride. */
TN_API tn_val tn_nn_conv_transpose2d_at(tn_location at, tn_model *m, tn_nn_conv_args args);
#define tn_nn_conv1d(m, ...) tn_nn_conv1d_at(TN_HERE, (m), (tn_nn_conv_args){.x = __VA_ARGS__})
#define tn_nn_conv2d(m, ...) tn_nn_conv2d_at(TN_HERE, (m), (tn_nn_conv_args){.x = __VA_ARGS__})
#define tn_nn_depthwise_conv2d(m, ...) tn_nn_depthwise_conv2d_at(TN_HERE, (m), (tn_nn_conv_args){.x = __VA_ARGS__})
#define tn_nn_conv_transpose2d(m, ...) tn_nn_conv_transpose2d_at(TN_HERE, (m), (tn_nn_conv_args){.x = __VA_ARGS__})

/* Poolings of [n, c, spatial...]: as many entries of `window` as spatial axes. stride 0: that of the window. */
typedef struct tn_nn_pool_args {
    tn_val x;
    int64_t window[3], stride[3], pad[3];
    const char *padding; /* "valid" (NULL) or "same" */
    bool count_padding;  /* of averages */
    const char *name;
} tn_nn_pool_args;
TN_API tn_val tn_nn_max_pool_at(tn_location at, tn_model *m, tn_nn_pool_args args);
TN_API tn_val tn_nn_avg_pool_at(tn_location at, tn_model *m, tn_nn_pool_args args);
/* Over all spatial axes: [n, c]. */
TN_API tn_val tn_nn_global_max_pool_at(tn_location at, tn_model *m, tn_val x);
TN_API tn_val tn_nn_global_avg_pool_at(tn_location at, tn_model *m, tn_val x);
#define tn_nn_max_pool(m, ...) tn_nn_max_pool_at(TN_HERE, (m), (tn_nn_pool_args){.x = __VA_ARGS__})
#define tn_nn_avg_pool(m, ...) tn_nn_avg_pool_at(TN_HERE, (m), (tn_nn_pool_args){.x = __VA_ARGS__})
#define tn_nn_global_max_pool(m, x) tn_nn_global_max_pool_at(TN_HERE, (m), (x))
#define tn_nn_global_avg_pool(m, x) tn_nn_global_avg_pool_at(TN_HERE, (m), (x))

/* [n, ...] to [n, elements of the rest], whose sizes are numbers. */
TN_API tn_val tn_nn_flatten_at(tn_location at, tn_model *m, tn_val x);
#define tn_nn_flatten(m, x) tn_nn_flatten_at(TN_HERE, (m), (x))

/* In training each element is 0 with probability `rate`, the others are divided by 1 - rate. */
typedef struct tn_nn_dropout_args {
    tn_val x;
    double rate;
    const char *name;
} tn_nn_dropout_args;
TN_API tn_val tn_nn_dropout_at(tn_location at, tn_model *m, tn_nn_dropout_args args);
#define tn_nn_dropout(m, ...) tn_nn_dropout_at(TN_HERE, (m), (tn_nn_dropout_args){.x = __VA_ARGS__})

/* Normalisations: (x - mean) / sqrt(variance + epsilon) * scale + bias.
 *
 * batch_norm: moments of each channel (axis 1) over all other axes in training, of the past in inference: state `mean`
 * and `variance`, of which a step keeps `momentum` (default 0.9; 1 - that of PyTorch) and takes the rest from the
 * batch, the variance without bias (divided by elements - 1), as PyTorch does. layer_norm: over the last axis;
 * rms_norm: likewise, without mean and bias; group_norm: over the channels of each of `groups` and all spatial axes.
 * epsilon is 1e-5 unless it is given. */
typedef struct tn_nn_norm_args {
    tn_val x;
    double epsilon, momentum;
    int64_t groups;         /* group_norm; must divide the channels */
    bool no_scale, no_bias; /* 1 and 0 in their place */
    const char *name;
    tn_nn_init scale_init; /* ones */
    tn_nn_init bias_init;  /* zeros */
} tn_nn_norm_args;
TN_API tn_val tn_nn_batch_norm_at(tn_location at, tn_model *m, tn_nn_norm_args args);
TN_API tn_val tn_nn_layer_norm_at(tn_location at, tn_model *m, tn_nn_norm_args args);
TN_API tn_val tn_nn_rms_norm_at(tn_location at, tn_model *m, tn_nn_norm_args args);
TN_API tn_val tn_nn_group_norm_at(tn_location at, tn_model *m, tn_nn_norm_args args);
#define tn_nn_batch_norm(m, ...) tn_nn_batch_norm_at(TN_HERE, (m), (tn_nn_norm_args){.x = __VA_ARGS__})
#define tn_nn_layer_norm(m, ...) tn_nn_layer_norm_at(TN_HERE, (m), (tn_nn_norm_args){.x = __VA_ARGS__})
#define tn_nn_rms_norm(m, ...) tn_nn_rms_norm_at(TN_HERE, (m), (tn_nn_norm_args){.x = __VA_ARGS__})
#define tn_nn_group_norm(m, ...) tn_nn_group_norm_at(TN_HERE, (m), (tn_nn_norm_args){.x = __VA_ARGS__})

/* Recurrent layers: x [n, steps, in]; y [n, steps, units], or [n, units], the last step, with `last_only`. Parameters
 * kernel [in, gates * units], recurrent [units, gates * units], bias [gates * units]. They begin with zeros.
 *   simple_rnn  h' = tanh(x kernel + h recurrent + bias)
 *   lstm        gates input, forget, cell, output (PyTorch's order): c' = f * c + i * tanh(g), h' = o * tanh(c')
 *   gru         gates reset, update, new (PyTorch's): new = tanh(x k + b + r * (h u + recurrent_bias)),
 *               h' = (1 - z) * new + z * h */
typedef struct tn_nn_recurrent_args {
    tn_val x;
    int64_t units;
    bool last_only, reverse; /* reverse: from the last step to the first */
    const char *name;
    tn_nn_init kernel_init;    /* glorot_uniform */
    tn_nn_init recurrent_init; /* orthogonal */
    tn_nn_penalty penalty;     /* of both kernels */
} tn_nn_recurrent_args;
TN_API tn_val tn_nn_simple_rnn_at(tn_location at, tn_model *m, tn_nn_recurrent_args args);
TN_API tn_val tn_nn_lstm_at(tn_location at, tn_model *m, tn_nn_recurrent_args args);
TN_API tn_val tn_nn_gru_at(tn_location at, tn_model *m, tn_nn_recurrent_args args);
#define tn_nn_simple_rnn(m, ...) tn_nn_simple_rnn_at(TN_HERE, (m), (tn_nn_recurrent_args){.x = __VA_ARGS__})
#define tn_nn_lstm(m, ...) tn_nn_lstm_at(TN_HERE, (m), (tn_nn_recurrent_args){.x = __VA_ARGS__})
#define tn_nn_gru(m, ...) tn_nn_gru_at(TN_HERE, (m), (tn_nn_recurrent_args){.x = __VA_ARGS__})

/* Attention with several heads: x [n, steps, width] asks, `memory` [n, others, ...] (default: x itself) answers. Heads
 * have `head` features (default width / heads). With fewer `groups` of keys and values than heads, several heads share
 * one (grouped-query; 1 is multi-query). Result [n, steps, width]. Parameters query.kernel [width, heads * head],
 * key.kernel, value.kernel [.., groups * head], output.kernel [heads * head, width], and their biases. */
typedef struct tn_nn_attention_args {
    tn_val x, memory, mask; /* mask as that of tn_attention, broadcastable to [n, heads, steps, others] */
    int64_t heads, groups, head;
    bool causal, no_bias;
    bool rotary;        /* turns queries and keys by their position (tn_nn_rotary) */
    double rotary_base; /* 0: 10,000 */
    const char *name;
    tn_nn_init kernel_init; /* glorot_uniform */
    tn_nn_init output_init; /* that of the others */
} tn_nn_attention_args;
TN_API tn_val tn_nn_multi_head_attention_at(tn_location at, tn_model *m, tn_nn_attention_args args);
#define tn_nn_multi_head_attention(m, ...)                                                                             \
    tn_nn_multi_head_attention_at(TN_HERE, (m), (tn_nn_attention_args){.x = __VA_ARGS__})

/* Positions. sinusoidal: adds sin(p / 10000^(2i / width)) to features 2i and the cosine to 2i + 1 of x [n, steps,
 * width] at position p. learned: adds rows of a table [most, width]; steps must be at most `most`. rotary: x [...,
 * steps, d], d even: turns each pair of features i, i + d / 2 by p / base^(2i / d). */
typedef struct tn_nn_position_args {
    tn_val x;
    int64_t most; /* learned */
    double base;  /* 0: 10,000 */
    const char *name;
    tn_nn_init init; /* learned: normal 0.02 */
} tn_nn_position_args;
TN_API tn_val tn_nn_sinusoidal_at(tn_location at, tn_model *m, tn_nn_position_args args);
TN_API tn_val tn_nn_learned_positions_at(tn_location at, tn_model *m, tn_nn_position_args args);
TN_API tn_val tn_nn_rotary_at(tn_location at, tn_model *m, tn_nn_position_args args);
#define tn_nn_sinusoidal(m, ...) tn_nn_sinusoidal_at(TN_HERE, (m), (tn_nn_position_args){.x = __VA_ARGS__})
#define tn_nn_learned_positions(m, ...)                                                                                \
    tn_nn_learned_positions_at(TN_HERE, (m), (tn_nn_position_args){.x = __VA_ARGS__})
#define tn_nn_rotary(m, ...) tn_nn_rotary_at(TN_HERE, (m), (tn_nn_position_args){.x = __VA_ARGS__})

/* A layer of one's own: appends to the model what makes y of x. */
typedef tn_val (*tn_nn_block)(void *ctx, tn_model *m, tn_val x);
/* x + block(x), in a scope of that name (NULL: "residual"). */
TN_API tn_val tn_nn_residual_at(tn_location at, tn_model *m, tn_val x, const char *name, tn_nn_block block, void *ctx);
/* All blocks one after the other, each in a scope "0", "1", ... of `name` (NULL: "sequential");
 * contexts may be NULL. */
TN_API tn_val tn_nn_sequential_at(tn_location at, tn_model *m, tn_val x, const char *name, const tn_nn_block *blocks,
                                  void *const *contexts, int n);
#define tn_nn_residual(m, x, name, block, ctx) tn_nn_residual_at(TN_HERE, (m), (x), (name), (block), (ctx))
#define tn_nn_sequential(m, x, name, blocks, contexts, n)                                                              \
    tn_nn_sequential_at(TN_HERE, (m), (x), (name), (blocks), (contexts), (n))

/* ---- Losses --------------------------------------------------------------------------------- */

/* Means over all examples of (p: prediction, t: target)
 *
 *   sparse_cross_entropy  -log softmax(p)[t]: p [..., classes], t integers [...]
 *   cross_entropy         -sum t * log softmax(p): p and t [..., classes]
 *   binary_cross_entropy  of logits: softplus(p) - t * p, of one shape
 *   mse, mae              (p - t)^2, |p - t|
 *   huber                 (p - t)^2 / 2 up to |p - t| = delta, then delta * (|p - t| - delta / 2)
 *   kl_divergence         sum t * (log t - p) over the last axis: p are log-probabilities
 *   hinge                 max(0, 1 - t * p), t is -1 or 1
 *
 * With weights (of the examples' shape) sum(weight * loss) / sum(weight), as in PyTorch. Computed in f32 at least. */
typedef struct tn_nn_loss_args {
    tn_val target, weights;
    double label_smoothing; /* s of both cross-entropies: targets are (1 - s) * t + s / classes */
    double delta;           /* huber; 0: 1 */
} tn_nn_loss_args;
TN_API tn_val tn_nn_loss_at(tn_location at, const char *name, tn_val prediction, tn_nn_loss_args args);
#define tn_nn_loss(name, prediction, ...)                                                                              \
    tn_nn_loss_at(TN_HERE, (name), (prediction), (tn_nn_loss_args){.target = __VA_ARGS__})

/* A function of f's module with the parameters of f, which stays as it is, and "target": its only result is the loss of
 * f's first float result. `loss` is one of the above, or "sum" or "mean" of all elements, which take no target. The
 * target has the prediction's type, but labels are i64 without the last axis.
 * NULL on errors, which tn_graph_error(f) tells. */
TN_API tn_graph *tn_nn_loss_function_at(tn_location at, tn_graph *f, const char *loss);
#define tn_nn_loss_function(f, loss) tn_nn_loss_function_at(TN_HERE, (f), (loss))

/* ---- Metrics -------------------------------------------------------------------------------- */

/* Sums over the examples of a batch, f32[k] (f64 of an f64 prediction),
 * which are added up over batches and then finished on the host.
 *
 *   accuracy          share of examples whose greatest p is at t: p [..., classes], t integers [...]
 *   top_k             share of those whose t is among the k greatest (0: 5)
 *   binary_accuracy   share of p > threshold (of logits: 0) that are t > 0.5
 *   f1                of logits p and t of 0 and 1
 *   macro_f1          mean over classes: p [..., classes], t integers [...]
 *   perplexity        exp of the mean sparse_cross_entropy
 *   auc               area under the ROC curve of logits p and t of 0 and 1, from a histogram of `bins` (0: 200)
 *                     thresholds of sigmoid(p)
 *   mse, mae          as the losses
 */
typedef struct tn_nn_metric_args {
    tn_val target, weights;
    int64_t k, bins;
    double threshold;
} tn_nn_metric_args;
TN_API tn_val tn_nn_metric_at(tn_location at, const char *name, tn_val prediction, tn_nn_metric_args args);
#define tn_nn_metric(name, prediction, ...)                                                                            \
    tn_nn_metric_at(TN_HERE, (name), (prediction), (tn_nn_metric_args){.target = __VA_ARGS__})
/* The metric from its n sums; NaN when there are no examples, or no such metric. */
TN_API double tn_nn_metric_finish(const char *name, const double *sums, int n);

/* Makes the metric part of the model, under its name (a second one of the kind: "accuracy_1"). */
TN_API void tn_model_metric_at(tn_location at, tn_model *m, const char *name, tn_val prediction,
                               tn_nn_metric_args args);
#define tn_model_metric(m, name, prediction, ...)                                                                      \
    tn_model_metric_at(TN_HERE, (m), (name), (prediction), (tn_nn_metric_args){.target = __VA_ARGS__})

#ifdef __cplusplus
}
#endif

#endif
