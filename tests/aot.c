/* Objects written by tn_compile_object, linked with a plain C program that knows the frame and
 * nothing else of Tenon: the same bits as in this process, and no symbol from outside but memcpy,
 * memset and memmove.
 *
 * Needs $CC (default cc) and nm. Files go to a folder of their own under $TMPDIR or /tmp.
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

#include "tenon_compile.h"

static char folder[200];

static const char *path_of(const char *name) {
    static char path[2][400];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[0], "%.200s/%.150s", folder, name);
    return path[turn];
}

static void write_file(const char *name, const void *data, size_t bytes) {
    FILE *f = fopen(path_of(name), "wb");
    if (!f) {
        fail_msg("%s cannot be written", name);
        return;
    }
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

/* Runs a command in the folder; its output goes to `out`. */
static int run_command(const char *command, char *out, size_t capacity) {
    char line[1400];
    snprintf(line, sizeof line, "cd '%.200s' && %.1100s 2>&1", folder, command);
    FILE *f = popen(line, "r");
    if (!f) return -1;
    size_t n = fread(out, 1, capacity - 1, f);
    out[n] = '\0';
    return pclose(f);
}

/* ---- The model ---------------------------------------------------------------------------------------- */

/* A bit of everything: a contraction, softmax, functions, indices, a loop, an f16, packed weights. */
static const char text[] = "module \"m\"\n"
                           "fn @main(%x: f32[n, 24], %i: i64[k, 1], %w: f32[24, 10] weight, %h: f16[n])\n"
                           "    -> (%p: f32[n, 10], %g: f32[k, 10], %t: f16[n], %s: f32[n, 24], %r: f32[n, 24]) {\n"
                           "  %e = exp %w\n"
                           "  %0 = dot %x, %e, contract=[1]x[0]\n"
                           "  %p = softmax %0, axis=1\n"
                           "  %g = gather %p, %i, axes=[0]\n"
                           "  %t = tanh %h\n"
                           "  %s = sort %x, axis=1\n"
                           "  %y = rem %x, %s\n"
                           "  %z = atan2 %y, %x\n"
                           "  %r = while %z, cond=@large, body=@half, symbols=[n, 24, n, 24]\n"
                           "  return %p, %g, %t, %s, %r\n"
                           "}\n"
                           "fn @large(%a: f32[n, k]) -> (%c: bool[]) {\n"
                           "  %m = reduce %a, kind=max, axes=[0, 1]\n"
                           "  %one = constant value=f32[] {0.01}\n"
                           "  %c = compare %m, %one, compare=gt\n"
                           "  return %c\n"
                           "}\n"
                           "fn @half(%a: f32[n, k]) -> (%b: f32[n, k]) {\n"
                           "  %half = constant value=f32[] {0.5}\n"
                           "  %h = broadcast %half, dims=[], shape=[n, k]\n"
                           "  %b = mul %a, %h\n"
                           "  return %b\n"
                           "}\n";

enum { N = 37, K = 5, RESULTS = 5 };

static const size_t result_bytes[RESULTS] = {N * 10 * 4, K * 10 * 4, N * 2, N * 24 * 4, N * 24 * 4};

/* The driver: frames as tenon_rt.h describes them, arena and scratch by malloc. */
static const char driver[] =
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include \"tenon_rt.h\"\n"
    "int32_t m_bind(const int64_t *, int64_t *);\nint32_t m_run(const tn_frame *);\n"
    "int32_t m_prepare_bind(const int64_t *, int64_t *);\nint32_t m_prepare_run(const tn_frame *);\n"
    "enum { N = 37, K = 5 };\n"
    "static float x[N * 24], w[24 * 10], packed[24 * 10], p[N * 10], g[K * 10], s[N * 24], r[N * 24];\n"
    "static int64_t i[K] = {0, 36, 7, 7, 12};\n"
    "static uint16_t h[N], t[N];\n"
    "static int call(int32_t (*bind)(const int64_t *, int64_t *), int32_t (*run)(const tn_frame *), const int64_t "
    "*symbols,\n"
    "                void *const *in, void *const *out, void *const *weights) {\n"
    "    static int64_t bound[100];\n"
    "    static uint64_t status[8];\n"
    "    if (bind(symbols, bound) != 0) return 1;\n"
    "    status[0] = TN_STATUS_CLEAR;\n"
    "    tn_frame f = {.version = TN_FRAME_VERSION, .size = sizeof f, .inputs = in, .outputs = out, .weights = "
    "weights,\n"
    "                  .arena = aligned_alloc(64, (size_t)bound[0] + 64), .scratch = aligned_alloc(64, "
    "(size_t)bound[1] + 64),\n"
    "                  .symbols = symbols, .status = status, .workers = 1};\n"
    "    return run(&f) != 0 || status[0] != TN_STATUS_CLEAR;\n"
    "}\n"
    "int main(void) {\n"
    "    for (int k = 0; k < N * 24; k++) x[k] = (float)(k * 7 % 31 - 15) / 8;\n"
    "    for (int k = 0; k < 24 * 10; k++) w[k] = (float)(k * 5 % 17 - 8) / 8;\n"
    "    for (int k = 0; k < N; k++) h[k] = (uint16_t)(0x3000 + k * 40);\n"
    "    void *raw[] = {w}, *ready[] = {packed}, *in[] = {x, i, h}, *out[] = {p, g, t, s, r};\n"
    "    const int64_t symbols[] = {N, K};\n"
    "    if (call(m_prepare_bind, m_prepare_run, NULL, raw, ready, NULL)) return 2;\n"
    "    if (call(m_bind, m_run, symbols, in, out, ready)) return 3;\n"
    "    FILE *f = fopen(\"results\", \"wb\");\n"
    "    fwrite(p, 1, sizeof p, f), fwrite(g, 1, sizeof g, f), fwrite(t, 1, sizeof t, f);\n"
    "    fwrite(s, 1, sizeof s, f), fwrite(r, 1, sizeof r, f);\n"
    "    return fclose(f) != 0;\n"
    "}\n";

