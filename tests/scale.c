/* Factors of channels go to the weights of a convolution where these are fewer: which ones, and the same results as the
 * interpreter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

/* conv of (x times a broadcast) by w. */
typedef struct scaled {
    const char *x, *s, *w, *y; /* dims */
    const char *axes;          /* of the broadcast */
    const char *attrs;         /* of the convolution */
    bool is_first;             /* the factor, in the multiplication */
} scaled;

static void check(const scaled *c, bool moves) {
    char text[1024];
    snprintf(text, sizeof text,
             "(%%x: f32[%s], %%s: f32[%s], %%w: f32[%s] weight) -> (%%y: f32[%s]) {\n"
             "  %%0 = broadcast %%s, dims=[%s], shape=[%s] : f32[%s]\n"
             "  %%1 = mul %s, %s : f32[%s]\n  %%2 = conv %%1, %%w%s : f32[%s]\n  return %%2\n}",
             c->x, c->s, c->w, c->y, c->axes, c->x, c->x, c->is_first ? "%0" : "%x", c->is_first ? "%x" : "%0", c->x,
             c->attrs, c->y);
    char *stage = program_stage(text, "scale", NULL);
    bool reads_input = strstr(stage, "= conv %x, ");
    if (reads_input != moves) fail_msg("the factor %s:\n%.4000s", moves ? "stayed" : "moved", stage);
    tn_text_free(stage);
    check_program(text, "", NULL, EXACT_NUMBERS);
    check_program(text, "", NULL, ANY_NUMBERS);
}

static void test_what_moves(void **state) {
    (void)state;
    static const scaled cases[] = {
        {"1, 12, 20, 20", "1, 12, 1, 1", "5, 12, 1, 1", "1, 5, 20, 20", "0, 1, 2, 3", "", false},
        {"1, 12, 20, 20", "12, 1, 1", "5, 12, 1, 1", "1, 5, 20, 20", "1, 2, 3", "", true},
        {"1, 12, 20, 20", "12", "5, 12, 1, 1", "1, 5, 20, 20", "1", "", true},
        {"1, 12, 20, 20", "1, 1, 1, 1", "5, 12, 1, 1", "1, 5, 20, 20", "0, 1, 2, 3", "", false},
        {"3, 4, 30, 31", "1, 4, 1, 1", "6, 4, 3, 3", "3, 6, 30, 31", "0, 1, 2, 3", ", low=[1, 1], high=[1, 1]", false},
        {"2, 4, 60", "4", "6, 4, 3", "2, 6, 29", "1", ", stride=[2]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], true);
}

static void test_what_stays(void **state) {
    (void)state;
    static const scaled cases[] = {
        /* as many weights as elements; each image its own factor; along another axis; of channels in groups */
        {"1, 12, 4, 4", "1, 12, 1, 1", "15, 12, 1, 1", "1, 15, 4, 4", "0, 1, 2, 3", "", false},
        {"2, 12, 20, 20", "2, 12, 1, 1", "5, 12, 1, 1", "2, 5, 20, 20", "0, 1, 2, 3", "", false},
        {"1, 12, 20, 20", "1, 1, 20, 1", "5, 12, 1, 1", "1, 5, 20, 20", "0, 1, 2, 3", "", false},
        {"1, 12, 20, 20", "20", "5, 12, 1, 1", "1, 5, 20, 20", "2", "", false},
        {"1, 12, 20, 20", "12", "12, 1, 1, 1", "1, 12, 20, 20", "1", ", groups=12", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_moves), cmocka_unit_test(test_what_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
