/* Traces: what viewers ask of the format, what each event says, and that memory is bounded.
 *
 * The Trace Event Format's requirements for complete events: name, ph, ts, dur, pid and tid; here also that events of a
 * track are in order of time, and that each two either follow each other or nest.
 */
#include "runtime/alloc.h"
#include "tenon.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 64, COLUMNS = 512, MOST_DEPTH = 16 };

static char path[64];

/* ---- A program with parallel loops ---- */

static tn_program *program_of(const char *name) {
    tn_graph *g = tn_graph_new(name);
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(COLUMNS)));
    tn_val w = tn_input(g, "w", TN_F32, TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(COLUMNS)));
    tn_output(g, "y", tn_softmax(tn_relu(tn_matmul(x, w)), -1));
    tn_program *program = tn_compile(g, NULL);
    if (!program) fail_msg("%s", tn_graph_error(g)->message);
    tn_graph_free(g);
    return program;
}

static void run(tn_program *program, tn_pool *pool, tn_trace *trace, int times) {
    static float x[ROWS * COLUMNS], w[COLUMNS * COLUMNS];
    tn_exec *exec = tn_exec_new(program, &(tn_exec_options){.pool = pool, .trace = trace});
    assert_non_null(exec);
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, x, ROWS, COLUMNS), TN_TENSOR(TN_F32, w, COLUMNS, COLUMNS)};
    for (int i = 0; i < times; i++) {
        tn_tensor output = {0};
        assert_int_equal(tn_exec_run(exec, inputs, 2, &output, 1), TN_OK);
    }
    tn_exec_free(exec);
}

/* ---- Reading ---- */

static json_t *written(const tn_trace *trace) {
    tn_diag diag = {0};
    json_error_t error;
    if (tn_trace_write(trace, path, &diag) != TN_OK) fail_msg("%s", diag.message);
    json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!all) fail_msg("%s:%d: %s", path, error.line, error.text);
    return all;
}

static double number(const json_t *event, const char *member) {
    const json_t *n = json_object_get(event, member);
    if (!json_is_number(n)) fail_msg("an event has no number %s", member);
    return json_number_value(n);
}

static const char *text(const json_t *event, const char *member) {
    const char *s = json_string_value(json_object_get(event, member));
    if (!s) fail_msg("an event has no text %s", member);
    return s;
}

static bool is_complete(const json_t *event) { return strcmp(text(event, "ph"), "X") == 0; }

/* What the format and viewers ask for. */
static void check_format(const json_t *all) {
    const json_t *events = json_object_get(all, "traceEvents"), *event;
    double ends[MOST_DEPTH] = {0}, begin = 0, track = -1;
    size_t i, depth = 0;
    assert_true(json_is_array(events));
    json_array_foreach(events, i, event) {
        assert_true(json_is_integer(json_object_get(event, "pid")) && json_is_integer(json_object_get(event, "tid")));
        assert_true(*text(event, "name") != '\0');
        if (!is_complete(event)) {
            assert_string_equal(text(event, "ph"), "M");
            assert_true(json_is_object(json_object_get(event, "args")));
            continue;
        }
        double ts = number(event, "ts"), end = ts + number(event, "dur");
        if (number(event, "tid") != track) {
            track = number(event, "tid");
            depth = 0;
            begin = ts;
        }
        assert_true(ts >= begin && end >= ts);
        begin = ts;
        while (depth > 0 && ends[depth - 1] <= ts + 5e-4) depth--; /* nanoseconds, in numbers of 53 bits */
        if (depth > 0 && end > ends[depth - 1] + 5e-4)
            fail_msg("%s ends at %f, what it is in at %f", text(event, "name"), end, ends[depth - 1]);
        assert_true(depth < MOST_DEPTH);
        ends[depth++] = end;
    }
}

static size_t count(const json_t *all, const char *category, const char *name) {
    const json_t *events = json_object_get(all, "traceEvents"), *event;
    size_t i, n = 0;
    json_array_foreach(events, i, event) n +=
        is_complete(event) && strcmp(text(event, "cat"), category) == 0 && strstr(text(event, "name"), name);
    return n;
}

static size_t count_tracks(const json_t *all, const char *name) {
    const json_t *events = json_object_get(all, "traceEvents"), *event;
    size_t i, n = 0;
    json_array_foreach(events, i, event) n += strcmp(text(event, "name"), "thread_name") == 0 &&
                                              strstr(text(json_object_get(event, "args"), "name"), name) != NULL;
    return n;
}

/* ---- Tests ---- */

