/* Concats whose operands are made side by side (compiler/loops/plan_join.c): which are, which are copied, and that
 * all are right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/lib/program_check.h"

static int count(const char *text, const char *what) {
    int n = 0;
    for (; (text = strstr(text, what)); text++) n++;
    return n;
}

/* The program is right, `joined` of its concats have no kernel, and it copies so many values. */
static void check_join(const char *text, const char *symbols, int joined, int copies) {
    char *fused = program_stage(text, "fuse", NULL), *code = program_stage(text, "llvm", NULL), *kernels;
    if ((kernels = strstr(fused, "\nkernel fn"))) *kernels = '\0'; /* @main comes first */
    if (count(fused, "= concat ") != joined) fail_msg("not %d concats in\n%s", joined, fused);
    *strstr(code, "\ndefine i32 @run(") = '\0'; /* which copies what it is given */
    if (count(code, "call void @llvm.memcpy") != copies) fail_msg("not %d copies in\n%s\n%s", copies, text, code);
    tn_text_free(fused);
    tn_text_free(code);
    check_program(text, symbols, NULL, ANY_NUMBERS);
}

static void test_side_by_side(void **state) {
    (void)state;
    check_join("(%x: f32[1, 30, 7], %z: f32[1, 2, 7]) -> (%y: f32[1, 32, 7]) {\n"
               "  %0 = exp %x : f32[1, 30, 7]\n  %1 = neg %z : f32[1, 2, 7]\n"
               "  %2 = concat %0, %1, axis=1 : f32[1, 32, 7]\n  %3 = abs %2 : f32[1, 32, 7]\n  return %3\n}\n",
               "", 1, 0);
}

static void test_of_any_length(void **state) {
    (void)state;
    static const char text[] = "(%x: f32[n, 7], %z: f32[m, 7]) -> (%y: f32[n + 2*m, 7]) {\n"
                               "  %0 = exp %x : f32[n, 7]\n  %1 = neg %z : f32[m, 7]\n  %2 = exp %z : f32[m, 7]\n"
                               "  %3 = concat %1, %0, %2, axis=0 : f32[n + 2*m, 7]\n"
                               "  %4 = abs %3 : f32[n + 2*m, 7]\n  return %4\n}\n";
    check_join(text, "n=5 m=9", 1, 0);
    check_join(text, "n=0 m=3", 1, 0);
    check_join(text, "n=4 m=0", 1, 0);
}

/* Concats that append to the one before share a buffer, as in a dense block. */
static void test_appending(void **state) {
    (void)state;
    check_join("(%x: f32[1, 9, 5]) -> (%y: f32[1, 36, 5]) {\n"
               "  %0 = exp %x : f32[1, 9, 5]\n  %1 = neg %0 : f32[1, 9, 5]\n"
               "  %2 = concat %0, %1, axis=1 : f32[1, 18, 5]\n  %3 = reduce %2, kind=max, axes=[1] : f32[1, 5]\n"
               "  %4 = broadcast %3, shape=[1, 9, 5], dims=[0, 2] : f32[1, 9, 5]\n  %5 = mul %0, %4 : f32[1, 9, 5]\n"
               "  %6 = concat %0, %1, %5, axis=1 : f32[1, 27, 5]\n  %7 = reduce %6, kind=min, axes=[1] : f32[1, 5]\n"
               "  %8 = broadcast %7, shape=[1, 9, 5], dims=[0, 2] : f32[1, 9, 5]\n  %9 = mul %1, %8 : f32[1, 9, 5]\n"
               "  %10 = concat %0, %1, %5, %9, axis=1 : f32[1, 36, 5]\n  %11 = abs %10 : f32[1, 36, 5]\n"
               "  return %11\n}\n",
               "", 3, 0);
}

/* Parts of parts lie in the outermost buffer; so do those of a result, in the caller's. */
static void test_nested(void **state) {
    (void)state;
    check_join("(%x: f32[1, 9, 5], %z: f32[1, 2, 5]) -> (%y: f32[22, 5], %w: f32[1, 11, 5]) {\n"
               "  %0 = exp %x : f32[1, 9, 5]\n  %1 = exp %z : f32[1, 2, 5]\n"
               "  %2 = concat %0, %1, axis=1 : f32[1, 11, 5]\n  %3 = reshape %2, shape=[11, 5] : f32[11, 5]\n"
               "  %4 = abs %2 : f32[1, 11, 5]\n  %5 = neg %3 : f32[11, 5]\n"
               "  %6 = concat %5, %3, axis=0 : f32[22, 5]\n  return %6, %4\n}\n",
               "", 2, 0);
}

