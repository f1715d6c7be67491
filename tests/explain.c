/* Explanations (tenon_explain.h) of graphs small enough to be worked out by hand, and their forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/stages.h"
#include "frontends/explain/tenon_explain_report.h"

/* Round figures for predicted times. */
static const tn_machine_limits machine_of_tests = {
    .threads = 1,
    .flops_per_second = 2e9,
    .levels = {{1 << 14, 4e9}, {1 << 18, 4e9}, {1 << 20, 4e9}, {1 << 22, 4e9}, {1 << 24, 4e9}},
};

static tn_module *parse(const char *text) {
    tn_module *m = tn_module_parse(text, strlen(text), "test.tn");
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

static tn_explanation *explain(tn_module *m, const char *symbol, int64_t value, bool no_program) {
    tn_symbol_value size = {symbol, value};
    tn_explain_options o = {
        .symbols = &size, .n_symbols = symbol != NULL, .machine = &machine_of_tests, .no_program = no_program};
    tn_diag diag = {0};
    tn_explanation *e = tn_explain(m, &o, &diag);
    if (!e) fail_msg("%s", diag.message);
    return e;
}

static void assert_near(double got, double wanted) {
    if (!(got >= wanted * 0.999999 && got <= wanted * 1.000001)) fail_msg("%.9g is not %.9g", got, wanted);
}

/* The kernel of a run whose title begins so. */
static const tn_explained_kernel *find(const tn_explanation *e, const char *title) {
    for (int i = 0; i < e->n_kernels; i++)
        if (!e->kernels[i].is_prepare && strncmp(e->kernels[i].title, title, strlen(title)) == 0) return &e->kernels[i];
    fail_msg("there is no kernel %s", title);
    return NULL;
}

/* ---- Figures ---- */

/* A dense layer, then softmax along its rows. */
static const char dense[] =
    "module \"dense\"\n"
    "fn @main(%x: f32[n, 64], %w: f32[64, 48] weight, %b: f32[48] weight) -> (%y: f32[n, 48]) {\n"
    "  %0 = dot %x, %w, contract=[1]x[0]  # layer.c:10\n"
    "  %1 = broadcast %b, dims=[1], shape=[n, 48]  # layer.c:11\n"
    "  %2 = add %0, %1  # layer.c:11\n"
    "  %3 = reduce %2, axes=[1], kind=max  # layer.c:12\n"
    "  %4 = broadcast %3, dims=[0], shape=[n, 48]  # layer.c:12\n"
    "  %5 = sub %2, %4  # layer.c:12\n"
    "  return %5\n}\n";

static void test_costs(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    tn_explanation *e = explain(m, "n", 32, true);
    const tn_explained_kernel *layer = find(e, "dot + add"), *rows = find(e, "reduce max + sub");
    const double n = 32, x = n * 64 * 4, y = n * 48 * 4, w = 64 * 48 * 4, b = 48 * 4;
    assert_near(layer->flops, 2 * n * 64 * 48 + n * 48);
    assert_near(layer->bytes_read, x);
    assert_near(layer->weight_bytes, w + b);
    assert_near(layer->bytes_written, y);
    assert_near(layer->intensity, layer->flops / (x + w + b + y));
    assert_near(layer->predicted_ms, layer->flops / 2e9 * 1e3); /* 0.1 ms; its bytes take 0.008 */
    assert_int_equal(layer->bound, TN_BOUND_BY_COMPUTE);
    assert_string_equal(layer->class_name, "contract");
    assert_near(rows->flops, 2 * n * 48);
    assert_near(rows->bytes_read, y);
    assert_near(rows->bytes_written, y);
    assert_near(rows->predicted_ms, 2 * y / 4e9 * 1e3); /* its operations take half of that */
    assert_int_equal(rows->bound, TN_BOUND_BY_MEMORY);
    assert_near(e->flops, layer->flops + rows->flops);
    assert_near(e->predicted_ms, layer->predicted_ms + rows->predicted_ms);
    assert_near(layer->share_of_time + rows->share_of_time, 1);
    assert_near(e->raw_weight_bytes, w + b);
    assert_int_equal(e->n_symbols, 1);
    assert_int_equal(e->symbols[0].value, 32);
    tn_explanation_free(e);
    tn_module_free(m);
}

static void test_sources(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    tn_explanation *e = explain(m, "n", 32, true);
    const tn_explained_kernel *layer = find(e, "dot + add");
    bool has_dot = false;
    for (int i = 0; i < layer->n_nodes; i++) {
        const tn_explained_node *node = &layer->nodes[i];
        if (strcmp(node->op, "dot") != 0) continue;
        has_dot = true;
        assert_string_equal(node->type, "f32[32, 48]");
        assert_int_equal(node->n_locations, 1);
        assert_string_equal(node->locations[0], "layer.c:10");
        assert_false(node->is_view);
    }
    assert_true(has_dot);
    assert_true(layer->n_notes > 3);
    assert_int_equal(layer->n_writes, 1);
    assert_int_equal(e->values[layer->writes[0]].place, TN_PLACE_ARENA);
    const tn_explained_kernel *rows = find(e, "reduce max + sub");
    assert_int_equal(rows->reads[0], layer->writes[0]);
    assert_non_null(strstr(rows->notes[rows->n_notes - 1], "not fused in"));
    tn_explanation_free(e);
    tn_module_free(m);
}

/* Edges: the input, the value between the kernels, the output. */
static void test_edges(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    tn_explanation *e = explain(m, "n", 32, true);
    int first = (int)(find(e, "dot + add") - e->kernels), second = (int)(find(e, "reduce max + sub") - e->kernels);
    int seen[3] = {0}, of_run = 0;
    for (int i = 0; i < e->n_edges; i++) {
        const tn_explained_edge *edge = &e->edges[i];
        if (e->values[edge->value].is_prepare) continue;
        of_run++;
        seen[0] += edge->from == -1 && edge->to == first && e->values[edge->value].place == TN_PLACE_INPUT;
        seen[1] += edge->from == first && edge->to == second;
        seen[2] += edge->from == second && edge->to == -1 && e->values[edge->value].place == TN_PLACE_OUTPUT;
    }
    assert_int_equal(of_run, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(seen[i], 1);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* A slice reads what it takes, a gather what it finds. */
static void test_parts_of_operands(void **state) {
    (void)state;
    tn_module *m = parse("module \"parts\"\n"
                         "fn @main(%table: f32[1000, 16], %rows: i32[4, 1]) -> (%y: f32[4, 16]) {\n"
                         "  %0 = gather %table, %rows, axes=[0]\n"
                         "  %1 = neg %0\n"
                         "  return %1\n}\n");
    tn_explanation *e = explain(m, NULL, 0, true);
    assert_int_equal(e->n_kernels, 1);
    assert_near(e->kernels[0].bytes_read, 4 * 16 * 4 + 4 * 4);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* Winograd's products count as the convolution's, but are predicted as what is done. */
static void test_winograd(void **state) {
    (void)state;
    tn_module *m =
        parse("module \"w\"\n"
              "fn @main(%x: f32[1, 64, 32, 32], %w: f32[64, 64, 3, 3] weight) -> (%y: f32[1, 64, 32, 32]) {\n"
              "  %0 = conv %x, %w, low=[1, 1], high=[1, 1]\n"
              "  return %0\n}\n");
    tn_explanation *e = explain(m, NULL, 0, true);
    const tn_explained_kernel *k = find(e, "winograd");
    const double flops = 2.0 * 64 * 32 * 32 * 64 * 9;
    assert_near(k->flops, flops);
    assert_near(k->predicted_ms, flops / 4 / 2e9 * 1e3);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* ---- Functions ---- */

/* Names and numbers are those of profiles. */
static void check_numbers(const tn_explanation *e) {
    const tn_program *p = tn_explanation_program(e);
    int n = 0;
    for (int i = 0; i < e->n_kernels; i++) {
        const tn_explained_kernel *k = &e->kernels[i];
        if (k->is_prepare) continue;
        const tn_kernel_info *info = tn_program_kernel(p, k->number);
        assert_non_null(info);
        assert_string_equal(k->name, info->name);
        assert_string_equal(k->class_name, info->class_name);
        n++;
    }
    assert_true(n >= tn_program_n_kernels(p));
}

static const char loop[] = "module \"loop\"\n"
                           "fn @main(%x: f32[8, 8], %s: f32[5, 8, 8]) -> (%y: f32[8, 8]) {\n"
                           "  %0 = scan %x, %s, carried=1, length=5, body=@step\n"
                           "  return %0\n}\n"
                           "fn @step(%h: f32[8, 8], %s: f32[8, 8]) -> (%next: f32[8, 8]) {\n"
                           "  %0 = dot %h, %s, contract=[1]x[0]\n"
                           "  %1 = tanh %0\n"
                           "  return %1\n}\n";

static void test_loops(void **state) {
    (void)state;
    tn_module *m = parse(loop);
    tn_explanation *e = explain(m, NULL, 0, false);
    check_numbers(e);
    const tn_explained_kernel *k = find(e, "dot + tanh");
    assert_near(k->calls, 5);
    assert_string_equal(k->function, "step");
    assert_near(e->flops, 5 * k->flops);
    float x[64] = {0}, s[320] = {0};
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, x, 8, 8), TN_TENSOR(TN_F32, s, 5, 8, 8)};
    tn_diag diag = {0};
    if (tn_explain_measure(e, inputs, 2, NULL, 0.01, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_near(k->calls, 5);
    assert_true(k->measured_ms > 0 && e->measured_ms > 0 && e->kernels_ms > 0 && e->runs >= 3);
    assert_true(k->share_of_peak > 0);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* Called twice with other sizes: there is a row for each. */
static void test_calls(void **state) {
    (void)state;
    tn_module *m = parse("module \"calls\"\n"
                         "fn @main(%x: f32[16, 40], %y: f32[3, 40]) -> (%a: f32[16, 40], %b: f32[3, 40]) {\n"
                         "  %0 = call %x, callee=@f, symbols=[16]\n"
                         "  %1 = call %y, callee=@f, symbols=[3]\n"
                         "  return %0, %1\n}\n"
                         "fn @f(%x: f32[n, 40]) -> (%y: f32[n, 40]) {\n"
                         "  %0 = exp %x\n"
                         "  return %0\n}\n");
    tn_explanation *e = explain(m, NULL, 0, true);
    assert_int_equal(e->n_kernels, 2);
    assert_int_equal(e->kernels[0].number, e->kernels[1].number);
    assert_near(e->kernels[0].bytes_written, 16 * 40 * 4);
    assert_near(e->kernels[1].bytes_written, 3 * 40 * 4);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* ---- The arena ---- */

static bool overlap(double a, double a_end, double b, double b_end) { return a < b_end && b < a_end; }

/* Values in use at the same time share no bytes, but for one that is written over another one as that is read. */
static void check_arena(const tn_explanation *e) {
    for (int i = 0; i < e->n_blocks; i++) {
        const tn_explained_block *a = &e->blocks[i];
        assert_true(a->first <= a->last && a->last < e->n_kernels);
        if (!a->is_prepare) assert_true(a->offset + a->bytes <= e->arena_bytes);
        for (int k = i + 1; k < e->n_blocks; k++) {
            const tn_explained_block *b = &e->blocks[k];
            bool in_place = a->offset == b->offset && (a->last == b->first || b->last == a->first);
            if (a->is_prepare == b->is_prepare && !in_place && overlap(a->first, a->last + 1, b->first, b->last + 1) &&
                overlap(a->offset, a->offset + a->bytes, b->offset, b->offset + b->bytes))
                fail_msg("%s and %s lie over each other", a->what, b->what);
        }
    }
}

static void test_arena(void **state) {
    (void)state;
    char text[6000];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "module \"chain\"\nfn @main(%%x: f32[32, 64], %%w: f32[64, 64]) -> "
                                   "(%%y: f32[32, 64]) {\n");
    /* Each step reads the last value and the one before: v2 = (v1 w) + v0, and so on. */
    for (int i = 0; i < 12; i++) {
        char last[20], before[20];
        i ? snprintf(last, sizeof last, "%%a%d", i - 1) : snprintf(last, sizeof last, "%%x");
        i > 1 ? snprintf(before, sizeof before, "%%a%d", i - 2) : snprintf(before, sizeof before, "%%x");
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "  %%d%d = dot %s, %%w, contract=[1]x[0]\n  %%a%d = add %%d%d, %s\n", i, last, i, i,
                                 before);
    }
    snprintf(text + used, sizeof text - used, "  return %%a11\n}\n");
    tn_module *m = parse(text);
    tn_explanation *e = explain(m, NULL, 0, true);
    assert_int_equal(e->n_kernels, 12);
    assert_true(e->n_blocks >= 11); /* the last value is the output */
    check_arena(e);
    const double bytes = 32 * 64 * 4;
    double most = 0;
    for (int row = 0; row < e->n_kernels; row++) {
        double live = 0;
        for (int i = 0; i < e->n_blocks; i++)
            if (e->blocks[i].first <= row && row <= e->blocks[i].last) live += e->blocks[i].bytes;
        most = live > most ? live : most;
    }
    assert_true(most >= 2 * bytes && most <= e->arena_bytes);
    tn_explanation_free(e);
    tn_module_free(m);

    m = parse(loop);
    e = explain(m, NULL, 0, true);
    assert_true(e->n_blocks > 0);
    check_arena(e);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* ---- Forms ---- */

static void drop_times(json_t *all) {
    json_object_del(all, "stages");
    json_object_del(json_object_get(all, "totals"), "code_bytes");
}

static void test_json(void **state) {
    (void)state;
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        tn_module *m = parse(dense);
        tn_explanation *e = explain(m, "n", 8, true);
        char *text = tn_explain_json(e);
        assert_non_null(text);
        json_error_t error;
        json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        if (!all) fail_msg("%s", error.text);
        tn_text_free(text);
        json_t *kernels = json_object_get(all, "kernels"),
               *last = json_array_get(kernels, json_array_size(kernels) - 1);
        assert_int_equal(json_array_size(kernels), e->n_kernels);
        assert_int_equal(json_integer_value(json_object_get(last, "flops")), 2 * 8 * 48);
        assert_true(json_is_null(json_object_get(last, "measured_ms")));
        assert_string_equal(json_string_value(json_object_get(last, "part")), "run");
        drop_times(all);
        texts[i] = json_dumps(all, JSON_SORT_KEYS);
        json_decref(all);
        tn_explanation_free(e);
        tn_module_free(m);
    }
    assert_string_equal(texts[0], texts[1]);
    for (int i = 0; i < 2; i++) free(texts[i]);
}

/* No byte of a name is taken for anything else, and what is no UTF-8 still gives JSON. */
static void test_names(void **state) {
    (void)state;
    tn_module *m = parse("module \"m\"\n"
                         "fn @main(%\"</script><b>\": f32[4], %\"\\\"\\xff\": f32[4]) -> (%y: f32[4]) {\n"
                         "  %0 = add %\"</script><b>\", %\"\\\"\\xff\"\n"
                         "  return %0\n}\n");
    tn_explanation *e = explain(m, NULL, 0, true);
    char *page = tn_explain_html(e), *text = tn_explain_json(e);
    assert_non_null(page);
    assert_non_null(text);
    int n = 0;
    for (const char *at = page; (at = strstr(at, "</script>")); at++) n++;
    assert_int_equal(n, 2);
    assert_null(strstr(page, "{{"));
    json_error_t error;
    json_t *all = json_loads(text, 0, &error);
    if (!all) fail_msg("%s", error.text);
    json_decref(all);
    tn_text_free(page);
    tn_text_free(text);
    text = tn_explain_text(e, TN_EXPLAIN_IN_ORDER);
    for (const char *at = text; *at; at++) assert_true((unsigned char)*at >= ' ' || *at == '\n');
    tn_text_free(text);
    tn_explanation_free(e);
    tn_module_free(m);
}

static void test_order(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    tn_explanation *e = explain(m, "n", 8, true);
    char *text = tn_explain_text(e, TN_EXPLAIN_BY_FLOPS);
    const char *why = strstr(text, "\nWhy\n"), *layer = strstr(why, "dot + add"),
               *rows = strstr(why, "reduce max + sub");
    assert_true(layer && rows && layer < rows);
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        if (n > 160) fail_msg("a line of %zu characters: %.*s", n, (int)n, line);
        line += n + (line[n] == '\n');
    }
    tn_text_free(text);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* ---- What is refused, and what costs nothing ---- */

static void check_refused(tn_module *m, const tn_explain_options *o, tn_status status, const char *part) {
    tn_diag diag = {0};
    assert_null(tn_explain(m, o, &diag));
    assert_int_equal(diag.status, status);
    if (!strstr(diag.message, part)) fail_msg("%s", diag.message);
}

static void test_errors(void **state) {
    (void)state;
    check_refused(NULL, NULL, TN_ERR_ARGUMENT, "no module");
    tn_module *m = parse(dense);
    tn_explain_options o = {.symbols = &(tn_symbol_value){"m", 3}, .n_symbols = 1, .machine = &machine_of_tests};
    check_refused(m, &o, TN_ERR_ARGUMENT, "no symbol m");
    o.symbols = &(tn_symbol_value){"n", -3};
    check_refused(m, &o, TN_ERR_CONSTRAINT, "n is -3");
    tn_compile_options wrong = {.gemm = "mine"};
    check_refused(m, &(tn_explain_options){.compile = &wrong}, TN_ERR_ARGUMENT, "gemm");
    tn_explanation *e = explain(m, "n", 4, true);
    tn_diag diag = {0};
    assert_int_equal(tn_explain_measure(e, NULL, 0, NULL, 0.01, &diag), TN_ERR_ARGUMENT);
    assert_null(tn_explanation_program(e));
    tn_explanation_free(e);
    e = explain(m, "n", 4, false);
    check_numbers(e);
    float x[5 * 64] = {0};
    tn_tensor five = TN_TENSOR(TN_F32, x, 5, 64); /* figures are for four */
    assert_int_not_equal(tn_explain_measure(e, &five, 1, NULL, 0.01, &diag), TN_OK);
    assert_true(strlen(diag.message) > 0);
    tn_explanation_free(e);
    tn_explanation_free(NULL);
    tn_module_free(m);
}

/* Code of another machine is explained, not run. */
static void test_other_machine(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    tn_compile_options other = {.target = "aarch64-linux-gnu"};
    tn_explain_options o = {.compile = &other, .machine = &machine_of_tests};
    tn_diag diag = {0};
    tn_explanation *e = tn_explain(m, &o, &diag);
    if (!e) {
        fail_msg("%s", diag.message);
        return;
    }
#if defined(__x86_64__)
    assert_null(tn_explanation_program(e));
#endif
    assert_string_equal(e->target, "aarch64-linux-gnu");
    assert_true(e->n_kernels >= 2);
    tn_explanation_free(e);
    tn_module_free(m);
}

/* Nobody asks: no note is kept. */
static void test_no_notes(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    compilation c;
    assert_true(compilation_run(&c, m, NULL, &(compilation_goal){.prefix = "", .last = "loops"}));
    for (size_t i = 0; i < c.plan.n_functions; i++) assert_int_equal(c.plan.functions[i].n_notes, 0);
    assert_int_equal(c.fusion_notes.n, 0);
    compilation_end(&c);
    tn_module_free(m);
}

/* The machine that the tests run on. */
static void test_machine(void **state) {
    (void)state;
    tn_machine_limits limits;
    tn_diag diag = {0};
    assert_int_equal(tn_machine_measure(NULL, &limits, &diag), TN_OK);
    assert_int_equal(limits.threads, 1);
    assert_true(limits.flops_per_second > 1e7);
    for (int i = 0; i < TN_MACHINE_LEVELS; i++) assert_true(limits.levels[i].bytes_per_second > 1e6);
}

#ifdef TN_HOSTILE_MALLOC
/* Every allocation fails in turn. */
static void test_no_memory(void **state) {
    (void)state;
    tn_module *m = parse(dense);
    tn_explain_options o = {.machine = &machine_of_tests};
    for (uint64_t nth = 0;; nth += 1 + nth / 50) {
        tn_diag diag = {0};
        tn_malloc_fail_at(nth, true);
        tn_explanation *e = tn_explain(m, &o, &diag);
        char *page = e ? tn_explain_html(e) : NULL;
        uint64_t n = tn_malloc_fail_at(UINT64_MAX, false);
        tn_text_free(page);
        if (!e) assert_int_equal(diag.status, TN_ERR_MEMORY);
        tn_explanation_free(e);
        if (page && n <= nth) break;
    }
    tn_module_free(m);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs),         cmocka_unit_test(test_sources),
        cmocka_unit_test(test_edges),         cmocka_unit_test(test_parts_of_operands),
        cmocka_unit_test(test_winograd),      cmocka_unit_test(test_loops),
        cmocka_unit_test(test_calls),         cmocka_unit_test(test_arena),
        cmocka_unit_test(test_json),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_order),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_other_machine), cmocka_unit_test(test_no_notes),
        cmocka_unit_test(test_machine),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
