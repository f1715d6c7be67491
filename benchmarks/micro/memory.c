/* Kernels that memory bounds, on tensors that no cache holds.
 *
 * A kernel that reads far more than it writes is a share of what can be read; one that writes counts the bytes that it
 * must read and those that it writes, as a share of what loops can that do both (machine.c).
 */
#include "benchmarks/micro/micro.h"

enum { ROWS = 65536, COLUMNS = 1024 };

static tn_shape matrix(void) { return TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)); }
static tn_val matrix_input(tn_graph *g, const char *name) { return tn_input(g, name, TN_F32, matrix()); }

/* ---- One function a kernel: its graph ---- */

static tn_val build_add(tn_graph *g) { return tn_add(matrix_input(g, "x"), matrix_input(g, "y")); }
static tn_val build_gelu(tn_graph *g) { return tn_gelu(matrix_input(g, "x")); }
static tn_val build_rows(tn_graph *g) { return tn_sum(matrix_input(g, "x"), TN_INTS(1)); }
static tn_val build_columns(tn_graph *g) { return tn_sum(matrix_input(g, "x"), TN_INTS(0)); }
static tn_val build_all(tn_graph *g) { return tn_sum(matrix_input(g, "x"), TN_INTS(0, 1)); }
static tn_val build_softmax(tn_graph *g) { return tn_softmax(matrix_input(g, "x"), -1); }

static tn_val build_layer_norm(tn_graph *g) {
    tn_shape row = TN_SHAPE(TN_SIZE(COLUMNS));
    tn_val scale = tn_input(g, "scale", TN_F32, row), bias = tn_input(g, "bias", TN_F32, row);
    return tn_layer_norm(matrix_input(g, "x"), scale, bias, 1, 1e-5);
}

static tn_val build_transpose(tn_graph *g) { return tn_transpose(matrix_input(g, "x"), TN_INTS(1, 0)); }

static tn_val build_transpose_add(tn_graph *g) {
    return tn_add_scalar(tn_transpose(matrix_input(g, "x"), TN_INTS(1, 0)), 1);
}

enum { IMAGES = 64, CHANNELS = 64, EXTENT = 112, LATE_CHANNELS = 2048, LATE_EXTENT = 7, LATE_IMAGES = 512 };
#define IMAGE_FLOATS ((double)IMAGES * CHANNELS * EXTENT * EXTENT)
#define LATE_FLOATS ((double)LATE_IMAGES * LATE_CHANNELS * LATE_EXTENT * LATE_EXTENT)

static tn_val images(tn_graph *g) {
    return tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(IMAGES), TN_SIZE(CHANNELS), TN_SIZE(EXTENT), TN_SIZE(EXTENT)));
}

static tn_val build_to_nhwc(tn_graph *g) { return tn_transpose(images(g), TN_INTS(0, 2, 3, 1)); }

static tn_val build_to_nchw(tn_graph *g) {
    tn_shape shape = TN_SHAPE(TN_SIZE(IMAGES), TN_SIZE(EXTENT), TN_SIZE(EXTENT), TN_SIZE(CHANNELS));
    return tn_transpose(tn_input(g, "x", TN_F32, shape), TN_INTS(0, 3, 1, 2));
}

static tn_val build_max_pool(tn_graph *g) {
    int64_t window[] = {3, 3}, stride[] = {2, 2}, pad[] = {1, 1};
    tn_window_args args = {.window = {2, window}, .stride = {2, stride}, .low = {2, pad}, .high = {2, pad}};
    return tn_pool_at(TN_HERE, TN_OP_max_pool, images(g), args);
}

static tn_val build_global_pool(tn_graph *g) {
    tn_shape shape = TN_SHAPE(TN_SIZE(LATE_IMAGES), TN_SIZE(LATE_CHANNELS), TN_SIZE(LATE_EXTENT), TN_SIZE(LATE_EXTENT));
    return tn_global_avg_pool(tn_input(g, "x", TN_F32, shape));
}

enum { VOCABULARY = 131072, WIDTH = 768, TOKENS = 65536 };

static tn_val build_embedding(tn_graph *g) {
    tn_val words = tn_input(g, "words", TN_F32, TN_SHAPE(TN_SIZE(VOCABULARY), TN_SIZE(WIDTH)));
    return tn_take(words, tn_input(g, "tokens", TN_I32, TN_SHAPE(TN_SIZE(TOKENS))), 0);
}

/* ---- The table ---- */

#define MATRIX_FLOATS ((double)ROWS * COLUMNS)

static const struct {
    const char *group, *name;
    tn_val (*build)(tn_graph *g);
    double floats; /* read and written */
    limit of;
    double gate;
} kernels[] = {
    {"map", "x + y", build_add, 3 * MATRIX_FLOATS, LIMIT_WRITE, 0.85},
    {"map", "gelu", build_gelu, 2 * MATRIX_FLOATS, LIMIT_WRITE, 0.85},
    {"reduce", "sum of rows of 1024", build_rows, MATRIX_FLOATS, LIMIT_READ, 0},
    {"reduce", "sum of 1024 columns", build_columns, MATRIX_FLOATS, LIMIT_READ, 0},
    {"reduce", "sum of all", build_all, MATRIX_FLOATS, LIMIT_READ, 0},
    {"softmax", "rows of 1024", build_softmax, 2 * MATRIX_FLOATS, LIMIT_WRITE, 0.85},
    {"layer_norm", "rows of 1024", build_layer_norm, 2 * MATRIX_FLOATS, LIMIT_WRITE, 0.85},
    {"transpose", "65536 x 1024", build_transpose, 2 * MATRIX_FLOATS, LIMIT_WRITE, 0},
    {"transpose", "65536 x 1024, + 1", build_transpose_add, 2 * MATRIX_FLOATS, LIMIT_WRITE, 0},
    {"transpose", "NCHW to NHWC, 64, 112x112", build_to_nhwc, 2 * IMAGE_FLOATS, LIMIT_WRITE, 0},
    {"transpose", "NHWC to NCHW, 64, 112x112", build_to_nchw, 2 * IMAGE_FLOATS, LIMIT_WRITE, 0},
    {"pooling", "max 3x3 / 2, 64, 112x112", build_max_pool, 1.25 * IMAGE_FLOATS, LIMIT_WRITE, 0},
    {"pooling", "global average, 2048, 7x7", build_global_pool, LATE_FLOATS, LIMIT_READ, 0},
    {"embedding", "65536 rows of 768", build_embedding, 2.0 * TOKENS * WIDTH, LIMIT_WRITE, 0},
};

void measure_memory(void) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (!is_wanted(kernels[i].group)) continue;
        tn_graph *g = tn_graph_new("kernel");
        running r = running_open(g, kernels[i].build(g), (run_options){.indices_below = VOCABULARY});
        double seconds = best_of(running_call, &r);
        running_close(&r);
        figure f = {.group = kernels[i].group,
                    .unit = "GB/s",
                    .value = kernels[i].floats * F32_BYTES / seconds * 1e-9,
                    .seconds = seconds,
                    .of = kernels[i].of,
                    .gate_share = kernels[i].gate};
        snprintf(f.name, sizeof f.name, "%s", kernels[i].name);
        record(f);
    }
}