/* What lies elsewhere already is copied: twice the same, another order, a result of its own. */
static void test_copies(void **state) {
    (void)state;
    check_join("(%x: f32[300], %z: f32[200]) -> (%y: f32[1000]) {\n"
               "  %0 = exp %x : f32[300]\n  %1 = exp %z : f32[200]\n"
               "  %2 = concat %0, %1, %0, %1, axis=0 : f32[1000]\n  %3 = abs %2 : f32[1000]\n  return %3\n}\n",
               "", 1, 2);
    check_join("(%x: f32[300], %z: f32[200]) -> (%y: f32[500], %w: f32[500]) {\n"
               "  %0 = exp %x : f32[300]\n  %1 = exp %z : f32[200]\n"
               "  %2 = concat %0, %1, axis=0 : f32[500]\n  %3 = concat %1, %0, axis=0 : f32[500]\n"
               "  %4 = abs %2 : f32[500]\n  %5 = abs %3 : f32[500]\n  return %4, %5\n}\n",
               "", 2, 2);
    check_join("(%x: f32[300], %z: f32[200]) -> (%y: f32[500], %w: f32[200]) {\n"
               "  %0 = exp %x : f32[300]\n  %1 = exp %z : f32[200]\n"
               "  %2 = concat %0, %1, axis=0 : f32[500]\n  %3 = abs %2 : f32[500]\n  return %3, %1\n}\n",
               "", 1, 1);
}

/* Views that reorder become kernels that write in place; parameters and constants stay with a kernel of their own,
 * which copies in parallel; so do parts that do not lie one after the other. */
static void test_other_operands(void **state) {
    (void)state;
    check_join("(%x: f32[20, 30], %z: f32[30, 5]) -> (%y: f32[30, 25]) {\n"
               "  %0 = transpose %x, perm=[1, 0] : f32[30, 20]\n  %1 = reshape %0, shape=[600] : f32[600]\n"
               "  %2 = exp %z : f32[30, 5]\n  %3 = reshape %2, shape=[150] : f32[150]\n"
               "  %4 = concat %1, %3, axis=0 : f32[750]\n  %5 = reshape %4, shape=[30, 25] : f32[30, 25]\n"
               "  %6 = abs %5 : f32[30, 25]\n  return %6\n}\n",
               "", 1, 0);
    check_join("(%x: f32[300], %z: f32[200]) -> (%y: f32[500]) {\n  %0 = exp %x : f32[300]\n"
               "  %1 = concat %0, %z, axis=0 : f32[500]\n  %2 = abs %1 : f32[500]\n  return %2\n}\n",
               "", 0, 0);
    check_join("(%x: f32[2, 30], %z: f32[2, 20]) -> (%y: f32[2, 50]) {\n"
               "  %0 = exp %x : f32[2, 30]\n  %1 = exp %z : f32[2, 20]\n"
               "  %2 = concat %0, %1, axis=1 : f32[2, 50]\n  %3 = abs %2 : f32[2, 50]\n  return %3\n}\n",
               "", 0, 0);
}

/* A step's concat is made anew in each step; what loops and branches give can be a part. */
static void test_control_flow(void **state) {
    (void)state;
    check_program("(%x: f32[6, 8], %h: f32[4]) -> (%y: f32[6, 12], %z: f32[4], %w: f32[8]) {\n"
                  "  %0, %1 = scan %h, %x, carried=1, length=6, body=@step : f32[4], f32[6, 12]\n"
                  "  %2 = exp %0 : f32[4]\n  %3 = concat %2, %0, axis=0 : f32[8]\n  %4 = neg %3 : f32[8]\n"
                  "  return %1, %2, %4\n}\n"
                  "fn @step(%h: f32[4], %x: f32[8]) -> (%h1: f32[4], %y: f32[12]) {\n"
                  "  %0 = cos %h : f32[4]\n  %1 = sin %x : f32[8]\n  %2 = concat %0, %1, axis=0 : f32[12]\n"
                  "  %3 = slice %2, start=[3], limit=[7] : f32[4]\n  return %3, %2\n}\n",
                  "", NULL, ANY_NUMBERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_of_any_length),
        cmocka_unit_test(test_appending),    cmocka_unit_test(test_nested),
        cmocka_unit_test(test_copies),       cmocka_unit_test(test_other_operands),
        cmocka_unit_test(test_control_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
