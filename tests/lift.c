/* Work on weights leaves loops, branches and calls: where it goes, and that results are the interpreter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

/* Where `exp` of the weights is computed after lift: "main", or the name of the function that keeps it. */
static void check_lifted(const char *text, const char *symbols, const char *wanted) {
    char place[64] = "nowhere", *lifted = program_stage(text, "lift", NULL);
    for (char *line = strtok(lifted, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, "fn @%63[^(]", place) == 1) continue;
        if (strstr(line, "= exp ")) break;
    }
    if (strcmp(place, wanted) != 0) fail_msg("exp is in %s, not in %s\n%s", place, wanted, text);
    tn_text_free(lifted);
    check_program(text, symbols, NULL, ANY_NUMBERS);
}

static void test_scan(void **state) {
    (void)state;
    check_lifted(
        "(%w: f32[3, 4] weight, %x: f32[n, 3, 4]) -> (%y: f32[n, 3, 4], %z: f32[3, 4]) {\n"
        "  %0, %1, %2 = scan %w, %w, %x, carried=2, length=n, body=@step : f32[3, 4], f32[3, 4], f32[n, 3, 4]\n"
        "  return %2, %0\n}\n"
        "fn @step(%h: f32[3, 4], %w: f32[3, 4], %x: f32[3, 4]) -> (%h1: f32[3, 4], %w1: f32[3, 4], %y: f32[3, 4]) {\n"
        "  %0 = exp %w : f32[3, 4]\n  %1 = mul %h, %0 : f32[3, 4]\n  %2 = min %1, %x : f32[3, 4]\n"
        "  return %2, %w, %1\n}\n",
        "n=3", "main");
}

/* A value that the body changes is not a weight; nor is what stands in a sequence. */
static void test_changed(void **state) {
    (void)state;
    check_lifted("(%w: f32[3] weight, %x: f32[n, 3]) -> (%y: f32[n, 3]) {\n"
                 "  %0, %1 = scan %w, %x, carried=1, length=n, body=@step : f32[3], f32[n, 3]\n  return %1\n}\n"
                 "fn @step(%w: f32[3], %x: f32[3]) -> (%w1: f32[3], %y: f32[3]) {\n"
                 "  %0 = exp %w : f32[3]\n  %1 = min %0, %x : f32[3]\n  return %1, %0\n}\n",
                 "n=4", "step");
    check_lifted("(%w: f32[5, 3] weight, %x: f32[3]) -> (%y: f32[5, 3]) {\n"
                 "  %0, %1 = scan %x, %w, carried=1, length=5, body=@step : f32[3], f32[5, 3]\n  return %1\n}\n"
                 "fn @step(%h: f32[3], %w: f32[3]) -> (%h1: f32[3], %y: f32[3]) {\n"
                 "  %0 = exp %w : f32[3]\n  %1 = min %0, %h : f32[3]\n  return %1, %0\n}\n",
                 "", "step");
}

static void test_while(void **state) {
    (void)state;
    check_lifted("(%w: f32[3] weight, %x: f32[3]) -> (%y: f32[3]) {\n"
                 "  %0 = constant value=i64[] {0} : i64[]\n"
                 "  %1, %2, %3 = while %0, %w, %x, cond=@more, body=@next : i64[], f32[3], f32[3]\n  return %3\n}\n"
                 "fn @more(%i: i64[], %w: f32[3], %x: f32[3]) -> (%m: bool[]) {\n"
                 "  %0 = constant value=i64[] {3} : i64[]\n  %1 = compare %i, %0, compare=lt : bool[]\n  return %1\n}\n"
                 "fn @next(%i: i64[], %w: f32[3], %x: f32[3]) -> (%i1: i64[], %w1: f32[3], %x1: f32[3]) {\n"
                 "  %0 = constant value=i64[] {1} : i64[]\n  %1 = add %i, %0 : i64[]\n"
                 "  %2 = exp %w : f32[3]\n  %3 = mul %x, %2 : f32[3]\n  return %1, %w, %3\n}\n",
                 "", "main");
}

