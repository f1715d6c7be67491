/* Convolutions: the layers of models by the direct algorithm, depthwise ones among them, and Winograd's beside it.
 *
 * Kernels are weights, so they are packed or transformed ahead. A rectifier is fused to each, as models have it.
 */
#include "benchmarks/micro/micro.h"

#include <string.h>

enum { MODELS = 6 };
static const char *const models[MODELS] = {"ResNet-50",       "ResNet-18",      "MobileNetV2",
                                           "EfficientNet-B0", "SqueezeNet 1.1", "DenseNet-121"};

typedef struct conv_layer {
    int channels, extent, features, taps, stride, pad, groups;
    int times[MODELS]; /* how often in each */
} conv_layer;

static const conv_layer layers[] = {
#define LAYER(channels, extent, features, taps, stride, pad, groups, ...)                                              \
    {channels, extent, features, taps, stride, pad, groups, {__VA_ARGS__}},
#include "benchmarks/micro/conv_layers.def"
#undef LAYER
};

static double flops_of(const conv_layer *c) {
    int out = (c->extent + 2 * c->pad - c->taps) / c->stride + 1;
    return 2.0 * c->features * c->channels / c->groups * c->taps * c->taps * out * out;
}

static float *weights_of(const conv_layer *c) {
    return floats((size_t)c->features * (size_t)(c->channels / c->groups) * (size_t)(c->taps * c->taps));
}

static running open_layer(const conv_layer *c, const float *weights, const char *winograd) {
    tn_graph *g = tn_graph_new("conv");
    int64_t stride[] = {c->stride, c->stride}, pad[] = {c->pad, c->pad};
    tn_shape image = TN_SHAPE(TN_SIZE(1), TN_SIZE(c->channels), TN_SIZE(c->extent), TN_SIZE(c->extent)),
             kernel =
                 TN_SHAPE(TN_SIZE(c->features), TN_SIZE(c->channels / c->groups), TN_SIZE(c->taps), TN_SIZE(c->taps));
    tn_val x = tn_input(g, "x", TN_F32, image), k = tn_weight(g, "k", TN_F32, kernel, weights);
    tn_window_args args = {.stride = {2, stride}, .low = {2, pad}, .high = {2, pad}, .groups = c->groups};
    return running_open(g, tn_relu(tn_conv_at(TN_HERE, x, k, args)), (run_options){.winograd = winograd});
}

/* ---- Direct ---- */

static bool is_depthwise(const conv_layer *c) { return c->groups == c->channels; }

/* A product of a matrix and a vector, as squeeze and excitation have it, has no rate to reach. */
static double gate_of(const conv_layer *c) {
    if (is_depthwise(c)) {
        bool is_gated = c->taps == 3 && c->stride == 1 &&
                        ((c->channels == 144 && c->extent == 56) || (c->channels == 576 && c->extent == 14));
        return is_gated ? 0.65 : 0;
    }
    return c->extent > 1 && (c->taps == 1 || c->taps == 3) ? 0.92 : 0;
}

static double measure_layer(const conv_layer *c) {
    float *weights = weights_of(c);
    running r = open_layer(c, weights, "off");
    double seconds = best_of(running_call, &r);
    running_close(&r);
    free(weights);
    figure f = {.group = is_depthwise(c) ? "depthwise" : "conv",
                .unit = "GFLOP/s",
                .value = flops_of(c) / seconds * 1e-9,
                .seconds = seconds,
                .of = LIMIT_FMA,
                .gate_share = gate_of(c)};
    snprintf(f.name, sizeof f.name, "%d, %dx%d to %d, %dx%d / %d", c->channels, c->extent, c->extent, c->features,
             c->taps, c->taps, c->stride);
    record(f);
    return seconds;
}

void measure_convs(void) {
    double seconds[MODELS] = {0}, flops[MODELS] = {0};
    if (!is_wanted("conv") && !is_wanted("depthwise")) return;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        double t = measure_layer(&layers[i]);
        for (int m = 0; m < MODELS; m++) {
            seconds[m] += layers[i].times[m] * t;
            flops[m] += layers[i].times[m] * flops_of(&layers[i]);
        }
    }
    for (int m = 0; m < MODELS; m++) {
        figure f = {.group = "conv",
                    .unit = "GFLOP/s",
                    .value = flops[m] / seconds[m] * 1e-9,
                    .seconds = seconds[m],
                    .of = LIMIT_FMA};
        snprintf(f.name, sizeof f.name, "all of %s", models[m]);
        record(f);
    }
}

/* ---- Winograd's algorithm ---- */

/* Both algorithms in turns, so that what disturbs one disturbs the other. */
static void take_turns(running runs[2], double best[2]) {
    best[0] = best[1] = 1e30;
    for (double start = now(); now() - start < 2 * bench.options.seconds;)
        for (int way = 0; way < 2; way++)
            for (int i = 0; i < 4; i++) {
                double t = now();
                running_call(&runs[way]);
                t = now() - t;
                if (t < best[way]) best[way] = t;
            }
}

/* "Effective": the direct algorithm's operations for either time. */
void measure_winograd(void) {
    static const struct {
        conv_layer layer;
        double gate;
    } rows[] = {{{64, 56, 64, 3, 1, 1, 1, {0}}, 3},
                {{128, 28, 128, 3, 1, 1, 1, {0}}, 3},
                {{256, 14, 256, 3, 1, 1, 1, {0}}, 2.3},
                {{512, 7, 512, 3, 1, 1, 1, {0}}, 0}};
    for (size_t i = 0; is_wanted("winograd") && i < sizeof rows / sizeof *rows; i++) {
        const conv_layer *c = &rows[i].layer;
        float *weights = weights_of(c);
        running runs[2] = {open_layer(c, weights, "off"), open_layer(c, weights, "on")};
        double best[2];
        take_turns(runs, best);
        figure f = {.group = "winograd",
                    .unit = "GFLOP/s",
                    .value = flops_of(c) / best[1] * 1e-9,
                    .seconds = best[1],
                    .of = LIMIT_FMA,
                    .gate_ratio = rows[i].gate,
                    .peer_name = "direct",
                    .peer = flops_of(c) / best[0] * 1e-9};
        snprintf(f.name, sizeof f.name, "%d, %dx%d to %d, effective", c->channels, c->extent, c->extent, c->features);
        record(f);
        for (int way = 0; way < 2; way++) running_close(&runs[way]);
        free(weights);
    }
}
