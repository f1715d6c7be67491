/* Convolutions and windows: one to three spatial axes, strides, padding, dilation, groups, symbols, against the
 * interpreter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/levels.h"
#include "tests/lib/program_check.h"

enum { MOST_SPATIAL = 3 };

typedef struct sizes {
    int spatial, images, channels, features, groups;
    int extent[MOST_SPATIAL], tap[MOST_SPATIAL], stride[MOST_SPATIAL], pad[MOST_SPATIAL], dilation[MOST_SPATIAL],
        spread[MOST_SPATIAL];
} sizes;

/* A list of extents as text; `open` and `close` around, missing ones read as 1. */
static void list(char *out, size_t bytes, const int *items, int n, int otherwise) {
    size_t used = (size_t)snprintf(out, bytes, "[");
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%d", i ? ", " : "", items[i] ? items[i] : otherwise);
    snprintf(out + used, bytes - used, "]");
}

typedef struct conv_text {
    char text[4096], symbols[128];
} conv_text;

/* conv, then a bias and a maximum, as a text whose first axes are symbols when `symbolic` names them: n the images, h
 * and w the spatial axes. `binding` of the kernel: "" or " weight". */
static conv_text write_conv(const sizes *s, const char *symbolic, const char *dtype, const char *binding) {
    static const char *const names[] = {"h", "w", "d"};
    char in[128], out[256], kernel[128], stride[32], pad[32], dilation[32], spread[32], images[16] = "n";
    conv_text c;
    if (!strchr(symbolic, 'n')) snprintf(images, sizeof images, "%d", s->images);
    size_t i = (size_t)snprintf(in, sizeof in, "%s, %d", images, s->channels);
    size_t o = (size_t)snprintf(out, sizeof out, "%s, %d", images, s->features);
    size_t k = (size_t)snprintf(kernel, sizeof kernel, "%d, %d", s->features, s->channels / s->groups);
    size_t v = (size_t)snprintf(c.symbols, sizeof c.symbols, "n=%d", s->images);
    for (int a = 0; a < s->spatial; a++) {
        int step = s->stride[a] ? s->stride[a] : 1, apart = s->dilation[a] ? s->dilation[a] : 1,
            zeros = s->spread[a] ? s->spread[a] : 1;
        int more = 2 * s->pad[a] - (s->tap[a] - 1) * apart - zeros; /* beside zeros * extent */
        if (strstr(symbolic, names[a])) {
            i += (size_t)snprintf(in + i, sizeof in - i, ", %s", names[a]);
            o += (size_t)snprintf(out + o, sizeof out - o, ", floordiv(%d*%s %c %d, %d) + 1", zeros, names[a],
                                  more < 0 ? '-' : '+', abs(more), step);
        } else {
            i += (size_t)snprintf(in + i, sizeof in - i, ", %d", s->extent[a]);
            o += (size_t)snprintf(out + o, sizeof out - o, ", %d", (zeros * s->extent[a] + more) / step + 1);
        }
        k += (size_t)snprintf(kernel + k, sizeof kernel - k, ", %d", s->tap[a]);
        v += (size_t)snprintf(c.symbols + v, sizeof c.symbols - v, " %s=%d", names[a], s->extent[a]);
    }
    list(stride, sizeof stride, s->stride, s->spatial, 1);
    list(pad, sizeof pad, s->pad, s->spatial, 0);
    list(dilation, sizeof dilation, s->dilation, s->spatial, 1);
    list(spread, sizeof spread, s->spread, s->spatial, 1);
    snprintf(c.text, sizeof c.text,
             "(%%x: %s[%s], %%k: %s[%s]%s, %%b: %s[%d]) -> (%%y: %s[%s]) {\n"
             "  %%0 = conv %%x, %%k, stride=%s, low=%s, high=%s, dilation=%s, input_dilation=%s, groups=%d : %s[%s]\n"
             "  %%1 = broadcast %%b, dims=[1], shape=[%s] : %s[%s]\n"
             "  %%2 = add %%0, %%1 : %s[%s]\n  %%3 = max %%2, %%1 : %s[%s]\n  return %%3\n}",
             dtype, in, dtype, kernel, binding, dtype, s->features, dtype, out, stride, pad, pad, dilation, spread,
             s->groups, dtype, out, out, dtype, out, dtype, out, dtype, out);
    return c;
}

