/* Convolutions as training has them: kernels are known at run time alone,
 * and gradients are convolutions of unusual shape.
 *
 * The layers are those of a ResNet-18 for pictures of 32 x 32, beside a batch of 32. "Effective": the direct
 * algorithm's operations, whatever was done. Gates are somewhat below what is reached.
 */
#include "benchmarks/micro/micro.h"

enum { BATCH = 32 };

typedef struct training_layer {
    int channels, extent, features, taps, stride;
    double gates[3]; /* shares of the peak asked for: forward, gradient of the input, of the kernel */
} training_layer;

static const training_layer layers[] = {
    {3, 32, 64, 3, 1, {0, 0, 0}},          {64, 32, 64, 3, 1, {1.8, 1.8, 1.3}}, {64, 32, 128, 3, 2, {0.7, 0.6, 0.55}},
    {128, 16, 128, 3, 1, {2.2, 2.2, 1.7}}, {64, 32, 128, 1, 2, {0, 0, 0}},      {128, 16, 256, 3, 2, {0.75, 0.7, 0.65}},
    {256, 8, 256, 3, 1, {2.3, 2.2, 1.8}},  {128, 16, 256, 1, 2, {0, 0, 0}},     {256, 8, 512, 3, 2, {0.75, 0.65, 0.7}},
    {512, 4, 512, 3, 1, {1.5, 1.4, 1.8}},  {256, 8, 512, 1, 2, {0, 0, 0}},
};

static int result_extent(const training_layer *l) { return (l->extent - 1) / l->stride + 1; }

static tn_val plane_input(tn_graph *g, const char *name, int channels, int extent) {
    return tn_input(g, name, TN_F32, TN_SHAPE(TN_SIZE(BATCH), TN_SIZE(channels), TN_SIZE(extent), TN_SIZE(extent)));
}

static tn_val kernel_input(tn_graph *g, const training_layer *l) {
    return tn_input(g, "k", TN_F32,
                    TN_SHAPE(TN_SIZE(l->features), TN_SIZE(l->channels), TN_SIZE(l->taps), TN_SIZE(l->taps)));
}

/* ---- One function a direction: its graph ---- */

static tn_val build_forward(tn_graph *g, const training_layer *l) {
    int64_t stride[] = {l->stride, l->stride}, pad[] = {l->taps / 2, l->taps / 2};
    return tn_conv(plane_input(g, "x", l->channels, l->extent), kernel_input(g, l), .stride = {2, stride},
                   .low = {2, pad}, .high = {2, pad});
}

static tn_val build_input_gradient(tn_graph *g, const training_layer *l) {
    int64_t spread[] = {l->stride, l->stride}, before = l->taps - 1 - l->taps / 2,
            behind = l->extent + l->taps / 2 - (result_extent(l) - 1) * l->stride - 1, low[] = {before, before},
            high[] = {behind, behind};
    tn_val dy = plane_input(g, "dy", l->features, result_extent(l)), k = kernel_input(g, l);
    k = tn_transpose(tn_reverse(k, TN_INTS(2, 3)), TN_INTS(1, 0, 2, 3));
    return tn_conv(dy, k, .low = {2, low}, .high = {2, high}, .input_dilation = {2, spread});
}

static tn_val build_kernel_gradient(tn_graph *g, const training_layer *l) {
    int64_t dilation[] = {l->stride, l->stride}, before = l->taps / 2,
            behind = l->taps - 1 + (result_extent(l) - 1) * l->stride + 1 - l->extent - before,
            low[] = {before, before}, high[] = {behind, behind};
    tn_val x = tn_transpose(plane_input(g, "x", l->channels, l->extent), TN_INTS(1, 0, 2, 3)),
           dy = tn_transpose(plane_input(g, "dy", l->features, result_extent(l)), TN_INTS(1, 0, 2, 3));
    tn_val dk = tn_conv(x, dy, .low = {2, low}, .high = {2, high}, .dilation = {2, dilation});
    return tn_transpose(dk, TN_INTS(1, 0, 2, 3));
}

static const struct {
    const char *name;
    tn_val (*build)(tn_graph *g, const training_layer *l);
} directions[] = {{"forward", build_forward}, {"d input", build_input_gradient}, {"d kernel", build_kernel_gradient}};

static double flops_of(const training_layer *l) {
    return 2.0 * BATCH * result_extent(l) * result_extent(l) * l->features * l->channels * l->taps * l->taps;
}

static void measure_direction(const training_layer *l, int d) {
    tn_graph *g = tn_graph_new("training");
    double seconds = time_graph(g, directions[d].build(g, l));
    figure f = {.group = "training",
                .unit = "GFLOP/s",
                .value = flops_of(l) / seconds * 1e-9,
                .seconds = seconds,
                .of = LIMIT_FMA,
                .gate_share = l->gates[d]};
    snprintf(f.name, sizeof f.name, "%d, %dx%d to %d, %dx%d / %d, %s", l->channels, l->extent, l->extent, l->features,
             l->taps, l->taps, l->stride, directions[d].name);
    record(f);
}

void measure_training(void) {
    if (!is_wanted("training")) return;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int d = 0; d < 3; d++) measure_direction(&layers[i], d);
}
