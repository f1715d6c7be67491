/* Allocation, arenas, dtype names and half conversions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/alloc.h"
#include "runtime/diag.h"
#include "runtime/half.h"
#include "runtime/tenon_rt.h"

/* ---- Allocation --------------------------------------------------------------------------------- */

static void test_sizes(void **state) {
    (void)state;
    void *p = tn_malloc(0);
    assert_non_null(p);
    p = tn_realloc(p, 100);
    assert_non_null(p);
    tn_free(p);
    tn_free(NULL);
    char *zeros = tn_calloc(10, 10);
    assert_non_null(zeros);
    for (int i = 0; i < 100; i++) assert_int_equal(zeros[i], 0);
    tn_free(zeros);
    p = tn_aligned_alloc(64, 100);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    tn_free(p);
}

static void test_sizes_that_cannot_be(void **state) {
    (void)state;
    assert_null(tn_malloc(SIZE_MAX));
    assert_null(tn_calloc(SIZE_MAX / 2, 3));
    assert_null(tn_calloc(3, SIZE_MAX / 2));
    assert_null(tn_aligned_alloc(64, SIZE_MAX - 10));
    char *p = tn_malloc(8);
    assert_non_null(p);
    p[0] = 'a';
    assert_null(tn_realloc(p, SIZE_MAX));
    assert_int_equal(p[0], 'a');
    tn_free(p);
}

static void test_arena(void **state) {
    (void)state;
    arena a = {0};
    char *before = NULL;
    for (size_t i = 0; i < 3000; i++) {
        char *p = arena_alloc(&a, i, 3);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, before);
        for (size_t k = 0; k < i * 3; k++) assert_int_equal(p[k], 0);
        memset(p, 0xff, i * 3);
        before = p;
    }
    assert_true(a.used_bytes >= 3000u * 2999 / 2 * 3);
    assert_null(arena_alloc(&a, SIZE_MAX, 2));
    assert_null(arena_alloc(&a, SIZE_MAX, 1));
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    assert_string_equal(arena_strdup(&a, "tenon"), "tenon");
    assert_string_equal(arena_strndup(&a, "tenon", 2), "te");
    assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    arena_free(&a);
    assert_int_equal(a.used_bytes, 0);
    arena_free(&a);
}

static void test_arena_limit(void **state) {
    (void)state;
    arena a = {.limit_bytes = 1000};
    assert_non_null(arena_alloc(&a, 100, 8));
    assert_null(arena_alloc(&a, 100, 8));
    assert_non_null(arena_alloc(&a, 10, 8));
    arena_free(&a);
}

static void test_growing_array(void **state) {
    (void)state;
    int *items = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(array_reserve((void **)&items, &capacity, (size_t)i + 1, sizeof *items));
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    assert_true(capacity >= 1000 && capacity < 4000);
    assert_false(array_reserve((void **)&items, &capacity, SIZE_MAX / 2, sizeof *items));
    assert_int_equal(items[999], 999);
    tn_free(items);
}

#ifdef TN_HOSTILE_MALLOC
static void test_failing_on_purpose(void **state) {
    (void)state;
    tn_malloc_fail_at(1, false);
    void *a = tn_malloc(1), *b = tn_malloc(1), *c = tn_malloc(1);
    assert_true(a != NULL && b == NULL && c != NULL);
    assert_int_equal(tn_malloc_fail_at(0, true), 3);
    assert_null(tn_malloc(1));
    assert_null(tn_calloc(1, 1));
    assert_null(tn_realloc(a, 9));
    assert_int_equal(tn_malloc_fail_at(UINT64_MAX, false), 3);
    tn_free(a);
    tn_free(c);
}
#endif

/* ---- Names ---------------------------------------------------------------------------------------- */

static void test_dtypes(void **state) {
    (void)state;
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        const char *name = tn_dtype_name((tn_dtype)i);
        assert_int_equal(tn_dtype_from_name(name), i);
        assert_true(tn_dtype_bits((tn_dtype)i) >= 8);
    }
    assert_string_equal(tn_dtype_name(TN_BF16), "bf16");
    assert_int_equal(tn_dtype_bits(TN_BF16), 16);
    assert_string_equal(tn_dtype_name(TN_TOKEN), "token");
    assert_string_equal(tn_dtype_name((tn_dtype)99), "invalid");
    assert_int_equal(tn_dtype_bits(TN_TOKEN), 0);
    assert_int_equal(tn_dtype_bits(TN_DTYPE_INVALID), 0);
    assert_int_equal(tn_dtype_from_name("float"), TN_DTYPE_INVALID);
    assert_int_equal(tn_dtype_from_name(NULL), TN_DTYPE_INVALID);
}