/* More taps than places in the result: the pass conv_weights makes it what it might be, the gradient of a kernel. */
static bool is_like_a_gradient(const sizes *s) {
    int taps = 1, places = 1;
    for (int a = 0; a < s->spatial; a++) {
        int step = s->stride[a] ? s->stride[a] : 1, apart = s->dilation[a] ? s->dilation[a] : 1;
        taps *= s->tap[a];
        places *= (s->extent[a] + 2 * s->pad[a] - (s->tap[a] - 1) * apart - 1) / step + 1;
    }
    return taps > places;
}

static void conv(const sizes *s, const char *symbolic, const char *dtype, const char *class_name, numbers what) {
    conv_text c = write_conv(s, symbolic, dtype, "");
    if (is_like_a_gradient(s)) class_name = NULL;
    check_program_with(&(tn_compile_options){.winograd = "off"}, c.text, c.symbols, class_name, what);
}

static const sizes planes[] = {
    {2, 1, 3, 8, 1, {9, 9}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 3, 8, 1, {9, 10}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
    {2, 2, 4, 6, 1, {7, 5}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}},
    {2, 1, 16, 20, 1, {14, 14}, {1, 1}, {2, 2}, {0, 0}, {0}, {0}},
    {2, 1, 3, 8, 1, {20, 30}, {7, 7}, {2, 2}, {3, 3}, {0}, {0}},
    {2, 2, 8, 8, 2, {6, 6}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
    {2, 1, 5, 8, 1, {1, 1}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 3, 4, 4, 1, {4, 4}, {2, 2}, {1, 1}, {0, 0}, {0}, {0}},
    {2, 1, 100, 17, 1, {5, 5}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 4, 8, 1, {3, 600}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 4, 8, 1, {32, 32}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}},
    {2, 1, 4, 9, 1, {12, 13}, {3, 3}, {1, 3}, {2, 2}, {2, 2}, {0}},
    {2, 1, 4, 6, 1, {5, 6}, {3, 4}, {1, 1}, {2, 3}, {0}, {2, 2}},
    {2, 2, 8, 8, 1, {7, 9}, {2, 2}, {1, 1}, {1, 1}, {0}, {2, 2}},
    {2, 1, 8, 6, 2, {7, 18}, {4, 4}, {1, 1}, {2, 2}, {0}, {2, 2}},
    {2, 1, 4, 5, 1, {6, 6}, {5, 3}, {1, 1}, {3, 1}, {0}, {3, 1}},
    {2, 1, 4, 8, 1, {6, 7}, {2, 3}, {1, 1}, {2, 3}, {0}, {3, 2}},
    {2, 1, 6, 4, 1, {5, 6}, {3, 3}, {1, 1}, {2, 2}, {2, 3}, {2, 2}},
    {2, 1, 60, 3, 1, {10, 10}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 0, 4, 6, 1, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    /* few output channels a group */
    {2, 1, 8, 8, 8, {9, 9}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 2, 6, 6, 6, {20, 21}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
    {2, 1, 4, 8, 4, {7, 7}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
    {2, 1, 3, 6, 3, {5, 40}, {3, 3}, {1, 1}, {0, 0}, {2, 2}, {0}},
    {2, 1, 2, 1, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 3, 3, 3, {4, 5}, {3, 3}, {1, 1}, {2, 2}, {0}, {1, 2}},
    {2, 1, 4, 4, 4, {6, 20}, {4, 4}, {1, 1}, {2, 2}, {0}, {2, 2}},
    {2, 1, 1, 1, 1, {6, 20}, {2, 2}, {1, 1}, {1, 1}, {0}, {2, 2}},
};

static void test_planes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
        conv(&planes[i], "", "f32", "conv", EXACT_NUMBERS);
        conv(&planes[i], "nhw", "f32", "conv", EXACT_NUMBERS);
        conv(&planes[i], i % 2 ? "h" : "w", "f32", "conv", EXACT_NUMBERS);
    }
}

/* Few output channels a group: rows of one vector, of several, of parts of one; planes that are one group of rows, or
 * cut in bands, or small and narrow; strides and dilations along either axis; padding beyond the kernel;
 * inputs smaller than the kernel. */
static const sizes few_channels[] = {
    {2, 2, 5, 5, 5, {56, 56}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 3, 3, 3, {112, 40}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
    {2, 1, 3, 3, 3, {14, 14}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
    {2, 1, 3, 3, 3, {29, 31}, {5, 5}, {2, 2}, {2, 2}, {0}, {0}},
    {2, 2, 4, 4, 4, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 4, 4, 4, {25, 5}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 2, 2, 2, {700, 301}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 2, 2, 2, {300, 501}, {3, 3}, {2, 2}, {0, 1}, {0}, {0}},
    {2, 1, 4, 12, 2, {20, 33}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 3, 3, 3, {28, 28}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
    {2, 2, 2, 2, 2, {14, 14}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
    {2, 1, 2, 2, 2, {57, 131}, {3, 5}, {2, 2}, {1, 3}, {1, 2}, {0}},
    {2, 2, 2, 2, 2, {40, 17}, {3, 3}, {2, 1}, {1, 1}, {0}, {0}},
    {2, 2, 2, 2, 2, {17, 40}, {3, 3}, {1, 2}, {1, 1}, {0}, {0}},
    {2, 1, 2, 2, 2, {30, 70}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {0}},
    {2, 1, 2, 2, 2, {30, 90}, {3, 3}, {1, 1}, {20, 20}, {20, 20}, {0}},
    {2, 1, 2, 2, 2, {9, 50}, {3, 3}, {1, 1}, {5, 6}, {0}, {0}},
    {2, 1, 2, 2, 2, {2, 2}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
    {2, 1, 3, 3, 3, {9, 1}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 3, 3, 3, {1, 9}, {3, 1}, {1, 1}, {1, 0}, {0}, {0}},
    {2, 1, 3, 3, 3, {33, 35}, {1, 7}, {1, 1}, {0, 3}, {0}, {0}},
    {2, 1, 3, 3, 3, {33, 35}, {7, 7}, {3, 4}, {3, 3}, {0}, {0}},
    {2, 0, 3, 3, 3, {9, 9}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 2, 4, 8, 4, {30, 4}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 6, 3, 3, {5, 5}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {0}},
    {2, 1, 3, 3, 3, {40, 3}, {1, 5}, {1, 1}, {0, 2}, {0}, {0}},
    {2, 3, 3, 3, 3, {4, 4}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
    {2, 1, 3, 3, 3, {1, 1}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
};

static void test_few_channels(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f16", "bf16", "f64", "i32", "i8"};
    for (size_t i = 0; i < sizeof few_channels / sizeof *few_channels; i++) {
        conv(&few_channels[i], i % 2 ? "n" : "", "f32", "conv", EXACT_NUMBERS);
        conv(&few_channels[i], "", "f32", "conv", ANY_NUMBERS);
        if (few_channels[i].extent[0] < 100) conv(&few_channels[i], "", dtypes[i % 5], NULL, EXACT_NUMBERS);
    }
}

/* As many channels as vectors have lanes, or some vectors more: planes in one band or several, blocks of a row with and
 * without edges, padding beyond the kernel, strides and dilations along either axis, inputs smaller than the kernel. */
static void test_channels_as_lanes(void **state) {
    (void)state;
    static const sizes cases[] = {
        {2, 2, 16, 16, 16, {14, 14}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
        {2, 1, 48, 48, 48, {7, 7}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
        {2, 1, 16, 16, 16, {90, 50}, {4, 4}, {2, 2}, {2, 2}, {0}, {0}},
        {2, 1, 16, 16, 16, {64, 61}, {4, 5}, {1, 3}, {1, 2}, {0}, {0}},
        {2, 1, 16, 16, 16, {20, 23}, {5, 5}, {3, 1}, {0, 0}, {2, 3}, {0}},
        {2, 1, 16, 16, 16, {5, 20}, {7, 7}, {1, 1}, {9, 11}, {0}, {0}},
        {2, 1, 16, 16, 16, {2, 2}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
        {2, 1, 16, 16, 16, {3, 1}, {7, 3}, {1, 1}, {3, 1}, {0}, {0}},
        {2, 1, 16, 16, 16, {1, 19}, {1, 16}, {1, 1}, {0, 8}, {0}, {0}},
        {2, 1, 24, 24, 24, {12, 13}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
        {2, 1, 16, 32, 16, {12, 13}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conv(&cases[i], i % 2 ? "n" : "", "f32", "conv", EXACT_NUMBERS);
        conv(&cases[i], "", i % 2 ? "f64" : "f32", "conv", ANY_NUMBERS);
    }
}

static void test_rounding(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i += 4)
        conv(&planes[i], i % 8 ? "n" : "", "f32", "conv", ANY_NUMBERS);
}

/* Depths that are cut in blocks. */
static void test_deep(void **state) {
    (void)state;
    static const sizes deep[] = {{2, 1, 300, 40, 1, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
                                 {2, 1, 200, 16, 1, {14, 28}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}}};
    for (size_t i = 0; i < 2; i++) conv(&deep[i], "", "f32", "conv", EXACT_NUMBERS);
}

/* Beside few positions weights are packed: tap by tap or pointwise, panels that are not full, several images,
 * dilations, other ranks; and some that are not. */
static void test_packed_weights(void **state) {
    (void)state;
    static const struct {
        sizes s;
        bool is_packed;
    } cases[] = {
        {{2, 1, 64, 128, 1, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}}, true},
        {{2, 3, 240, 72, 1, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}}, true},
        {{2, 3, 40, 72, 1, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}}, false}, /* the L1 holds them */
        {{2, 1, 30, 520, 1, {14, 14}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}}, true},
        {{2, 2, 20, 400, 1, {3, 3}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}}, true},
        {{2, 1, 20, 400, 1, {9, 9}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {0}}, true},
        {{2, 1, 3, 64, 1, {40, 40}, {3, 3}, {2, 2}, {0, 0}, {0}, {0}}, false},
        {{2, 1, 20, 400, 1, {3, 3}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {0}}, true},
        {{1, 1, 30, 500, 1, {5}, {3}, {1}, {1}, {0}, {0}}, true},
        {{3, 1, 8, 300, 1, {2, 2, 5}, {2, 1, 3}, {1, 1, 1}, {0}, {0}, {0}}, false},
        {{2, 1, 64, 64, 1, {16, 16}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}}, false},
        {{2, 1, 64, 128, 2, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}}, false},
        {{2, 1, 16, 128, 1, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {0}, {2, 2}}, false},
    };
    const tn_compile_options widest = {.target = "x86-64-v4"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conv_text c = write_conv(&cases[i].s, "", "f32", " weight");
        char *stage = program_stage(c.text, "layout", &widest);
        if ((strstr(stage, "= barrier ") != NULL) != cases[i].is_packed) fail_msg("case %zu:\n%s", i, stage);
        tn_text_free(stage);
        check_program(c.text, c.symbols, NULL, EXACT_NUMBERS);
        check_program(c.text, c.symbols, NULL, ANY_NUMBERS);
    }
}

/* Few channels: sums go from a tile's registers through what is fused behind, for tiles that fill rows and columns and
 * for those that don't, on all targets. What takes more than a few instructions is a loop as ever. */
static void test_shallow(void **state) {
    (void)state;
    static const sizes cases[] = {
        {2, 1, 16, 64, 1, {55, 55}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}},
        {2, 2, 24, 29, 1, {28, 28}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}},
        {2, 2, 12, 44, 2, {27, 27}, {1, 1}, {1, 1}, {0, 0}, {0}, {0}},
        {2, 1, 3, 33, 1, {41, 46}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
        {2, 1, 8, 30, 1, {30, 31}, {3, 3}, {1, 1}, {1, 1}, {0}, {0}},
        {1, 3, 16, 20, 1, {700}, {1}, {1}, {0}, {0}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            tn_compile_options options = {.target = level_of_seed(seed)};
            conv_text c = write_conv(&cases[i], "", "f32", " weight");
            check_program_with(&options, c.text, c.symbols, NULL, EXACT_NUMBERS);
        }
    conv(&cases[1], "", "f64", "conv", EXACT_NUMBERS);
    conv(&cases[2], "", "f16", "conv", EXACT_NUMBERS);
    check_program("(%x: f32[1, 16, 25, 25], %k: f32[40, 16, 1, 1] weight, %r: f32[1, 40, 25, 25])\n"
                  "  -> (%y: f32[1, 40, 25, 25], %z: f32[1, 40, 25, 25]) {\n"
                  "  %0 = conv %x, %k : f32[1, 40, 25, 25]\n  %1 = add %0, %r : f32[1, 40, 25, 25]\n"
                  "  %2 = logistic %1 : f32[1, 40, 25, 25]\n  %3 = mul %1, %2 : f32[1, 40, 25, 25]\n"
                  "  return %1, %3\n}",
                  "", "conv", ANY_NUMBERS);
}

/* Packed weights, several taps: with padding and without, on all sides or one, dilations, rows shorter and longer than
 * a tile, a depth in blocks, one axis, a kernel of one row or column, images of a known and an unknown number. */
static void test_windows_in_place(void **state) {
    (void)state;
    static const sizes cases[] = {
        {2, 2, 16, 64, 1, {28, 28}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
        {2, 1, 24, 80, 1, {15, 31}, {3, 3}, {2, 2}, {0, 0}, {0}, {0}},
        {2, 3, 3, 64, 1, {30, 50}, {7, 7}, {2, 2}, {3, 3}, {0}, {0}},
        {2, 1, 300, 48, 1, {7, 7}, {5, 5}, {1, 1}, {2, 2}, {0}, {0}},
        {2, 1, 700, 72, 1, {7, 8}, {3, 3}, {2, 2}, {1, 1}, {0}, {0}},
        {2, 2, 64, 33, 1, {1, 70}, {1, 9}, {1, 1}, {0, 4}, {0}, {0}},
        {2, 1, 64, 32, 1, {70, 1}, {9, 1}, {3, 1}, {4, 0}, {0}, {0}},
        {2, 1, 32, 64, 1, {12, 13}, {3, 2}, {1, 3}, {2, 5}, {2, 3}, {0}},
        {1, 3, 32, 64, 1, {90}, {5}, {2}, {3}, {2}, {0}},
        {2, 1, 16, 64, 1, {2, 2}, {5, 5}, {1, 1}, {4, 4}, {0}, {0}},
        {2, 1, 128, 32, 1, {14, 14}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *symbolic = i % 2 ? "n" : "", *dtype = i % 3 == 2 ? "f64" : "f32";
        conv_text c = write_conv(&cases[i], symbolic, dtype, " weight");
        check_program(c.text, c.symbols, NULL, ANY_NUMBERS);
        tn_compile_options options = {.target = level_of_seed(i)};
        c = write_conv(&cases[i], "", "f32", " weight");
        check_program_with(&options, c.text, c.symbols, NULL, EXACT_NUMBERS);
    }
}

/* Where the input lies: part of another tensor, or computed on the way. */
static void test_windows_of_parts(void **state) {
    (void)state;
    check_program(
        "(%x: f32[n, 40, 20, 22], %k: f32[64, 16, 3, 3] weight) -> (%y: f32[n, 64, 8, 9]) {\n"
        "  %0 = slice %x, start=[0, 7, 1, 2], limit=[n, 23, 18, 21], stride=[1, 1, 1, 1] : f32[n, 16, 17, 19]\n"
        "  %1 = conv %0, %k, stride=[2, 2] : f32[n, 64, 8, 9]\n  return %1\n}",
        "n=2", NULL, EXACT_NUMBERS);
    check_program("(%x: f32[n, 17, 19, 16], %k: f32[64, 16, 3, 3] weight) -> (%y: f32[n, 64, 8, 9]) {\n"
                  "  %0 = transpose %x, perm=[0, 3, 1, 2] : f32[n, 16, 17, 19]\n  %1 = neg %0 : f32[n, 16, 17, 19]\n"
                  "  %2 = conv %1, %k, stride=[2, 2] : f32[n, 64, 8, 9]\n  return %2\n}",
                  "n=3", NULL, EXACT_NUMBERS);
    check_program("(%x: f32[1, 17, 19, 16], %k: f32[64, 16, 3, 3] weight) -> (%y: f32[1, 64, 8, 9]) {\n"
                  "  %0 = transpose %x, perm=[0, 3, 1, 2] : f32[1, 16, 17, 19]\n"
                  "  %1 = conv %0, %k, stride=[2, 2] : f32[1, 64, 8, 9]\n  return %1\n}",
                  "", NULL, EXACT_NUMBERS);
}

static void test_other_ranks(void **state) {
    (void)state;
    static const sizes others[] = {
        {1, 2, 5, 7, 1, {50}, {3}, {1}, {1}, {0}, {0}},
        {1, 1, 4, 8, 1, {900}, {5}, {2}, {2}, {0}, {0}},
        {1, 1, 6, 6, 6, {40}, {7}, {1}, {3}, {0}, {0}},
        {1, 1, 6, 8, 1, {40}, {1}, {1}, {0}, {0}, {0}},
        {3, 1, 3, 5, 1, {4, 5, 6}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
        {3, 2, 4, 4, 4, {4, 5, 9}, {2, 3, 3}, {1, 2, 1}, {0, 1, 1}, {0}, {0}},
        {3, 1, 8, 6, 1, {3, 4, 5}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {0}},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        conv(&others[i], "", "f32", "conv", EXACT_NUMBERS);
        conv(&others[i], "nh", "f32", "conv", EXACT_NUMBERS);
    }
}

/* What is fused after a convolution may differ along any axis. */
static void test_epilogues(void **state) {
    (void)state;
    static const struct {
        int tap, pad, spread, extent;
    } kinds[] = {{1, 0, 1, 9}, {3, 1, 1, 9}, {2, 1, 2, 18}, {3, 0, 1, 7}};
    char text[2048];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int groups = 1; groups <= 8; groups += 7) {
            int n = kinds[i].extent;
            snprintf(text, sizeof text,
                     "(%%x: f32[n, 8, 9, 9], %%k: f32[8, %d, %d, %d], %%c: f32[%d], %%r: f32[n, %d, 8, %d])\n"
                     "  -> (%%y: f32[n, 8, %d, %d], %%z: f32[n, 8, %d, %d]) {\n"
                     "  %%0 = conv %%x, %%k, low=[%d, %d], high=[%d, %d], input_dilation=[%d, %d], groups=%d : f32[n, "
                     "8, %d, %d]\n"
                     "  %%1 = broadcast %%c, dims=[3], shape=[n, 8, %d, %d] : f32[n, 8, %d, %d]\n"
                     "  %%2 = mul %%0, %%1 : f32[n, 8, %d, %d]\n"
                     "  %%3 = transpose %%r, perm=[0, 2, 1, 3] : f32[n, 8, %d, %d]\n"
                     "  %%4 = add %%2, %%3 : f32[n, 8, %d, %d]\n  return %%0, %%4\n}",
                     8 / groups, kinds[i].tap, kinds[i].tap, n, n, n, n, n, n, n, kinds[i].pad, kinds[i].pad,
                     kinds[i].pad, kinds[i].pad, kinds[i].spread, kinds[i].spread, groups, n, n, n, n, n, n, n, n, n, n,
                     n, n);
            check_program(text, "n=2", "conv", EXACT_NUMBERS);
        }
}

static void test_dtypes(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f16", "bf16", "f64", "i32", "i8"};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (size_t k = 0; k < 16; k += 5) conv(&planes[k], k ? "n" : "", dtypes[i], NULL, EXACT_NUMBERS);
}

/* ---- Windows ---- */

static void test_windows(void **state) {
    (void)state;
    static const char *const kinds[] = {"max", "min", "sum", "prod"}, *const dtypes[] = {"f32", "i32", "f16", "u8"};
    char text[1024];
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text,
                 "(%%x: %s[2, 3, h, w]) -> (%%y: %s[2, 3, floordiv(h - 1, 2) + 1, floordiv(w - 1, 2) + 1]) {\n"
                 "  %%0 = window %%x, kind=%s, window=[1, 1, 3, 3], stride=[1, 1, 2, 2], low=[0, 0, 1, 1], high=[0, 0, "
                 "1, 1] : "
                 "%s[2, 3, floordiv(h - 1, 2) + 1, floordiv(w - 1, 2) + 1]\n  return %%0\n}",
                 dtypes[i], dtypes[i], kinds[i], dtypes[i]);
        check_program(text, "h=9 w=50", "window", EXACT_NUMBERS);
        check_program(text, "h=1 w=1", "window", EXACT_NUMBERS);
        snprintf(text, sizeof text,
                 "(%%x: %s[2, 13, 40]) -> (%%y: %s[2, 13, 39]) {\n"
                 "  %%0 = window %%x, kind=%s, window=[2, 1, 4], low=[1, 0, 2], high=[0, 0, 0], dilation=[1, 1, 1] : "
                 "%s[2, 13, 39]\n"
                 "  %%1 = max %%0, %%0 : %s[2, 13, 39]\n  return %%1\n}",
                 dtypes[i], dtypes[i], kinds[i], dtypes[i], dtypes[i]);
        check_program(text, "", "window", EXACT_NUMBERS);
        snprintf(text, sizeof text,
                 "(%%x: %s[3, n, 20]) -> (%%y: %s[3, n - 4, 10]) {\n"
                 "  %%0 = window %%x, kind=%s, window=[1, 3, 2], stride=[1, 1, 2], dilation=[1, 2, 1] : %s[3, n - 4, "
                 "10]\n  return %%0\n}",
                 dtypes[i], dtypes[i], kinds[i], dtypes[i]);
        check_program(text, "n=9", "window", EXACT_NUMBERS);
    }
}

/* Max and min, the last axis known: rows and columns of windows by themselves, with padding beyond the kernel,
 * dilation, rows narrower than a vector, wider than what a chunk may hold. */
static void test_windows_by_rows(void **state) {
    (void)state;
    static const struct {
        const char *in, *out, *attrs, *symbols;
    } cases[] = {
        {"2, 3, h, 50", "2, 3, floordiv(h - 1, 2) + 1, 25",
         "window=[1, 1, 3, 3], stride=[1, 1, 2, 2], low=[0, 0, 1, 1], high=[0, 0, 1, 1]", "h=9"},
        {"1, 70, 30, 31", "1, 70, 14, 15", "window=[1, 1, 3, 3], stride=[1, 1, 2, 2]", ""},
        {"n, 2, 9, 40", "n, 2, 12, 15", "window=[1, 1, 2, 5], stride=[1, 1, 1, 3], low=[0, 0, 2, 6], high=[0, 0, 2, 3]",
         "n=2"},
        {"2, 6, 7, 33", "2, 2, 2, 15", "window=[1, 3, 3, 3], stride=[1, 3, 2, 2], dilation=[1, 1, 2, 2]", ""},
        {"5, 4, 3", "5, 3, 2", "window=[1, 2, 2], stride=[1, 1, 2], high=[0, 0, 1]", ""},
        {"2, 5, 6000", "2, 4, 2000", "window=[1, 2, 2], stride=[1, 1, 3]", ""},
    };
    static const char *const kinds[] = {"max", "min"}, *const dtypes[] = {"f32", "f64", "f16", "i32", "u8"};
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t d = 0; d < 5; d++) {
            snprintf(text, sizeof text,
                     "(%%x: %s[%s]) -> (%%y: %s[%s]) {\n  %%0 = window %%x, kind=%s, %s : %s[%s]\n  %%1 = neg %%0 : "
                     "%s[%s]\n  return %%1\n}",
                     dtypes[d], cases[i].in, dtypes[d], cases[i].out, kinds[(i + d) % 2], cases[i].attrs, dtypes[d],
                     cases[i].out, dtypes[d], cases[i].out);
            check_program(text, cases[i].symbols, "window", d % 2 ? EXACT_NUMBERS : ANY_NUMBERS);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels_as_lanes),
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_few_channels),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_packed_weights),
        cmocka_unit_test(test_shallow),
        cmocka_unit_test(test_windows_in_place),
        cmocka_unit_test(test_windows_of_parts),
        cmocka_unit_test(test_other_ranks),
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_windows_by_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