static void test_events(void **state) {
    (void)state;
    tn_trace *trace = tn_trace_new(0);
    tn_pool *pool = tn_pool_new(2);
    tn_program *program = program_of("softmax \"of\" \\rows\n");
    run(program, pool, trace, 3);
    tn_trace_span(trace, "mine", "outer", 10, 1000);
    tn_trace_span(trace, "mine", "inner", 10, 500);
    tn_trace_span(trace, "mine", "later", 1000, 1500);
    int n_kernels = tn_program_n_kernels(program);
    tn_program_free(program); /* the trace keeps it */
    json_t *all = written(trace);
    check_format(all);
    assert_int_equal(count(all, "run", "run softmax \"of\" \\rows\n"), 3);
    assert_int_equal(count(all, "kernel", ""), 3 * n_kernels);
    assert_int_equal(count(all, "kernel", "k0 dot"), 3);
    assert_true(count(all, "kernel", "trace.c:") > 0);
    assert_true(count(all, "chunk", "k0 dot") >= 6);
    assert_int_equal(count(all, "mine", ""), 3);
    assert_int_equal(count_tracks(all, "caller"), 1);
    assert_int_equal(count_tracks(all, "mine"), 1);
    json_decref(all);
    tn_pool_free(pool);
    tn_trace_free(trace);
}

/* Products are counted where sizes are known. */
static void test_flops(void **state) {
    (void)state;
    static float x[ROWS * COLUMNS], w[COLUMNS * COLUMNS];
    tn_graph *g = tn_graph_new("flops");
    tn_val a = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)));
    tn_val b = tn_input(g, "w", TN_F32, TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(COLUMNS)));
    tn_output(g, "y", tn_matmul(a, b));
    tn_program *program = tn_compile(g, NULL);
    tn_trace *trace = tn_trace_new(0);
    tn_exec *exec = tn_exec_new(program, &(tn_exec_options){.trace = trace});
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, x, ROWS, COLUMNS), TN_TENSOR(TN_F32, w, COLUMNS, COLUMNS)}, output = {0};
    assert_int_equal(tn_exec_run(exec, inputs, 2, &output, 1), TN_OK);
    json_t *all = written(trace), *event;
    size_t i, n = 0;
    json_array_foreach(json_object_get(all, "traceEvents"), i, event) {
        if (!is_complete(event) || strcmp(text(event, "cat"), "kernel") != 0) continue;
        const json_t *args = json_object_get(event, "args");
        assert_true(number(args, "flops") == 2.0 * ROWS * COLUMNS * COLUMNS && number(args, "gflop_per_s") > 0);
        n++;
    }
    assert_int_equal(n, 1);
    json_decref(all);
    tn_exec_free(exec);
    tn_trace_free(trace);
    tn_program_free(program);
    tn_graph_free(g);
}

/* What kernels say of themselves. */
static void test_arguments(void **state) {
    (void)state;
    tn_trace *trace = tn_trace_new(100);
    tn_program *program = program_of("args");
    run(program, NULL, trace, 1);
    json_t *all = written(trace), *event;
    size_t i, n = 0;
    json_array_foreach(json_object_get(all, "traceEvents"), i, event) {
        if (!is_complete(event) || strcmp(text(event, "cat"), "kernel") != 0) continue;
        const json_t *args = json_object_get(event, "args");
        const tn_kernel_info *k = tn_program_kernel(program, (int)number(args, "kernel"));
        assert_string_equal(text(args, "class"), k->class_name);
        assert_string_equal(text(args, "from"), k->locations);
        assert_true(k->flops == -1); /* n is no number */
        n++;
    }
    assert_int_equal(n, tn_program_n_kernels(program));
    json_decref(all);
    tn_program_free(program);
    tn_trace_free(trace);
}

static void test_bounded(void **state) {
    (void)state;
    tn_trace *trace = tn_trace_new(8);
    tn_program *program = program_of("bounded");
    run(program, NULL, trace, 10);
    tn_trace_span(trace, "mine", "too late", 0, 1);
    uint64_t all_events = 10 * (uint64_t)(tn_program_n_kernels(program) + 1) + 1;
    assert_int_equal(tn_trace_left_out(trace), all_events - 8);
    json_t *all = written(trace);
    check_format(all);
    assert_int_equal(count(all, "kernel", "") + count(all, "run", ""), 8);
    assert_int_equal(count(all, "mine", ""), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(all, "otherData"), "events_left_out")),
                     all_events - 8);
    json_decref(all);
    tn_program_free(program);
    tn_trace_free(trace);
}

static void test_wrong(void **state) {
    (void)state;
    tn_diag diag = {0};
    tn_trace *trace = tn_trace_new(1);
    assert_int_equal(tn_trace_write(trace, "/nowhere/at/all.json", &diag), TN_ERR_IO);
    assert_non_null(strstr(diag.message, "/nowhere/at/all.json: cannot be written: "));
    assert_int_equal(tn_trace_write(NULL, path, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_trace_write(trace, NULL, NULL), TN_ERR_ARGUMENT);
    json_t *all = written(trace); /* of nothing */
    check_format(all);
    json_decref(all);
    tn_trace_free(trace);
    tn_trace_free(NULL);
    assert_int_equal(tn_trace_now(NULL), 0);
    assert_int_equal(tn_trace_left_out(NULL), 0);
    tn_trace_span(NULL, "mine", "nothing", 0, 1);
    assert_null(tn_trace_new(SIZE_MAX / 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),  cmocka_unit_test(test_arguments), cmocka_unit_test(test_flops),
        cmocka_unit_test(test_bounded), cmocka_unit_test(test_wrong),
    };
    snprintf(path, sizeof path, "/tmp/tenon-trace-%ld.json", (long)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(path);
    return failed;
}
