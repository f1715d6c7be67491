/* Which nodes simplify does without, and that results are the interpreter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++) n++;
    return n;
}

/* x to a constant power: how many multiplications it becomes, -1: it stays. */
static void check_power(const char *dtype, const char *exponent, int wanted) {
    char text[512];
    snprintf(text, sizeof text,
             "(%%x: %s[n]) -> (%%y: %s[n]) {\n  %%0 = constant value=%s[] {%s} : %s[]\n"
             "  %%1 = broadcast %%0, shape=[n] : %s[n]\n  %%2 = pow %%x, %%1 : %s[n]\n  return %%2\n}",
             dtype, dtype, dtype, exponent, dtype, dtype, dtype);
    char *stage = program_stage(text, "simplify", NULL);
    int n = strstr(stage, "= pow ") ? -1 : count_of(stage, "= mul ");
    if (n != wanted) fail_msg("%d multiplications, not %d:\n%s", n, wanted, stage);
    tn_text_free(stage);
    check_program(text, "n=37", NULL, ANY_NUMBERS);
}

static void test_powers(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f32", "f64"};
    for (int i = 0; i < 2; i++) {
        check_power(dtypes[i], "1", 0);
        check_power(dtypes[i], "2", 1);
        check_power(dtypes[i], "3", 2);
        check_power(dtypes[i], "0.5", -1);
        check_power(dtypes[i], "-2", -1);
        check_power(dtypes[i], "4", -1);
    }
    check_power("i32", "2", 1);
    check_power("i32", "3", 2);
    check_power("f16", "3", -1); /* the square would be rounded to f16 */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_powers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
