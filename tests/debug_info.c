/* Debug information (tn_compile_options.debug_info): everything knows its line of the text, debuggers are told of code as
 * long as it is there, and results do not change.
 *
 * What gdb makes of it: debuggers.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/stages.h"
#include "ir/op.h"
#include "tests/lib/program_check.h"

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/tenon-debug-info-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/m.loops.tn", folder);
    return 0;
}

static int drop_folder(void **state) {
    char data[128];
    (void)state;
    snprintf(data, sizeof data, "%s.bin", path);
    unlink(path);
    unlink(data);
    return rmdir(folder);
}

/* A product with packed weights, a softmax, a loop with a body, layers that differ in numbers, and a gather. */
static const char model[] =
    "(%x: f32[n, 64], %i: i64[n], %w: f32[64, 96] weight, %v: f32[96, 32] weight, %u: f32[32, 32] weight)"
    " -> (%y: f32[n, 32], %z: f32[n, 64]) {\n"
    "  %0 = dot %x, %w, contract=[1]x[0]\n  %1 = tanh %0\n  %2 = dot %1, %v, contract=[1]x[0]\n  %3 = tanh %2\n"
    "  %4 = dot %3, %u, contract=[1]x[0]\n  %5 = softmax %4, axis=1\n"
    "  %6 = scan %5, body=@step, carried=1, length=5, symbols=[n]\n"
    "  %7 = reshape %i, shape=[n, 1]\n  %z = gather %x, %7, axes=[0]\n  return %6, %z\n}\n"
    "fn @step(%s: f32[n, 32]) -> (%t: f32[n, 32]) {\n  %t = sin %s\n  return %t\n}\n";

/* ---- Lines ---- */

/* What line `number` of the text begins with, without blanks. */
static const char *line_of(const char *text, uint32_t number) {
    assert_true(number > 0);
    while (--number) {
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    return text + strspn(text, " ");
}

static void assert_begins(const char *text, uint32_t line, const char *begin) {
    const char *at = line_of(text, line);
    if (strncmp(at, begin, strlen(begin)) != 0)
        fail_msg("line %u is not \"%s...\" but \"%.*s\"", (unsigned)line, begin, (int)strcspn(at, "\n"), at);
}

typedef struct looking {
    const char *text;
    size_t n_statements, n_kernels, n_nodes, n_parts;
} looking;

static void check_block(looking *l, const lt_block *block, bool is_part);

static void check_statement(looking *l, const lt_stmt *s, bool is_part) {
    static const char *const words[] = {[LT_STORE] = "store ", [LT_BIND] = "bind ", [LT_LOOP] = "for ",
                                        [LT_IF] = "if ",       [LT_TILE] = "tile ", [LT_TRANSPOSE] = "transpose ",
                                        [LT_CONST] = "const ", [LT_DIM] = "dim ",   [LT_LOAD] = "load ",
                                        [LT_OP] = NULL};
    char result[64];
    l->n_statements++;
    if (s->result == LT_NONE)
        assert_begins(l->text, s->line, words[s->kind]);
    else if (!is_part) {
        snprintf(result, sizeof result, "%%%u = %s", s->result,
                 words[s->kind] ? words[s->kind] : op_name((tn_op)s->op.op));
        assert_begins(l->text, s->line, result);
    }
    if (s->kind == LT_LOOP) check_block(l, &s->loop.body, is_part);
    if (s->kind != LT_IF) return;
    check_block(l, &s->branch.then, is_part);
    check_block(l, &s->branch.otherwise, is_part);
}

static void check_block(looking *l, const lt_block *block, bool is_part) {
    for (uint32_t i = 0; i < block->n; i++) check_statement(l, block->items[i], is_part);
}

static void check_graph(looking *l, const function_plan *f) {
    const tn_graph *g = f->graph;
    char header[128];
    snprintf(header, sizeof header, g->is_kernel ? "kernel fn @%s(" : "fn @%s(", g->name);
    assert_begins(l->text, f->lines[g->n_nodes], header);
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op == TN_OP_param) continue;
        const char *at = line_of(l->text, f->lines[i]), *is = strstr(at, " = ");
        assert_true(is && strncmp(is + 3, op_name((tn_op)g->nodes[i].op), strlen(op_name((tn_op)g->nodes[i].op))) == 0);
        l->n_nodes++;
    }
}

