/* What values are called, what a name means, and what a misspelt one may have meant. */
#include "ir/names.h"
#include "ir/near.h"
#include "ir/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char source[] = "module \"names\"\n"
                             "fn @main.body(%i: i64[], %h: f32[4]) -> (%next: i64[], %state: f32[4]) {\n"
                             "  %hidden = tanh %h : f32[4]\n"
                             "  %0 = constant value=i64[] {1} : i64[]\n"
                             "  %1 = add %i, %0 : i64[]\n"
                             "  return %1, %hidden\n"
                             "}\n"
                             "fn @main(%x: f32[4], %\"layer:0\": f32[4]) -> (%logits: f32[4]) {\n"
                             "  %hidden = add %x, %\"layer:0\" : f32[4]\n"
                             "  %\"7\" = neg %hidden : f32[4]\n"
                             "  %0 = exp %\"7\" : f32[4]\n"
                             "  return %0\n"
                             "}\n";

static tn_module *parse(void) {
    tn_module *m = tn_module_parse(source, strlen(source), "names.tn");
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

/* "@function op" of each place, with commas between. */
static void expect(const tn_module *m, const char *first, const char *text, const char *want) {
    value_place found[8];
    char got[400] = "";
    size_t n = module_find_values(m, first ? module_find(m, first) : NULL, text, found, 8);
    for (size_t i = 0; i < n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s@%s %s", i ? ", " : "", found[i].graph->name,
                 op_name((tn_op)graph_node_of(found[i].graph, found[i].value)->op));
    if (strcmp(got, want) != 0) fail_msg("%s means \"%s\", not \"%s\"", text, got, want);
}

static void test_finds_names(void **state) {
    tn_module *m = parse();
    (void)state;
    expect(m, NULL, "x", "@main param");
    expect(m, NULL, "%x", "@main param");
    expect(m, NULL, "layer:0", "@main param");
    expect(m, NULL, "%\"layer:0\"", "@main param");
    expect(m, NULL, "hidden", "@main.body tanh, @main add");
    expect(m, "main", "hidden", "@main add, @main.body tanh");
    expect(m, NULL, "@main.body:hidden", "@main.body tanh");
    expect(m, NULL, "@main:%hidden", "@main add");
    expect(m, NULL, "@main:layer:0", "@main param");
    expect(m, NULL, "logits", "@main exp"); /* the name of a result */
    expect(m, NULL, "nothing", "");
    expect(m, NULL, "@nowhere:x", "");
    expect(m, NULL, "", "");
    tn_module_free(m);
}

static void test_finds_numbers(void **state) {
    tn_module *m = parse();
    (void)state;
    expect(m, NULL, "%0", "@main exp");
    expect(m, NULL, "0", "@main exp");
    expect(m, "main.body", "%1", "@main.body add");
    expect(m, NULL, "@main.body:1", "@main.body add");
    expect(m, NULL, "7", "@main neg"); /* a name of digits alone */
    expect(m, NULL, "%7", "@main neg");
    expect(m, NULL, "%\"0\"", "");
    expect(m, NULL, "%1", "");
    expect(m, NULL, "99999999999999999999", "");
    tn_module_free(m);
}

static void expect_near(const tn_module *m, const char *text, const char *want) {
    char got[200];
    if (strcmp(module_near_values(m, text, got, sizeof got), want) != 0)
        fail_msg("near %s are \"%s\", not \"%s\"", text, got, want);
}

static void test_names_that_are_near(void **state) {
    tn_module *m = parse();
    (void)state;
    expect_near(m, "hiden", ": did you mean hidden?");
    expect_near(m, "%Logit", ": did you mean logits?");
    expect_near(m, "layer", ": did you mean layer:0?");
    expect_near(m, "@main:hiddne", ": did you mean hidden?");
    expect_near(m, "convolution", "");
    expect_near(m, "", "");
    tn_module_free(m);
    near_names near = {.wanted = "sof"};
    static const char *const names[] = {"softplus", NULL, "softmax", "sort", "softmax", "sin", "log_softmax"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) near_offer(&near, names[i]);
    char text[100];
    assert_string_equal(near_text(&near, text, sizeof text), ": did you mean softplus, softmax or log_softmax?");
    assert_int_equal(strlen(near_text(&near, text, 10)), 9);
}

static void test_a_node_as_a_line(void **state) {
    tn_module *m = parse();
    const tn_graph *g = module_find(m, "main");
    uint32_t *numbers = graph_number_values(g);
    text_buffer b = {0};
    (void)state;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op != TN_OP_param) text_node(&b, g, numbers, NULL, &g->nodes[i]);
    text_add_n(&b, "", 1);
    assert_false(b.failed);
    assert_string_equal(b.text, "  %hidden = add %x, %\"layer:0\" : f32[4]  # names.tn:9\n"
                                "  %\"7\" = neg %hidden : f32[4]  # names.tn:10\n"
                                "  %0 = exp %\"7\" : f32[4]  # names.tn:11\n");
    tn_free(b.text);
    tn_free(numbers);
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_names),
        cmocka_unit_test(test_finds_numbers),
        cmocka_unit_test(test_names_that_are_near),
        cmocka_unit_test(test_a_node_as_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
