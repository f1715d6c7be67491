#include "tests/lib/kernel_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/loops/scalar.h"
#include "tests/lib/levels.h"

enum { MAX_BUFFERS = 64, GUARD_BYTES = 64, LINE_BYTES = 64 };

void script_add(script *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char piece[2048];
    int n = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof piece);
    if (t->n + (size_t)n + 1 > t->capacity) {
        t->capacity = 2 * (t->n + (size_t)n + 1);
        char *more = realloc(t->text, t->capacity);
        assert_non_null(more);
        t->text = more;
    }
    memcpy(t->text + t->n, piece, (size_t)n + 1);
    t->n += (size_t)n;
}

/* ---- Inputs ---- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t any_float(tn_dtype dtype, uint64_t r) {
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN,    1,     -1,   0.5,
                                 2.5, -3.5, 1e-30,    1e30,      5e-324, 65504, 88.7, -104};
    double unit = (double)(r >> 11) * 0x1p-53 * 2 - 1;
    switch (r & 7) {
    case 0: return scalar_from_float(dtype, odd[(r >> 3) % (sizeof odd / sizeof *odd)]);
    case 1: return scalar_from_float(dtype, ldexp(unit, (int)((r >> 3) & 31) - 16));
    case 2: return scalar_from_float(dtype, (double)((int64_t)(r >> 3 & 15) - 8));
    default: return scalar_from_float(dtype, unit * 4);
    }
}

static uint64_t any_int(tn_dtype dtype, uint64_t r) {
    switch (r & 3) {
    case 0: return scalar_from_int(dtype, (int64_t)(r >> 2));
    case 1: {
        static const int64_t odd[] = {0, 1, -1, INT64_MIN, INT64_MAX, 127, -128, 32767, -32768, INT32_MAX, INT32_MIN};
        return scalar_from_int(dtype, odd[(r >> 2) % (sizeof odd / sizeof *odd)]);
    }
    default: return scalar_from_int(dtype, (int64_t)(r >> 2 & 31) - 12);
    }
}

static uint64_t one_element(tn_dtype dtype, fill how, uint64_t r) {
    bool is_float = scalar_kind_of(dtype) == SCALAR_FLOAT;
    if (dtype == TN_BOOL) return r & 1;
    switch (how) {
    case FILL_SMALL: return scalar_from_int(dtype, (int64_t)(r % 9) - (scalar_kind_of(dtype) == SCALAR_UINT ? 0 : 4));
    case FILL_POSITIVE:
        return is_float ? scalar_from_float(dtype, 0.5 + 1.5 * (double)(r >> 11) * 0x1p-53)
                        : scalar_from_int(dtype, (int64_t)(r % 6));
    default: return is_float ? any_float(dtype, r) : any_int(dtype, r);
    }
}

void fill_elements(tn_dtype dtype, void *data, int64_t n, fill how, uint64_t seed) {
    uint64_t state = seed * 7919 + dtype;
    for (int64_t i = 0; i < n; i++)
        scalar_write(dtype, (char *)data + (size_t)i * scalar_bytes(dtype),
                     one_element(dtype, how, next_random(&state)));
}

/* ---- Comparing ---- */

static double ulp_of(tn_dtype dtype, double x) {
    static const int precision[TN_DTYPE_COUNT] = {[TN_F16] = 11, [TN_BF16] = 8, [TN_F32] = 24, [TN_F64] = 53};
    static const int lowest[TN_DTYPE_COUNT] = {[TN_F16] = -24, [TN_BF16] = -133, [TN_F32] = -149, [TN_F64] = -1074};
    int exponent;
    frexp(x, &exponent);
    int unit = exponent - precision[dtype];
    return ldexp(1, unit < lowest[dtype] ? lowest[dtype] : unit);
}

static bool is_close(tn_dtype dtype, uint64_t got, uint64_t want, double ulps) {
    if (got == want) return true;
    if (scalar_kind_of(dtype) != SCALAR_FLOAT) return false;
    double x = scalar_to_float(dtype, got), y = scalar_to_float(dtype, want);
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (x == y) return true;
    if (isinf(x) || isinf(y)) return false;
    return fabs(x - y) <= ulps * ulp_of(dtype, y);
}

static void compare(const lt_kernel *k, const char *target, uint32_t buffer, const char *got, const char *want,
                    int64_t n, double ulps) {
    tn_dtype dtype = k->buffers[buffer].dtype;
    size_t each = scalar_bytes(dtype);
    for (int64_t i = 0; i < n; i++) {
        uint64_t x = scalar_read(dtype, got + (size_t)i * each), y = scalar_read(dtype, want + (size_t)i * each);
        if (is_close(dtype, x, y, ulps)) continue;
        char *text = lt_print(k);
        fail_msg("%s%s: %s[%lld] is %.17g (0x%llx), the evaluator says %.17g (0x%llx)", text, target,
                 k->buffers[buffer].name, (long long)i, scalar_to_float(dtype, x), (unsigned long long)x,
                 scalar_to_float(dtype, y), (unsigned long long)y);
    }
}

/* ---- Checking ---- */

typedef struct extent_values {
    const lt_kernel *kernel;
    const int64_t *values;
} extent_values;