/* The same in this process: results one after the other. */
static size_t run_here(tn_module *m, char *all) {
    static float x[N * 24], w[24 * 10];
    static int64_t i[K] = {0, 36, 7, 7, 12};
    static uint16_t h[N];
    for (int k = 0; k < N * 24; k++) x[k] = (float)(k * 7 % 31 - 15) / 8;
    for (int k = 0; k < 24 * 10; k++) w[k] = (float)(k * 5 % 17 - 8) / 8;
    for (int k = 0; k < N; k++) h[k] = (uint16_t)(0x3000 + k * 40);
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    const char *name = "w";
    tn_tensor weight = TN_TENSOR(TN_F32, w, 24, 10);
    assert_int_equal(tn_program_set_weights(p, &name, &weight, 1, NULL), TN_OK);
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, N, 24), TN_TENSOR(TN_I64, i, K, 1), TN_TENSOR(TN_F16, h, N)};
    tn_exec *e = tn_exec_new(p, NULL);
    if (tn_exec_run(e, in, 3, NULL, 0) != TN_OK) fail_msg("%s", tn_exec_error(e)->message);
    size_t at = 0;
    for (int r = 0; r < RESULTS; r++) {
        memcpy(all + at, tn_exec_output(e, r)->data, result_bytes[r]);
        at += result_bytes[r];
    }
    tn_exec_free(e);
    tn_program_free(p);
    return at;
}

static tn_module *parse(void) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    if (tn_module_error(m)) fail_msg("%d: %s", tn_module_error(m)->line, tn_module_error(m)->message);
    return m;
}

static void write_object(tn_module *m, const char *target) {
    void *object;
    size_t bytes;
    tn_diag diag = {0};
    if (tn_compile_object(m, &(tn_compile_options){.target = target}, "m_", &object, &bytes, &diag) != TN_OK)
        fail_msg("%s", diag.message);
    write_file("m.o", object, bytes);
    tn_text_free(object);
}

static void test_object_in_a_plain_program(void **state) {
    (void)state;
    char out[4000], line[1000], root[300];
    static char here[20000], there[20000];
    const char *cc = getenv("CC");
    tn_module *m = parse();
    write_object(m, NULL);
    write_file("driver.c", driver, strlen(driver));
    assert_non_null(getcwd(root, sizeof root));
    snprintf(line, sizeof line, "%s -std=c11 -D_GNU_SOURCE -Wall -I'%s/runtime' driver.c m.o -o driver && ./driver",
             cc ? cc : "cc", root);
    if (run_command(line, out, sizeof out) != 0) fail_msg("%s", out);
    size_t bytes = run_here(m, here);
    FILE *f = fopen(path_of("results"), "rb");
    if (!f) {
        fail_msg("the program wrote no results");
        return;
    }
    assert_int_equal(fread(there, 1, sizeof there, f), bytes);
    fclose(f);
    assert_memory_equal(here, there, bytes);
    tn_module_free(m);
}

/* For every target, since each expands on its own what it has no instruction for. */
static void test_object_needs_nothing(void **state) {
    (void)state;
    static const char *const targets[] = {NULL, "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"};
    char out[4000];
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        tn_module *m = parse();
        write_object(m, targets[t]);
        tn_module_free(m);
        if (run_command("nm -u m.o", out, sizeof out) != 0) fail_msg("nm: %s", out);
        char *rest = out;
        for (char *word; (word = strsep(&rest, " \n"));) {
            bool known = *word == '\0' || strcmp(word, "U") == 0 || strcmp(word, "memcpy") == 0 ||
                         strcmp(word, "memset") == 0 || strcmp(word, "memmove") == 0;
            if (!known) fail_msg("%s: the object needs %s", targets[t] ? targets[t] : "host", word);
        }
    }
}

static int set_up(void **state) {
    (void)state;
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.150s/tenon-aot-XXXXXX", where ? where : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    char out[400];
    (void)state;
    return run_command("rm -f m.o driver.c driver results && rmdir \"$PWD\"", out, sizeof out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_object_in_a_plain_program),
        cmocka_unit_test(test_object_needs_nothing),
    };
    return cmocka_run_group_tests_name("aot", tests, set_up, tear_down);
}
