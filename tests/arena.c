/* The plan of the arena: as small as what is alive at once, and where it cannot be, nearly.
 *
 * in:  blocks made for the purpose; all models in build/models whose sizes are known (those that are missing are not
 *      asked for)
 * out: no two blocks share a byte while both are wanted, and the arena is at most 1.05 of the liveness bound
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/loops/plan.h"
#include "tenon.h"
#include "tenon_compile.h"
#include "tenon_onnx.h"

static const double MOST = 1.05;

/* ---- Blocks ---- */

enum { MOST_BLOCKS = 200 };

typedef struct blocks {
    dim_table *dims;
    lifetime items[MOST_BLOCKS];
    size_t n;
} blocks;

static void add(blocks *b, int64_t bytes, size_t from, size_t to) {
    tn_dim size = dim_const(b->dims, bytes);
    assert_true(b->n < MOST_BLOCKS);
    b->items[b->n++] = (lifetime){.bytes = size, .live_bytes = size, .from = from, .to = to};
}

static int64_t number(const blocks *b, tn_dim d) {
    int64_t bytes = -1;
    assert_true(dim_is_const(b->dims, d, &bytes));
    return bytes;
}

static void assert_apart(const blocks *b, const lifetime *x, const lifetime *y) {
    int64_t x_begin = number(b, x->offset), y_begin = number(b, y->offset);
    if (x->from > y->to || y->from > x->to) return;
    assert_true(x_begin + number(b, x->bytes) <= y_begin || y_begin + number(b, y->bytes) <= x_begin);
}

/* Places them, twice; the second time says the same. */
static void check(blocks *b, int64_t live, double most) {
    tn_dim top, bound, again;
    lifetime other[MOST_BLOCKS];
    memcpy(other, b->items, sizeof other);
    assert_true(plan_place(b->dims, b->items, b->n, &top, &bound));
    assert_true(plan_place(b->dims, other, b->n, &again, &bound));
    assert_memory_equal(b->items, other, b->n * sizeof *other);
    assert_int_equal(number(b, bound), live);
    assert_true((double)number(b, top) <= most * (double)live);
    for (size_t i = 0; i < b->n; i++) {
        assert_true(number(b, b->items[i].offset) % PLAN_ALIGNMENT == 0);
        assert_true(number(b, b->items[i].offset) + number(b, b->items[i].bytes) <= number(b, top));
        for (size_t j = 0; j < i; j++) assert_apart(b, &b->items[i], &b->items[j]);
    }
    dim_table_free(b->dims);
}

static void test_nothing(void **state) {
    (void)state;
    blocks b = {.dims = dim_table_new()};
    check(&b, 0, 1);
}

static void test_chain(void **state) {
    (void)state;
    blocks b = {.dims = dim_table_new()};
    for (size_t i = 0; i < 50; i++) add(&b, (int64_t)(64 * (1 + i % 7)), i, i + 1);
    check(&b, 64 * (6 + 7), 1);
}

/* The blocks of a transformer's layers: 4 units between two of 1 that live on, so that every second wide block has to
 * lie elsewhere; largest first ends a unit too high. */
static void test_transformer(void **state) {
    (void)state;
    enum { UNIT = 6400, LAYERS = 12, STEP = 7 };
    blocks b = {.dims = dim_table_new()};
    for (size_t i = 0; i < LAYERS; i++) {
        size_t at = i * STEP;
        add(&b, UNIT, at, at + 1);            /* normed */
        add(&b, 3 * UNIT, at + 1, at + 2);    /* queries, keys, values */
        add(&b, UNIT, at + 2, at + 3);        /* turned */
        add(&b, UNIT, at + 3, at + 4);        /* attended */
        add(&b, UNIT + 256, at + 3, at + 3);  /* its temporaries */
        add(&b, UNIT, at + 4, at + 6);        /* the sum */
        add(&b, UNIT, at + 4, at + 5);        /* normed */
        add(&b, 4 * UNIT, at + 5, at + 6);    /* hidden */
        add(&b, UNIT, at + 6, at + STEP + 4); /* the next sum */
    }
    check(&b, 6 * UNIT, 1);
}

/* Sizes that are no multiple of the alignment count as they are: each block may lose less than one line. */
static void test_alignment(void **state) {
    (void)state;
    blocks b = {.dims = dim_table_new()};
    for (size_t i = 0; i < 20; i++) add(&b, 1000, 0, i);
    check(&b, 20000, 1.024);
}

/* ---- Models ---- */

/* What the dump says of main's plan; false: sizes are symbolic. */
static bool planned(const char *text, long long *arena, long long *live) {
    static const char first[] = "# plan of @main: arena ", second[] = " bytes, alive at once at most ";
    const char *at = text ? strstr(text, first) : NULL;
    char *end = NULL, *last = NULL;
    if (!at) return false;
    *arena = strtoll(at + strlen(first), &end, 10);
    if (strncmp(end, second, strlen(second)) != 0) return false;
    *live = strtoll(end + strlen(second), &last, 10);
    return last != end + strlen(second);
}

static bool check_model(const char *path) {
    long long arena = 0, live = 0;
    tn_diag diag = {0};
    tn_module *m = tn_onnx_load(path, NULL);
    char *text = m ? tn_compile_text(m, NULL, "loops", "/dev/null", &diag) : NULL; /* the weights are of no interest */
    if (!text) fail_msg("%s: %s", path, diag.message);
    bool is_static = planned(text, &arena, &live);
    if (is_static && (double)arena > MOST * (double)live)
        fail_msg("%s: an arena of %lld bytes for %lld alive at once", path, arena, live);
    tn_text_free(text);
    tn_module_free(m);
    return is_static;
}

static void test_models(void **state) {
    (void)state;
    static const char folder[] = "build/models";
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[600];
        const char *end = strrchr(e->d_name, '.');
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (end && strcmp(end, ".onnx") == 0) n += check_model(path);
    }
    if (d) closedir(d);
    print_message("# %d models of known sizes\n", n);
    if (n == 0) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),   cmocka_unit_test(test_chain),  cmocka_unit_test(test_transformer),
        cmocka_unit_test(test_alignment), cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