static bool look(void *ctx, tn_dim leaf, int64_t *value) {
    const extent_values *e = ctx;
    for (uint32_t i = 0; i < e->kernel->n_extents; i++)
        if (e->kernel->extents[i] == leaf) {
            *value = e->values[i];
            return true;
        }
    return false;
}

lt_kernel *parse_kernel_text(tn_module *m, const char *text) {
    lt_kernel *k = lt_parse(m, text, strlen(text), "kernel.lt");
    if (!k) fail_msg("%s\n%d:%d: %s", text, m->error.line, m->error.column, m->error.message);
    char *printed = lt_print(k);
    assert_non_null(printed);
    lt_kernel *again = lt_parse(m, printed, strlen(printed), "printed");
    if (!again) fail_msg("%s\n%d:%d: %s", printed, m->error.line, m->error.column, m->error.message);
    assert_true(lt_equal(k, again));
    assert_int_equal(lt_hash(k), lt_hash(again));
    char *twice = lt_print(again);
    assert_string_equal(printed, twice);
    tn_free(twice);
    tn_free(printed);
    return again;
}

/* Code for machines that are not at hand calls nothing but its own helpers. */
static void check_calls(const lt_kernel *k) {
    char *assembly = kernel_run_text("aarch64", k, true);
    for (const char *at = assembly; (at = strstr(at, "\tbl\t")); at += 4)
        if (at[4] != '.') fail_msg("aarch64 code calls %.40s", at + 4);
    tn_free(assembly);
}

void check_kernel_with(const char *text, const int64_t *extents, double ulps, fill how) {
    tn_module *m = module_new("test");
    lt_kernel *k = parse_kernel_text(m, text);
    tn_diag diag = {.status = TN_OK};
    if (!lt_verify(k, &diag)) fail_msg("%s\n%s", text, diag.message);

    uint32_t n = k->n_inputs + k->n_outputs;
    int64_t elements[MAX_BUFFERS] = {0};
    char *blocks[2][MAX_BUFFERS];
    void *buffers[2][MAX_BUFFERS]; /* evaluated, compiled */
    assert_true(n <= MAX_BUFFERS);
    for (uint32_t i = 0; i < n; i++) {
        extent_values e = {k, extents};
        assert_true(dim_eval(m->dims, k->buffers[i].elements, look, &e, &elements[i]));
        size_t bytes = (size_t)elements[i] * scalar_bytes(k->buffers[i].dtype);
        for (int side = 0; side < 2; side++) {
            /* One past alignment, or a line of the cache, and watched on both sides. */
            blocks[side][i] = malloc(bytes + 2 * GUARD_BYTES + LINE_BYTES);
            assert_non_null(blocks[side][i]);
            memset(blocks[side][i], 0x5a, bytes + 2 * GUARD_BYTES + LINE_BYTES);
            uintptr_t start = (uintptr_t)blocks[side][i] + GUARD_BYTES;
            buffers[side][i] = blocks[side][i] + GUARD_BYTES + (k->buffers[i].is_streamed ? -start % LINE_BYTES : 1);
            if (k->buffers[i].role == LT_INPUT)
                fill_elements(k->buffers[i].dtype, buffers[side][i], elements[i], how, i + 1);
        }
    }

    check_calls(k);
    tn_status status = lt_eval(k, buffers[0], extents, &diag);
    if (status != TN_OK && status != TN_ERR_INDEX) fail_msg("%s\n%s", text, diag.message);
    for (size_t t = 0; t < LEVELS; t++) {
        if (!level_runs_here(level_names[t])) continue;
        kernel_run r;
        for (uint32_t i = k->n_inputs; i < n; i++)
            memset(buffers[1][i], 0x5a, (size_t)elements[i] * scalar_bytes(k->buffers[i].dtype));
        kernel_run_open(&r, level_names[t], k);
        kernel_run_call(&r, buffers[1], extents);
        for (uint32_t i = 0; i < n; i++) {
            size_t bytes = (size_t)elements[i] * scalar_bytes(k->buffers[i].dtype);
            compare(k, level_names[t], i, buffers[1][i], buffers[0][i], elements[i], ulps);
            const char *first = buffers[1][i];
            for (size_t g = 0; g < GUARD_BYTES; g++)
                if (first[-1 - (ptrdiff_t)g] != 0x5a || first[bytes + g] != 0x5a)
                    fail_msg("%s\n%s: bytes outside %s were written", text, level_names[t], k->buffers[i].name);
        }
        if (status == TN_OK)
            assert_true(r.status == TN_STATUS_CLEAR);
        else {
            char word[96];
            snprintf(word, sizeof word, "element %llu (site %llu)",
                     (unsigned long long)(r.status & ((UINT64_C(1) << TN_STATUS_INDEX_BITS) - 1)),
                     (unsigned long long)(r.status >> TN_STATUS_INDEX_BITS));
            if (!strstr(diag.message, word)) fail_msg("%s\n%s: %s, but %s", text, level_names[t], diag.message, word);
        }
        kernel_run_close(&r);
    }
    for (int side = 0; side < 2; side++)
        for (uint32_t i = 0; i < n; i++) free(blocks[side][i]);
    tn_module_free(m);
}