static char *read_text(void) {
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    if (!f || !text || fread(text, 1, (1 << 20) - 1, f) == 0) fail_msg("%s cannot be read", path);
    if (f) fclose(f);
    return text;
}

/* Work has the places of nodes, down to the model's lines: the second layer's tanh is in line 4. */
static void check_places(const compilation *c, const lt_block *block, bool *seen) {
    for (uint32_t i = 0; i < block->n; i++) {
        const lt_stmt *s = block->items[i];
        tn_location place;
        if (s->kind == LT_LOOP) check_places(c, &s->loop.body, seen);
        if (s->kind == LT_IF) check_places(c, &s->branch.then, seen);
        if (s->kind == LT_IF) check_places(c, &s->branch.otherwise, seen);
        if (s->kind != LT_OP || s->op.op != TN_OP_tanh) continue;
        assert_int_equal(location_items(c->module, s->where, 1, &place), 1);
        assert_true(place.line == 4 || place.line == 6);
        seen[place.line] = true;
    }
}

static bool look(void *ctx, compilation *c, const char *stage) {
    looking *l = ctx;
    if (strcmp(stage, "llvm") != 0) return true;
    char *text = read_text();
    bool seen[8] = {false};
    l->text = text;
    for (size_t i = 0; i < c->plan.n_functions; i++) {
        const function_plan *f = &c->plan.functions[i];
        check_graph(l, f);
        if (!f->graph->is_kernel) continue;
        const lt_kernel *k = c->plan.kernels[f->kernel].loops;
        l->n_kernels++;
        for (uint32_t s = 0; s < k->n_stages; s++) {
            assert_begins(text, k->stages[s].line, "stage ");
            check_block(l, &k->stages[s].body, false);
            check_places(c, &k->stages[s].body, seen);
        }
    }
    assert_true(seen[4] && seen[6]);
    for (size_t i = 0; i < c->parts.n_parts; i++) {
        check_block(l, &c->parts.parts[i].loops->stages->body, true);
        l->n_parts++;
    }
    free(text);
    return false;
}

static void test_lines(void **state) {
    (void)state;
    compilation c;
    looking l = {0};
    tn_module *m = program_parse(model);
    tn_compile_options options = {.debug_info = path};
    compilation_goal goal = {.prefix = "", .inspect = look, .inspect_ctx = &l};
    if (!compilation_run(&c, m, &options, &goal)) fail_msg("%s", c.diag.message);
    compilation_end(&c);
    tn_module_free(m);
    print_message("%zu kernels of %zu statements, %zu nodes, %zu parts\n", l.n_kernels, l.n_statements, l.n_nodes,
                  l.n_parts);
    assert_true(l.n_kernels > 4 && l.n_statements > 100 && l.n_nodes > 20);
    char *text = read_text(); /* it is a module, and its loop trees are those of its functions */
    tn_module *again = tn_module_parse(text, strlen(text), path);
    tn_program *p = tn_compile_module(again, NULL);
    if (!p) fail_msg("%s", tn_module_error(again)->message);
    tn_program_free(p);
    tn_module_free(again);
    free(text);
}

/* ---- Results ---- */