static void test_status_names(void **state) {
    (void)state;
    assert_string_equal(tn_status_name(TN_OK), "OK");
    assert_string_equal(tn_status_name(TN_ERR_INTERNAL), "ERR_INTERNAL");
    for (int i = 0; i <= TN_ERR_INTERNAL; i++) assert_string_not_equal(tn_status_name((tn_status)i), "ERR_UNKNOWN");
    assert_string_equal(tn_status_name((tn_status)1000), "ERR_UNKNOWN");
}

static void test_long_messages_are_cut(void **state) {
    (void)state;
    char name[3000];
    tn_diag diag;
    for (size_t shift = 0; shift < 3; shift++) {
        memset(name, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof name; i += 3) memcpy(name + i, "\xe4\xb8\xad", 4); /* a CJK character */
        assert_int_equal(diag_fail(&diag, TN_ERR_SHAPE, "%s", name), TN_ERR_SHAPE);
        size_t length = strlen(diag.message);
        assert_true(length < sizeof diag.message && length > sizeof diag.message - 8);
        assert_string_equal(diag.message + length - 3, "...");
        assert_int_equal((length - 3 - shift) % 3, 0);
    }
    assert_int_equal(diag_fail(NULL, TN_ERR_IO, "nobody listens"), TN_ERR_IO);
}

/* ---- Half floats: compared with the formats' definitions in doubles -------------------------------- */

typedef struct small_float {
    int exponent_bits, mantissa_bits;
    float (*widen)(uint16_t);
    uint16_t (*narrow)(float);
    uint16_t (*narrow_double)(double);
} small_float;

static const small_float formats[] = {
    {5, 10, f16_to_f32, f16_from_f32, f16_from_f64},
    {8, 7, bf16_to_f32, bf16_from_f32, bf16_from_f64},
};

/* The value of a finite, positive bit pattern; of the one after the largest, 2^(largest + 1). */
static double value_of(const small_float *f, uint32_t bits) {
    int bias = (1 << (f->exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> f->mantissa_bits);
    double mantissa = bits & ((1u << f->mantissa_bits) - 1), whole = 1u << f->mantissa_bits;
    if (exponent == 0) return ldexp(mantissa / whole, 1 - bias);
    return ldexp(1 + mantissa / whole, exponent - bias);
}

static uint32_t infinity_of(const small_float *f) { return ((1u << f->exponent_bits) - 1) << f->mantissa_bits; }

static void test_widening(void **state) {
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        const small_float *f = &formats[k];
        uint32_t infinity = infinity_of(f);
        for (uint32_t bits = 0; bits < infinity; bits++) {
            assert_true(f->widen((uint16_t)bits) == (float)value_of(f, bits));
            assert_true(f->widen((uint16_t)(bits | 0x8000)) == -(float)value_of(f, bits));
        }
        assert_true(signbit(f->widen(0x8000)));
        assert_true(f->widen((uint16_t)infinity) == INFINITY);
        assert_true(f->widen((uint16_t)(infinity | 0x8000)) == -INFINITY);
        for (uint32_t bits = infinity + 1; bits < 0x8000; bits++) assert_true(isnan(f->widen((uint16_t)bits)));
    }
}

/* Between each two neighbours: both, the middle, and just beside it. */
static void test_narrowing(void **state) {
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        const small_float *f = &formats[k];
        for (uint32_t bits = 0; bits < infinity_of(f); bits++) {
            double low = value_of(f, bits), high = value_of(f, bits + 1), middle = (low + high) / 2;
            uint16_t even = (uint16_t)(bits & 1 ? bits + 1 : bits);
            assert_int_equal(f->narrow_double(low), bits);
            assert_int_equal(f->narrow_double(middle), even);
            assert_int_equal(f->narrow_double(-middle), even | 0x8000);
            assert_int_equal(f->narrow_double(nextafter(middle, 0)), bits);
            assert_int_equal(f->narrow_double(nextafter(middle, INFINITY)), bits + 1);
            assert_int_equal(f->narrow((float)low), bits);
            if ((double)(float)middle != middle) continue; /* least of bf16: no float in between */
            assert_int_equal(f->narrow((float)middle), even);
            assert_int_equal(f->narrow(-(float)middle), even | 0x8000);
            assert_int_equal(f->narrow(nextafterf((float)middle, 0)), bits);
            assert_int_equal(f->narrow(nextafterf((float)middle, INFINITY)), bits + 1);
        }
        assert_int_equal(f->narrow(INFINITY), infinity_of(f));
        assert_int_equal(f->narrow_double(-1e300), infinity_of(f) | 0x8000);
        assert_int_equal(f->narrow_double(1e-300), 0);
        assert_int_equal(f->narrow_double(-0.0), 0x8000);
        assert_true(isnan(f->widen(f->narrow(NAN))));
        assert_true(isnan(f->widen(f->narrow_double(-(double)NAN))));
        assert_true(isnan(f->widen(f->narrow(half_bits_float(0x7f800001)))));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_sizes_that_cannot_be),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_limit),
        cmocka_unit_test(test_growing_array),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failing_on_purpose),
#endif
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_widening),
        cmocka_unit_test(test_narrowing),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