/* A loop in a branch: two functions to leave, and another branch that needs nothing. */
static void test_nested(void **state) {
    (void)state;
    check_lifted("(%c: bool[], %w: f32[3] weight, %x: f32[n, 3]) -> (%y: f32[n, 3]) {\n"
                 "  %0 = if %c, %w, %x, then=@loop, otherwise=@turn, symbols=[n, n] : f32[n, 3]\n  return %0\n}\n"
                 "fn @loop(%w: f32[3], %x: f32[k, 3]) -> (%y: f32[k, 3]) {\n"
                 "  %0, %1, %2 = scan %w, %w, %x, carried=2, length=k, body=@step : f32[3], f32[3], f32[k, 3]\n"
                 "  return %2\n}\n"
                 "fn @turn(%w: f32[3], %x: f32[k, 3]) -> (%y: f32[k, 3]) {\n  %0 = neg %x : f32[k, 3]\n  return %0\n}\n"
                 "fn @step(%h: f32[3], %w: f32[3], %x: f32[3]) -> (%h1: f32[3], %w1: f32[3], %y: f32[3]) {\n"
                 "  %0 = exp %w : f32[3]\n  %1 = mul %h, %0 : f32[3]\n  %2 = min %1, %x : f32[3]\n"
                 "  return %2, %w, %1\n}\n",
                 "n=3", "main");
}

/* A function that two nodes name would need the same of both. */
static void test_called_twice(void **state) {
    (void)state;
    check_lifted("(%w: f32[3] weight, %x: f32[3]) -> (%y: f32[3]) {\n"
                 "  %0 = call %w, %x, callee=@f : f32[3]\n  %1 = call %w, %0, callee=@f : f32[3]\n  return %1\n}\n"
                 "fn @f(%w: f32[3], %x: f32[3]) -> (%y: f32[3]) {\n"
                 "  %0 = exp %w : f32[3]\n  %1 = mul %x, %0 : f32[3]\n  return %1\n}\n",
                 "", "f");
    check_lifted("(%w: f32[3] weight, %x: f32[3]) -> (%y: f32[3]) {\n"
                 "  %0 = call %w, %x, callee=@f : f32[3]\n  return %0\n}\n"
                 "fn @f(%w: f32[3], %lifted.0: f32[3]) -> (%y: f32[3]) {\n"
                 "  %0 = exp %w : f32[3]\n  %1 = mul %lifted.0, %0 : f32[3]\n  return %1\n}\n",
                 "", "main");
}

/* A recurrent layer's weight lies in panels, and they are made in prepare. */
static void test_packed(void **state) {
    (void)state;
    static const char text[] =
        "(%w: f32[64, 48] weight, %h: f32[2, 48], %x: f32[n, 2, 64]) -> (%y: f32[n, 2, 64]) {\n"
        "  %0, %1, %2 = scan %h, %w, %x, carried=2, length=n, body=@step : f32[2, 48], f32[64, 48], f32[n, 2, 64]\n"
        "  return %2\n}\n"
        "fn @step(%h: f32[2, 48], %w: f32[64, 48], %x: f32[2, 64]) -> (%h1: f32[2, 48], %w1: f32[64, 48], %y: f32[2, "
        "64]) {\n"
        "  %0 = dot %h, %w, contract=[1]x[1] : f32[2, 64]\n  %1 = add %0, %x : f32[2, 64]\n"
        "  %2 = tanh %1 : f32[2, 64]\n  %3 = slice %2, start=[0, 0], limit=[2, 48] : f32[2, 48]\n"
        "  return %3, %w, %2\n}\n";
    char *hoisted = program_stage(text, "hoist", NULL);
    const char *prepare = strstr(hoisted, "fn @prepare"), *barrier = strstr(hoisted, "= barrier ");
    if (!prepare || !barrier || barrier < prepare) fail_msg("%s", hoisted);
    tn_text_free(hoisted);
    check_program(text, "n=5", NULL, ANY_NUMBERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),   cmocka_unit_test(test_changed),      cmocka_unit_test(test_while),
        cmocka_unit_test(test_nested), cmocka_unit_test(test_called_twice), cmocka_unit_test(test_packed),
    };
    return cmocka_run_group_tests_name("lift", tests, NULL, NULL);
}
