/* Gradients of convolutions: the op conv_weights against the interpreter, direct and by tiles; the passes that find it
 * and choose how it is computed; whole steps forward and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/program_check.h"

enum { TEXT = 4096 };

/* A convolution: along rows and columns, or the latter alone. */
typedef struct sizes {
    int spatial, images, channels, features;
    int in[2], taps[2], stride[2], low[2], high[2], dilation[2];
} sizes;

static int places(const sizes *s, int axis) {
    return (s->in[axis] + s->low[axis] + s->high[axis] - (s->taps[axis] - 1) * s->dilation[axis] - 1) /
               s->stride[axis] +
           1;
}

/* Channels and output channels: one, few, about a vector, about a tile and a chunk, many; windows of one tap, along one
 * axis alone, larger than the input; strides and dilations along either axis; padding on one side and cropping. */
static const sizes all_sizes[] = {
    {2, 2, 5, 7, {9, 10}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 3, 16, 16, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 3, 33, {12, 15}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 3, 20, {15, 15}, {7, 7}, {2, 2}, {3, 3}, {3, 3}, {1, 1}},
    {2, 3, 20, 30, {8, 8}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
    {2, 5, 17, 70, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
    {2, 4, 70, 19, {9, 8}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
    {2, 2, 80, 90, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 7, 130, 40, {4, 4}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 4, 6, {14, 40}, {1, 5}, {1, 2}, {0, 2}, {0, 2}, {1, 1}},
    {2, 1, 4, 6, {40, 14}, {5, 1}, {3, 1}, {2, 0}, {1, 0}, {1, 1}},
    {2, 2, 18, 18, {13, 12}, {3, 2}, {1, 1}, {2, 0}, {2, 1}, {2, 3}},
    {2, 2, 6, 5, {13, 12}, {2, 3}, {1, 3}, {0, 4}, {1, 0}, {1, 2}},
    {2, 2, 8, 24, {10, 11}, {3, 3}, {1, 1}, {-1, 0}, {0, -1}, {1, 1}},
    {2, 1, 1, 1, {30, 31}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 16, 3, {6, 120}, {3, 3}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
    {2, 0, 4, 6, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 0, 6, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 4, 0, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 3, 5, 9, {1, 50}, {1, 3}, {1, 1}, {0, 1}, {0, 1}, {1, 1}},
    {1, 2, 40, 33, {1, 90}, {1, 5}, {1, 2}, {0, 2}, {0, 2}, {1, 1}},
    {1, 4, 20, 20, {1, 64}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
};
enum { N_SIZES = sizeof all_sizes / sizeof *all_sizes };

/* "a" or "a, b": one number for each spatial axis. */
static const char *axes(const sizes *s, const int *numbers, char *text) {
    if (s->spatial == 2)
        snprintf(text, 32, "%d, %d", numbers[0], numbers[1]);
    else
        snprintf(text, 32, "%d", numbers[1]);
    return text;
}

/* ---- The op ---- */

/* The gradient, then a step against it with momentum; the gradient is a result too. */
static void op_text(const sizes *s, const char *dtype, const char *images, bool is_tiled, char *text) {
    char in[32], out[32], window[32], stride[32], low[32], dilation[32], type[128];
    int q[2] = {places(s, 0), places(s, 1)};
    snprintf(type, sizeof type, "%s[%d, %d, %s]", dtype, s->features, s->channels, axes(s, s->taps, window));
    snprintf(text, TEXT,
             "(%%x: %s[%s, %d, %s], %%dy: %s[%s, %d, %s], %%k: %s) -> (%%g: %s, %%next: %s) {\n"
             "  %%0 = conv_weights %%x, %%dy, window=[%s], stride=[%s], low=[%s], dilation=[%s]%s : %s\n"
             "  %%1 = sub %%k, %%0 : %s\n  return %%0, %%1\n}",
             dtype, images, s->channels, axes(s, s->in, in), dtype, images, s->features, axes(s, q, out), type, type,
             type, window, axes(s, s->stride, stride), axes(s, s->low, low), axes(s, s->dilation, dilation),
             is_tiled ? ", tile=4" : "", type, type);
}

static void check_op(const sizes *s, const char *dtype, bool is_symbolic, bool is_tiled, numbers what) {
    char text[TEXT], images[16] = "n", symbols[16];
    if (!is_symbolic) snprintf(images, sizeof images, "%d", s->images);
    snprintf(symbols, sizeof symbols, "n=%d", s->images);
    op_text(s, dtype, images, is_tiled, text);
    check_program_with(&(tn_compile_options){.winograd = "off"}, text, is_symbolic ? symbols : "", "conv_weights",
                       what);
}

static void test_direct(void **state) {
    (void)state;
    for (int i = 0; i < N_SIZES; i++)
        check_op(&all_sizes[i], "f32", i % 2, false, i % 4 == 3 ? ANY_NUMBERS : EXACT_NUMBERS);
}

static void test_dtypes(void **state) {
    static const char *const dtypes[] = {"f64", "f16", "bf16"};
    (void)state;
    for (int i = 0; i < N_SIZES; i += 2) check_op(&all_sizes[i], dtypes[i % 3], i % 4, false, EXACT_NUMBERS);
}

static bool is_tileable(const sizes *s) {
    bool yes = s->spatial == 2;
    for (int i = 0; i < 2; i++) yes &= s->taps[i] == 3 && s->stride[i] == 1 && s->dilation[i] == 1;
    return yes;
}

static void test_tiles(void **state) {
    static const sizes parts = {2, 2, 180, 170, {5, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}; /* chunks are these */
    (void)state;
    for (int i = 0; i < N_SIZES; i++)
        if (is_tileable(&all_sizes[i])) check_op(&all_sizes[i], "f32", i % 2, true, ANY_NUMBERS);
    check_op(&parts, "f32", false, true, ANY_NUMBERS);
}

/* Groups: of one channel each, as many as vectors have lanes or not, of several in and out, of some. */
static void test_groups(void **state) {
    static const struct {
        const char *x, *dy, *k, *attrs;
    } cases[] = {
        {"3, 20, 9, 10", "3, 20, 9, 10", "20, 1, 3, 3", "window=[3, 3], low=[1, 1], groups=20"},
        {"2, 70, 13, 12", "2, 70, 6, 6", "70, 1, 3, 3", "window=[3, 3], stride=[2, 2], low=[1, 1], groups=70"},
        {"2, 16, 8, 8", "2, 16, 8, 8", "16, 1, 1, 1", "window=[1, 1], groups=16"},
        {"1, 5, 7, 30", "1, 5, 7, 30", "5, 1, 1, 17", "window=[1, 17], low=[0, 8], groups=5"},
        {"2, 6, 14, 15", "2, 6, 9, 9", "6, 1, 3, 2", "window=[3, 2], low=[1, 0], dilation=[2, 3], groups=6"},
        {"2, 18, 50", "2, 18, 50", "18, 1, 5", "window=[5], low=[2], groups=18"},
        {"2, 4, 9, 9", "2, 12, 9, 9", "12, 1, 3, 3", "window=[3, 3], low=[1, 1], groups=4"},
        {"2, 12, 9, 9", "2, 4, 9, 9", "4, 3, 3, 3", "window=[3, 3], low=[1, 1], groups=4"},
        {"3, 40, 8, 8", "3, 60, 8, 8", "60, 20, 3, 3", "window=[3, 3], low=[1, 1], groups=2"},
        {"2, 160, 6, 6", "2, 40, 6, 6", "40, 80, 3, 3", "window=[3, 3], low=[1, 1], groups=2"},
        {"0, 6, 8, 8", "0, 6, 8, 8", "6, 1, 3, 3", "window=[3, 3], low=[1, 1], groups=6"},
    };
    char text[TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "(%%x: f32[%s], %%dy: f32[%s], %%k: f32[%s]) -> (%%g: f32[%s]) {\n"
                 "  %%0 = conv_weights %%x, %%dy, %s : f32[%s]\n  %%1 = sub %%k, %%0 : f32[%s]\n  return %%1\n}",
                 cases[i].x, cases[i].dy, cases[i].k, cases[i].k, cases[i].attrs, cases[i].k, cases[i].k);
        check_program(text, "", "conv_weights", i % 4 == 3 ? ANY_NUMBERS : EXACT_NUMBERS);
    }
}

/* ---- As reverse mode writes it ---- */

/* The gradient of a kernel as a convolution, images and channels exchanged. */
static void gradient_text(const sizes *s, const char *images, const char *binding, char *text) {
    char in[32], out[32], window[32], stride[32], low[32], high[32], dilation[32];
    int q[2] = {places(s, 0), places(s, 1)}, behind[2];
    for (int i = 0; i < 2; i++)
        behind[i] = (s->taps[i] - 1) * s->dilation[i] + (q[i] - 1) * s->stride[i] + 1 - s->in[i] - s->low[i];
    axes(s, s->in, in), axes(s, q, out), axes(s, s->taps, window);
    snprintf(text, TEXT,
             "(%%x: f32[%s, %d, %s], %%dy: f32[%s, %d, %s]%s) -> (%%g: f32[%d, %d, %s]) {\n"
             "  %%0 = transpose %%x, perm=[1, 0, 2%s] : f32[%d, %s, %s]\n"
             "  %%1 = transpose %%dy, perm=[1, 0, 2%s] : f32[%d, %s, %s]\n"
             "  %%2 = conv %%0, %%1, stride=[%s], low=[%s], high=[%s], dilation=[%s] : f32[%d, %d, %s]\n"
             "  %%3 = transpose %%2, perm=[1, 0, 2%s] : f32[%d, %d, %s]\n  return %%3\n}",
             images, s->channels, in, images, s->features, out, binding, s->features, s->channels, window,
             s->spatial == 2 ? ", 3" : "", s->channels, images, in, s->spatial == 2 ? ", 3" : "", s->features, images,
             out, axes(s, s->dilation, stride), axes(s, s->low, low), axes(s, behind, high),
             axes(s, s->stride, dilation), s->channels, s->features, window, s->spatial == 2 ? ", 3" : "", s->features,
             s->channels, window);
}

static bool has_in_stage(const char *text, const char *stage, const tn_compile_options *options, const char *what) {
    char *dump = program_stage(text, stage, options);
    bool has = strstr(dump, what) != NULL;
    tn_text_free(dump);
    return has;
}

static bool is_found(const sizes *s) {
    int all = s->images > 0, window = 1;
    for (int i = 2 - s->spatial; i < 2; i++) {
        all *= places(s, i);
        window *= s->taps[i];
    }
    return all > window && all >= 16;
}

static void test_found(void **state) {
    char text[TEXT];
    const tn_compile_options exact = {.winograd = "off"};
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        const sizes *s = &all_sizes[i];
        if (s->images == 0 || s->channels == 0 || s->features == 0) continue;
        gradient_text(s, "n", "", text);
        if (has_in_stage(text, "clean", NULL, "= conv_weights %x, %dy") != is_found(s))
            fail_msg("case %d: %s", i, text);
        char symbols[16];
        snprintf(symbols, sizeof symbols, "n=%d", s->images);
        if (i % 4 == 0) check_program_with(&exact, text, symbols, NULL, EXACT_NUMBERS);
        if (is_found(s) && has_in_stage(text, "fuse", NULL, "= transpose")) fail_msg("case %d: %s", i, text);
    }
}

static void test_found_groups(void **state) {
    static const char text[] =
        "(%x: f32[n, 12, 8, 8], %dy: f32[n, 24, 4, 4]) -> (%g: f32[24, 3, 3, 3]) {\n"
        "  %0 = reshape %x, shape=[n, 4, 3, 8, 8] : f32[n, 4, 3, 8, 8]\n"
        "  %1 = transpose %0, perm=[2, 1, 0, 3, 4] : f32[3, 4, n, 8, 8]\n"
        "  %2 = reshape %1, shape=[3, 4*n, 8, 8] : f32[3, 4*n, 8, 8]\n"
        "  %3 = transpose %dy, perm=[1, 0, 2, 3] : f32[24, n, 4, 4]\n"
        "  %4 = conv %2, %3, low=[1, 1], high=[0, 0], dilation=[2, 2], groups=4 : f32[3, 24, 3, 3]\n"
        "  %5 = transpose %4, perm=[1, 0, 2, 3] : f32[24, 3, 3, 3]\n  return %5\n}";
    (void)state;
    assert_true(has_in_stage(text, "clean", NULL, "= conv_weights %x, %dy"));
    assert_false(has_in_stage(text, "fuse", NULL, "= transpose"));
    check_program(text, "n=3", "conv_weights", EXACT_NUMBERS);
}

/* Known at load time a kernel has better; and what is an ordinary convolution stays one. */
static void test_left_alone(void **state) {
    char text[TEXT];
    (void)state;
    gradient_text(&all_sizes[1], "3", " weight", text);
    assert_false(has_in_stage(text, "clean", NULL, "conv_weights"));
    assert_false(has_in_stage("(%x: f32[2, 8, 4, 4], %k: f32[16, 8, 3, 3]) -> (%y: f32[2, 16, 4, 4]) {\n"
                              "  %0 = conv %x, %k, low=[1, 1], high=[1, 1] : f32[2, 16, 4, 4]\n  return %0\n}",
                              "clean", NULL, "conv_weights"));
}

/* Tiles are chosen where they pay, unless that is not wanted. */
static void test_choice(void **state) {
    char text[TEXT];
    sizes large = {2, 8, 32, 32, {16, 16}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, few = large, strided = large;
    (void)state;
    gradient_text(&large, "8", "", text);
    assert_true(has_in_stage(text, "winograd", NULL, "tile=4"));
    assert_false(has_in_stage(text, "winograd", &(tn_compile_options){.winograd = "off"}, "tile=4"));
    few.channels = 3;
    gradient_text(&few, "8", "", text);
    assert_false(has_in_stage(text, "winograd", NULL, "tile=4"));
    strided.stride[0] = strided.stride[1] = 2;
    gradient_text(&strided, "8", "", text);
    assert_false(has_in_stage(text, "winograd", NULL, "tile=4"));
    gradient_text(&large, "8", "", text);
    check_program(text, "", "conv_weights", ANY_NUMBERS);
}

/* ---- Gradients of inputs ---- */

/* That of an input as a convolution of the result's gradient, spread by the stride, with the kernel reversed and its
 * channels exchanged; then a bias. */
static void input_text(const sizes *s, const char *images, const char *dtype, char *text) {
    char in[32], out[32], taps[32], low[32], high[32], dilation[32], spread[32], type[96];
    int q[2] = {places(s, 0), places(s, 1)}, before[2], behind[2];
    for (int i = 0; i < 2; i++) {
        int reach = (s->taps[i] - 1) * s->dilation[i];
        before[i] = reach - s->low[i];
        behind[i] = s->in[i] + s->low[i] - (q[i] - 1) * s->stride[i] - 1;
    }
    axes(s, s->in, in), axes(s, q, out), axes(s, s->taps, taps);
    snprintf(type, sizeof type, "%s[%s, %d, %s]", dtype, images, s->channels, in);
    snprintf(text, TEXT,
             "(%%dy: %s[%s, %d, %s], %%k: %s[%d, %d, %s], %%r: %s) -> (%%dx: %s) {\n"
             "  %%0 = reverse %%k, axes=[2%s] : %s[%d, %d, %s]\n"
             "  %%1 = transpose %%0, perm=[1, 0, 2%s] : %s[%d, %d, %s]\n"
             "  %%2 = conv %%dy, %%1, low=[%s], high=[%s], dilation=[%s], input_dilation=[%s] : %s\n"
             "  %%3 = add %%2, %%r : %s\n  return %%3\n}",
             dtype, images, s->features, out, dtype, s->features, s->channels, taps, type, type,
             s->spatial == 2 ? ", 3" : "", dtype, s->features, s->channels, taps, s->spatial == 2 ? ", 3" : "", dtype,
             s->channels, s->features, taps, axes(s, before, low), axes(s, behind, high),
             axes(s, s->dilation, dilation), axes(s, s->stride, spread), type, type);
}

/* Batches: strides along both axes or one, three and more, with dilations that share a factor with them or not; phases
 * without taps, rows that no window reaches; images, channels and features around tiles and vectors. */
static void test_inputs(void **state) {
    static const sizes cases[] = {
        {2, 8, 5, 7, {9, 10}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
        {2, 9, 20, 33, {16, 16}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
        {2, 32, 40, 18, {8, 8}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
        {2, 17, 33, 16, {8, 7}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
        {2, 10, 3, 64, {15, 17}, {7, 7}, {2, 2}, {3, 3}, {3, 3}, {1, 1}},
        {2, 8, 6, 6, {9, 20}, {2, 3}, {1, 3}, {0, 1}, {0, 1}, {1, 1}},
        {2, 8, 6, 6, {20, 9}, {3, 2}, {4, 1}, {1, 0}, {1, 0}, {1, 2}},
        {2, 8, 7, 9, {13, 12}, {3, 3}, {2, 2}, {2, 2}, {2, 1}, {2, 3}},
        {2, 8, 4, 6, {12, 12}, {2, 2}, {3, 3}, {0, 0}, {0, 0}, {1, 1}},
        {2, 8, 4, 6, {40, 70}, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {1, 1}},
        {2, 8, 16, 16, {10, 10}, {3, 3}, {2, 2}, {-1, 0}, {0, 1}, {1, 1}},
        {2, 8, 17, 70, {1, 1}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
        {1, 12, 5, 9, {1, 50}, {1, 3}, {1, 2}, {0, 1}, {0, 1}, {1, 1}},
        {1, 8, 20, 40, {1, 33}, {1, 5}, {1, 3}, {0, 2}, {0, 0}, {1, 2}},
        {2, 3, 9, 10, {9, 10}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
    };
    char text[TEXT], images[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(images, sizeof images, "%d", cases[i].images);
        input_text(&cases[i], images, "f32", text);
        check_program(text, "", "conv", i % 4 ? EXACT_NUMBERS : ANY_NUMBERS);
    }
    input_text(&cases[1], "9", "f64", text);
    check_program(text, "", "conv", EXACT_NUMBERS);
    input_text(&cases[2], "32", "bf16", text);
    check_program(text, "", "conv", EXACT_NUMBERS);
    input_text(&cases[0], "n", "f32", text);
    check_program(text, "n=9", "conv", EXACT_NUMBERS);
}

/* ---- Wrong applications ---- */

static void test_wrong(void **state) {
    static const struct {
        const char *x, *dy, *attrs, *message;
    } cases[] = {
        {"f32[1, 3, 8, 8]", "f32[1, 4, 8]", "window=[3, 3]", "operands have not one or two spatial axes each"},
        {"f32[1, 3, 8, 8, 8]", "f32[1, 4, 8, 8, 8]", "window=[3, 3, 3]", "one or two spatial axes"},
        {"f32[1, 3, 8, 8]", "f32[2, 4, 8, 8]", "window=[3, 3]", "numbers of images differ"},
        {"f32[1, 3, 8, 8]", "f64[1, 4, 8, 8]", "window=[3, 3]", "f64"},
        {"i32[1, 3, 8, 8]", "i32[1, 4, 8, 8]", "window=[3, 3]", "i32"},
        {"f32[1, 3, h, 8]", "f32[1, 4, 8, 8]", "window=[3, 3]", "a spatial extent is h"},
        {"f32[1, c, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 3]", "the number of channels is c"},
        {"f32[1, 3, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 0]", "window"},
        {"f32[1, 4, 8, 8]", "f32[1, 6, 8, 8]", "window=[3, 3], groups=4", "4 groups do not divide the channels"},
        {"f32[1, 4, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 3], groups=2, tile=4", "tile 4 wants f32, one group"},
        {"f32[1, 4, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 3], groups=-1", "-1 groups"},
        {"f32[1, 3, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 3], tile=2", "tile is 2, not 4"},
        {"f32[1, 3, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 3], tile=4, stride=[1, 2]", "tile 4 wants f32"},
        {"f64[1, 3, 8, 8]", "f64[1, 4, 8, 8]", "window=[3, 3], tile=4", "tile 4 wants f32"},
        {"f32[1, 3, 8, 8]", "f32[1, 4, 8, 8]", "window=[3, 3], stride=[1, 99999]", "the stride is 99999"},
    };
    char text[TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "module \"wrong\"\nfn @main(%%x: %s, %%dy: %s) -> (%%g: f32[1]) {\n"
                 "  %%0 = conv_weights %%x, %%dy, %s : f32[1]\n  return %%0\n}\n",
                 cases[i].x, cases[i].dy, cases[i].attrs);
        tn_module *m = tn_module_parse(text, strlen(text), "wrong");
        assert_non_null(m);
        assert_non_null(tn_module_error(m));
        if (!strstr(tn_module_error(m)->message, cases[i].message))
            fail_msg("%s, but not: %s", tn_module_error(m)->message, cases[i].message);
        tn_module_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),     cmocka_unit_test(test_dtypes),       cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_groups),     cmocka_unit_test(test_found_groups), cmocka_unit_test(test_found),
        cmocka_unit_test(test_left_alone), cmocka_unit_test(test_choice),       cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