static void test_results(void **state) {
    (void)state;
    tn_module *m = program_parse(model);
    enum { ROWS = 7, COLUMNS = 64, OUT = 32 };
    static float x[ROWS * COLUMNS], w[64 * 96], v[96 * 32], u[32 * 32];
    static float y[2][ROWS * OUT], z[2][ROWS * COLUMNS];
    int64_t index[ROWS] = {6, 0, 3, 3, 1, 5, 2};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)(i % 17) - 8.0f;
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) w[i] = (float)(i % 13) * 0.02f - 0.1f;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) v[i] = (float)(i % 11) * 0.03f - 0.12f;
    for (size_t i = 0; i < sizeof u / sizeof *u; i++) u[i] = (float)(i % 7) * 0.1f - 0.4f;
    for (int with = 0; with < 2; with++) {
        tn_program *p = tn_compile_module(m, &(tn_compile_options){.debug_info = with ? path : NULL});
        if (!p) fail_msg("%s", tn_module_error(m)->message);
        const char *names[] = {"w", "v", "u"};
        tn_tensor weights[] = {tn_tensor_of(TN_F32, w, 2, (int64_t[]){64, 96}),
                               tn_tensor_of(TN_F32, v, 2, (int64_t[]){96, 32}),
                               tn_tensor_of(TN_F32, u, 2, (int64_t[]){32, 32})};
        assert_int_equal(tn_program_set_weights(p, names, weights, 3, NULL), TN_OK);
        tn_tensor in[] = {tn_tensor_of(TN_F32, x, 2, (int64_t[]){ROWS, COLUMNS}),
                          tn_tensor_of(TN_I64, index, 1, (int64_t[]){ROWS})};
        tn_tensor out[] = {tn_tensor_of(TN_F32, y[with], 2, (int64_t[]){ROWS, OUT}),
                           tn_tensor_of(TN_F32, z[with], 2, (int64_t[]){ROWS, COLUMNS})};
        assert_int_equal(tn_run(p, in, out), TN_OK);
        tn_program_free(p);
    }
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_memory_equal(z[0], z[1], sizeof z[0]);
    tn_module_free(m);
}

/* ---- Debuggers ---- */

/* As gdb's manual has it. */
struct jit_entry {
    struct jit_entry *next, *previous;
    const char *file;
    uint64_t bytes;
};
extern struct {
    uint32_t version, action;
    struct jit_entry *relevant, *first;
} __jit_debug_descriptor;

static int count_entries(void) {
    int n = 0;
    for (struct jit_entry *e = __jit_debug_descriptor.first, *previous = NULL; e; previous = e, e = e->next, n++) {
        assert_ptr_equal(e->previous, previous);
        assert_memory_equal(e->file, "\177ELF", 4);
    }
    return n;
}

static void test_registration(void **state) {
    (void)state;
    tn_module *m = program_parse(model);
    tn_compile_options options = {.debug_info = path};
    tn_program *p[3];
    int n[4] = {count_entries()};
    assert_int_equal(__jit_debug_descriptor.version, 1);
    for (int i = 0; i < 3; i++) {
        p[i] = tn_compile_module(m, i == 1 ? NULL : &options);
        assert_non_null(p[i]);
        n[i + 1] = count_entries();
    }
    assert_true(n[0] == 0 && n[1] > 0 && n[2] == n[1] && n[3] == 2 * n[1]);
    tn_program_free(p[0]); /* the last of the list */
    assert_int_equal(count_entries(), n[1]);
    tn_program_free(p[1]);
    tn_program_free(p[2]);
    assert_int_equal(count_entries(), 0);
    assert_null(__jit_debug_descriptor.first);
    tn_module_free(m);
}

/* ---- What goes wrong ---- */

static void test_no_folder(void **state) {
    (void)state;
    tn_module *m = program_parse(model);
    assert_null(tn_compile_module(m, &(tn_compile_options){.debug_info = "/nowhere/m.loops.tn"}));
    assert_int_equal(tn_module_error(m)->status, TN_ERR_IO);
    assert_non_null(strstr(tn_module_error(m)->message, "/nowhere/m.loops.tn cannot be written: No such file"));
    assert_null(tn_compile_module(m, &(tn_compile_options){.debug_info = path, .debug_lines = "all"}));
    tn_module_free(m);
}

/* No object for another kind of machine is without it. */
static void test_targets(void **state) {
    (void)state;
    static const char *const names[] = {"x86-64-v2", "aarch64-linux-gnu", "riscv64-linux-gnu", "arm-none-eabi",
                                        "wasm32"};
    tn_module *m = program_parse(model);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *object;
        size_t bytes;
        tn_diag diag = {0};
        tn_compile_options options = {.target = names[i], .debug_info = path};
        if (tn_compile_object(m, &options, "m_", &object, &bytes, &diag) != TN_OK)
            fail_msg("%s: %s", names[i], diag.message);
        assert_non_null(memmem(object, bytes, ".debug_line", sizeof ".debug_line" - 1));
        tn_text_free(object);
    }
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_results),
                                       cmocka_unit_test(test_registration), cmocka_unit_test(test_no_folder),
                                       cmocka_unit_test(test_targets)};
    return cmocka_run_group_tests_name("debug_info", tests, make_folder, drop_folder);
}
