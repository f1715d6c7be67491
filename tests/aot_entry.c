/* Objects and headers as their users meet them (compiler/tenon_aot.h): what entries check and say, headers in every
 * language, names, weights in a file, versions, first states, the same bytes twice, and what cannot be compiled.
 *
 * Needs $CC (default cc) and nm; g++, clang and clang++ are tried where they are.
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

#include "compiler/aot.h"
#include "tests/lib/aot_run.h"
#include "tests/lib/compare.h"

static const object_machine here = {.emulator = ""};

/* A module, or functions of one called m. */
static tn_module *parse(const char *text) {
    char all[2000];
    snprintf(all, sizeof all, "%s%s", strncmp(text, "module", 6) == 0 ? "" : "module \"m\"\n", text);
    tn_module *m = tn_module_parse(all, strlen(all), "entry.tn");
    if (tn_module_error(m)) fail_msg("%d: %s", tn_module_error(m)->line, tn_module_error(m)->message);
    return m;
}

static tn_aot compile(const char *text, const tn_aot_options *options) {
    tn_module *m = parse(text);
    tn_aot aot;
    tn_diag diag;
    if (tn_compile_aot(m, options, &aot, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_module_free(m);
    return aot;
}

static void check_refused(const char *text, const tn_aot_options *options, tn_status status, const char *words) {
    tn_module *m = parse(text);
    tn_aot aot;
    tn_diag diag;
    assert_int_equal(tn_compile_aot(m, options, &aot, &diag), status);
    if (!strstr(diag.message, words)) fail_msg("\"%s\" does not say \"%s\"", diag.message, words);
    assert_null(aot.code);
    assert_null(aot.header);
    tn_module_free(m);
}

static void command(object_run *r, const char *line) {
    char text[4000];
    if (object_run_command(r, line, text, sizeof text) != 0) fail_msg("%s: %s", line, text);
}

/* As a command, or as a link in bin (make_links). */
static bool have(object_run *r, const char *tool) {
    char line[200], text[200];
    snprintf(line, sizeof line, "PATH=$PATH:bin command -v %s", tool);
    return object_run_command(r, line, text, sizeof text) == 0;
}

/* ---- A user's program ---- */

/* A size with bounds, an index that may be out of range, a scalar, a state of unknown and one of known size. */
static const char entry_text[] =
    "module \"entry\"\n"
    "fn @main(%x: f32[n, 4], %i: i64[k], %rate: f32[], %cache: f32[n, 2] state, %count: i64[3] state)\n"
    "    -> (%p: f32[n, 2], %g: f32[k, 2], %next: f32[n, 2] updates %cache, %more: i64[3] updates %count)\n"
    "    where n in [2, 1000000], n % 2 == 0 {\n"
    "  %w = constant value=f32[4, 2] {1, 2, -1, 0.5, 0.25, -2, 3, 1}\n"
    "  %j = reshape %i, shape=[k, 1] %0 = dot %x, %w, contract=[1]x[0]\n"
    "  %p = softmax %0, axis=1\n"
    "  %g = gather %p, %j, axes=[0]\n"
    "  %r = broadcast %rate, dims=[], shape=[n, 2]\n"
    "  %m = mul %p, %r\n"
    "  %next = add %cache, %m\n"
    "  %one = constant value=i64[3] {1, 1, 1}\n"
    "  %more = add %count, %one\n"
    "  return %p, %g, %next, %more\n"
    "}\n";

static void test_users_program(void **state) {
    object_run *r = *state;
    char line[1000], text[2000], root[300];
    static const char *const compilers[] = {"%s -std=c99 -Wstrict-prototypes -Wmissing-prototypes",
                                            "%s -std=c11",
                                            "gcc -std=c11 -O2",
                                            "g++ -std=c++17 -Wold-style-cast -x c++",
                                            "clang -std=c99",
                                            "clang++ -std=c++17 -x c++"};
    tn_aot aot = compile(entry_text, &(tn_aot_options){.name = "entry"});
    assert_non_null(getcwd(root, sizeof root));
    object_run_write(r, "entry.o", aot.code, aot.code_bytes);
    object_run_write(r, "entry.h", aot.header, strlen(aot.header));
    for (size_t c = 0; c < sizeof compilers / sizeof *compilers; c++) {
        char compiler[100], tool[40];
        const char *cc = getenv("CC");
        snprintf(compiler, sizeof compiler, compilers[c], cc ? cc : "cc");
        snprintf(tool, sizeof tool, "%.*s", (int)strcspn(compiler, " "), compiler);
        if (!have(r, tool)) {
            print_message("# there is no %s\n", tool);
            continue;
        }
        /* Casts are the program's, not the header's. */
        const char *casts = strstr(compiler, "old-style") ? " -include entry.h -Wno-old-style-cast" : "";
        snprintf(line, sizeof line,
                 "PATH=$PATH:bin; %s -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion%s -c "
                 "'%.300s/tests/tools/aot_entry.c' -I. -o check.o && %s check.o entry.o -o check && ./check",
                 compiler, casts, root, tool);
        if (object_run_command(r, line, text, sizeof text) != 0 || !strstr(text, "fine"))
            fail_msg("%s: %s", compiler, text);
    }
    tn_aot_free(&aot);
    command(r, "rm -f entry.* check*");
}

/* A header alone, with all that compilers can warn about. */
static void check_header(object_run *r, const tn_aot *aot) {
    static const char *const lines[] = {
        "gcc -std=c99 -x c -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -fsyntax-only header.c",
        "gcc -std=c11 -x c -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -fsyntax-only header.c",
        "g++ -std=c++17 -x c++ -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Wuseless-cast "
        "-Wzero-as-null-pointer-constant -Werror -fsyntax-only header.c",
        "clang -std=c11 -x c -Weverything -Wno-unknown-warning-option -Wno-padded -Wno-unsafe-buffer-usage -Werror "
        "-fsyntax-only header.c",
        "clang++ -std=c++17 -x c++ -Weverything -Wno-unknown-warning-option -Wno-padded -Wno-unsafe-buffer-usage "
        "-Wno-c++98-compat-pedantic -Wno-old-style-cast -Werror -fsyntax-only header.c"};
    static const char twice[] = "#include \"header.h\"\n#include \"header.h\"\n";
    object_run_write(r, "header.h", aot->header, strlen(aot->header));
    object_run_write(r, "header.c", twice, sizeof twice - 1);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char tool[40], text[3000], line[500];
        snprintf(line, sizeof line, "PATH=$PATH:bin; %s", lines[i]);
        snprintf(tool, sizeof tool, "%.*s", (int)strcspn(lines[i], " "), lines[i]);
        if (have(r, tool) && object_run_command(r, line, text, sizeof text) != 0)
            fail_msg("%s: %s\n%s", lines[i], text, aot->header);
    }
    command(r, "rm -f header.*");
}

/* ---- Names ---- */

static void test_identifiers(void **state) {
    static const struct {
        const char *name, *identifier;
    } rows[] = {
        {"x", "x"},
        {"dense.kernel", "dense_kernel"},
        {"/model/layer.0/Add_output_0", "model_layer_0_Add_output_0"},
        {"0", "x0"},
        {"input:0", "input_0"},
        {"int", "int_"},
        {"class", "class_"},
        {"int32_t", "int32_t_"},
        {"INT64_MAX", "INT64_MAX_"},
        {"_Reserved", "Reserved"},
        {"a__b", "a_b"},
        {"a b\tc\nd", "a_b_c_d"},
        {"*/ int evil; /*", "int_evil"},
        {"\xe8\xbe\x93\xe5\x85\xa5", "other"}, /* CJK: nothing of it can stay */
        {"t\xc3\xaate", "t_te"},
        {"", "other"},
        {"___", "other"},
        {"NULL", "NULL_"},
    };
    arena memory = {0};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(aot_identifier(&memory, rows[i].name, "other"), rows[i].identifier);
    const char *taken[] = {"x", "x_2", "int_"};
    assert_string_equal(aot_unique(&memory, "x", "other", taken, 3), "x_3");
    assert_string_equal(aot_unique(&memory, "int", "other", taken, 3), "int_2");
    assert_string_equal(aot_unique(&memory, "y", "other", taken, 3), "y");
    arena_free(&memory);
}

static uint64_t next_random(uint64_t *seed) { return *seed = *seed * 6364136223846793005u + 1442695040888963407u; }

/* Words that are trouble, bytes of any kind, and repeats. */
static void random_name(uint64_t *seed, char *name) {
    static const char *const words[] = {"int",      "class",  "x",      "*/",  "\\",    "\"", "?\?/", "\n#define",
                                        "state",    "inputs", "arena",  "bad", "bytes", "n",  "own",  "workers",
                                        "\xc3\xa9", "NULL",   "_",      " ",   "@",     "$",  "%s",   "argv",
                                        "main",     "stop",   "memcpy", "1",   "/*",    "//"};
    size_t n = 0;
    *name = '\0';
    for (uint64_t parts = next_random(seed) >> 62; parts-- + 1 > 0;)
        n += (size_t)snprintf(name + n, 100 - n, "%s",
                              words[(next_random(seed) >> 33) % (sizeof words / sizeof *words)]);
}

/* Names of tensors and sizes, through header, program and run. */
static void test_any_names(void **state) {
    uint64_t seed = 7;
    for (int round = 0; round < 12; round++) {
        char names[6][100], message[OBJECT_MESSAGE];
        for (int k = 0; k < 6; k++) random_name(&seed, names[k]);
        tn_graph *g = tn_graph_new(names[5]);
        char size[120];
        static const char *const sizes[] = {"bad",     "state", "int", "*/ int evil; /*", "p2o.DynamicDimension.0",
                                            "\n#error"};
        snprintf(size, sizeof size, "%s", sizes[round % (int)(sizeof sizes / sizeof *sizes)]);
        tn_val x = tn_input(g, names[0], TN_F32, TN_SHAPE(TN_DIM(size), TN_SIZE(3)));
        tn_val y = tn_input(g, names[1], TN_F32, TN_SHAPE(TN_DIM(size), TN_SIZE(3)));
        tn_val rate = tn_input(g, names[2], TN_F32, TN_SCALAR);
        tn_output(g, names[3], tn_add(x, tn_mul(y, rate)));
        tn_output(g, names[4], tn_sub(x, y));
        tn_module *m = tn_graph_module(g);
        if (tn_module_error(m)) { /* two inputs, or outputs, of one name */
            tn_module_free(m);
            continue;
        }
        char object_name[20];
        snprintf(object_name, sizeof object_name, "names%d", round);
        aot_run *a = aot_run_open(*state, m, &(tn_aot_options){.name = object_name, .source = names[4]}, message);
        if (!a) fail_msg("%s", message);
        check_header(*state, aot_run_files(a));
        float in[2][6] = {{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}}, half = 0.5f, out[2][6];
        eval_tensor tensors[] = {tensor_view(TN_F32, 2, (int64_t[]){2, 3}, in[0]),
                                 tensor_view(TN_F32, 2, (int64_t[]){2, 3}, in[1]), tensor_view(TN_F32, 0, NULL, &half)};
        eval_tensor results[] = {tensor_view(TN_F32, 2, (int64_t[]){2, 3}, out[0]),
                                 tensor_view(TN_F32, 2, (int64_t[]){2, 3}, out[1])};
        if (!aot_run_call(a, &(object_call){.in = tensors, .out = results}, message)) fail_msg("%s", message);
        for (int k = 0; k < 6; k++) assert_true(out[0][k] == in[0][k] + 0.5f * in[1][k]);
        for (int k = 0; k < 6; k++) assert_true(out[1][k] == in[0][k] - in[1][k]);
        aot_run_close(a);
        tn_module_free(m);
    }
}

/* ---- Weights in a file ---- */

static const char weights_text[] =
    "module \"heavy\"\n"
    "fn @main(%x: f32[4, 3], %w: f32[3, 2] weight {1, 2, 3, 4, 5, 6}) -> (%y: f32[4, 2]) {\n"
    "  %e = neg %w\n"
    "  %y = dot %x, %e, contract=[1]x[0]\n"
    "  return %y\n"
    "}\n";

static const char weights_program[] =
    "#include \"heavy.h\"\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "int main(void) {\n"
    "    static char room[100000];\n"
    "    char *data = room + (64 - (size_t)room % 64), *arena = data + 64000;\n"
    "    heavy_bound b;\n"
    "    float x[12] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1}, y[8];\n"
    "    heavy_inputs in = {x};\n"
    "    heavy_outputs out = {y};\n"
    "    size_t n = fread(data, 1, 60000, fopen(\"heavy.weights\", \"rb\"));\n"
    "    if (heavy_bind_weights(NULL, data, n) == 0 || heavy_bind_weights(&b, NULL, n) == 0) return 1;\n"
    "    if (heavy_bind_weights(&b, data + 4, n) == 0 || heavy_bind_weights(&b, data, n - 1) == 0) return 2;\n"
    "    for (size_t i = 0; i < n; i++) {\n"
    "        data[i] ^= 4;\n"
    "        if (heavy_bind_weights(&b, data, n) == 0 && i < 32) return 3;\n" /* magic, layout, bytes, checksum */
    "        if (heavy_bind_weights(&b, data, n) == 0 && i >= 64) return 4;\n"
    "        data[i] ^= 4;\n"
    "    }\n"
    "    if (heavy_bind_weights(&b, data, n) != 0 || heavy_run(&b, &in, &out, arena) != 0) return 5;\n"
    "    if (heavy_run(NULL, &in, &out, arena) == 0) return 6;\n"
    "    const float want[8] = {-1, -2, -3, -4, -5, -6, -9, -12};\n"
    "    return memcmp(y, want, sizeof y) != 0;\n"
    "}\n";

static void test_weights_in_a_file(void **state) {
    object_run *r = *state;
    tn_aot aot = compile(weights_text, &(tn_aot_options){.weights_in_file = true});
    assert_string_equal(aot.name, "heavy");
    assert_non_null(aot.weights);
    object_run_write(r, "heavy.o", aot.code, aot.code_bytes);
    object_run_write(r, "heavy.h", aot.header, strlen(aot.header));
    object_run_write(r, "heavy.weights", aot.weights, aot.weights_bytes);
    object_run_write(r, "main.c", weights_program, strlen(weights_program));
    check_header(r, &aot);
    command(r, "${CC:-cc} -Wall -Wextra -Werror main.c heavy.o -o main && ./main");
    command(r, "rm -f heavy.* main*");
    tn_aot_free(&aot);
    aot = compile("fn @main(%x: f32[4]) -> (%y: f32[4]) { %y = neg %x return %y }",
                  &(tn_aot_options){.weights_in_file = true});
    assert_null(aot.weights);
    tn_aot_free(&aot);
}

/* ---- Versions ---- */

#if defined(__x86_64__)
/* The best one that runs here is chosen, and its bits are those of that target alone. */
static void test_versions(void **state) {
    char message[OBJECT_MESSAGE];
    static float x[64 * 48], y[2][64 * 48];
    static const char text[] = "fn @main(%x: f32[64, 48]) -> (%y: f32[64, 64], %e: f32[64, 48]) {\n"
                               "  %y = dot %x, %x, contract=[1]x[1]\n"
                               "  %e = exp %x\n"
                               "  return %y, %e\n"
                               "}\n";
    for (int i = 0; i < 64 * 48; i++) x[i] = (float)(i * 7 % 31 - 15) / 16;
    static const char *const targets[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    const char *best = targets[0];
    tn_module *m = parse(text);
    for (int i = 0; i < 3; i++) {
        tn_program *p = tn_compile_module(m, &(tn_compile_options){.target = targets[i]});
        if (!p) break;
        best = targets[i];
        tn_program_free(p);
    }
    tn_module_free(m);
    static float dots[2][64 * 64];
    const char *lists[] = {"x86-64-v2,v3,x86-64-v4", best};
    for (int k = 0; k < 2; k++) {
        tn_compile_options compile_options = {.target = lists[k]};
        tn_module *again = parse(text);
        aot_run *a =
            aot_run_open(*state, again, &(tn_aot_options){.name = "many", .compile = &compile_options}, message);
        if (!a) fail_msg("%s", message);
        check_header(*state, aot_run_files(a));
        eval_tensor in = tensor_view(TN_F32, 2, (int64_t[]){64, 48}, x);
        eval_tensor out[] = {tensor_view(TN_F32, 2, (int64_t[]){64, 64}, dots[k]),
                             tensor_view(TN_F32, 2, (int64_t[]){64, 48}, y[k])};
        if (!aot_run_call(a, &(object_call){.in = &in, .out = out}, message)) fail_msg("%s", message);
        aot_run_close(a);
        tn_module_free(again);
    }
    assert_memory_equal(dots[0], dots[1], sizeof dots[0]);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
}
#endif

static void test_wrong_versions(void **state) {
    (void)state;
    tn_compile_options o = {.target = "x86-64-v2,aarch64"};
    check_refused(weights_text, &(tn_aot_options){.compile = &o}, TN_ERR_ARGUMENT, "cannot be versions in one object");
    o.target = "x86-64-v2,v9";
    check_refused(weights_text, &(tn_aot_options){.compile = &o}, TN_ERR_ARGUMENT, "unknown target \"x86-64-v9\"");
}

/* ---- First states ---- */

static const char state_text[] = "module \"counter\"\n"
                                 "fn @main(%a: f32[2] state, %b: u8[3] state, %x: f32[2])\n"
                                 "    -> (%c: f32[2] updates %a, %d: u8[3] updates %b) {\n"
                                 "  %c = add %a, %x\n"
                                 "  %d = add %b, %b\n"
                                 "  return %c, %d\n"
                                 "}\n";

static const char state_program[] = "#include \"counter.h\"\n"
                                    "int main(void) {\n"
                                    "    static char room[4096];\n"
                                    "    counter_state s = {{9, 9}, {9, 9, 9}};\n"
                                    "    float x[2] = {0.5f, 1};\n"
                                    "    counter_inputs in = {x};\n"
                                    "    counter_init(&s);\n"
                                    "    for (int i = 0; i < 3; i++)\n"
                                    "        if (counter_step(&s, &in, room + (64 - (size_t)room % 64))) return 1;\n"
                                    "    return !(s.a[0] == 2.5f && s.a[1] == 5 && s.b[0] == 8 && s.b[2] == 24);\n"
                                    "}\n";

static void test_first_states(void **state) {
    object_run *r = *state;
    float a[] = {1, 2};
    uint8_t b[] = {1, 2, 3};
    tn_aot_state states[] = {
        {"b", TN_TENSOR(TN_U8, b, 3)}, {"a", TN_TENSOR(TN_F32, a, 2)}, {"z", TN_TENSOR(TN_F32, a, 2)}};
    tn_aot aot = compile(state_text, &(tn_aot_options){.verb = "step", .states = states, .n_states = 3});
    object_run_write(r, "counter.o", aot.code, aot.code_bytes);
    object_run_write(r, "counter.h", aot.header, strlen(aot.header));
    object_run_write(r, "main.c", state_program, strlen(state_program));
    check_header(r, &aot);
    command(r, "${CC:-cc} -Wall -Wextra -Werror main.c counter.o -o main && ./main && rm -f counter.* main*");
    tn_aot_free(&aot);
    check_refused(state_text, &(tn_aot_options){.states = states, .n_states = 1}, TN_ERR_ARGUMENT,
                  "state 'a' has no first values");
    states[1].value.shape[0] = 3;
    check_refused(state_text, &(tn_aot_options){.states = states, .n_states = 2}, TN_ERR_SHAPE,
                  "first values of state 'a' are f32[3], but it is f32[2]");
}

/* ---- Sizes, functions ---- */

static void test_fixed_sizes(void **state) {
    char message[OBJECT_MESSAGE];
    tn_module *m = parse("fn @other(%x: f32[n, m]) -> (%y: f32[m, n]) { %y = transpose %x, perm=[1, 0] return %y }\n"
                         "fn @main(%x: f32[2]) -> (%y: f32[2]) { %y = neg %x return %y }\n");
    tn_symbol_value sizes[] = {{"n", 2}, {"m", 3}};
    tn_aot_options o = {.name = "fixed", .function = "other", .sizes = sizes, .n_sizes = 2};
    aot_run *a = aot_run_open(*state, m, &o, message);
    if (!a) fail_msg("%s", message);
    assert_non_null(strstr(aot_run_files(a)->header, "#define FIXED_ARENA_BYTES"));
    assert_non_null(strstr(aot_run_files(a)->header, "int fixed_run(const fixed_inputs *inputs, const fixed_outputs"));
    aot_run_close(a);
    tn_module_free(m);
    static const char text[] = "fn @main(%x: f32[n]) -> (%y: f32[n]) where n in [2, 8] { %y = neg %x return %y }";
    sizes[0].value = 9;
    check_refused(text, &(tn_aot_options){.sizes = sizes, .n_sizes = 1}, TN_ERR_CONSTRAINT,
                  "n is 9, it must be at least 2 and at most 8");
    check_refused(text, &(tn_aot_options){.sizes = sizes + 1, .n_sizes = 1}, TN_ERR_ARGUMENT, "there is no size m");
    check_refused(text, &(tn_aot_options){.function = "other"}, TN_ERR_ARGUMENT, "there is no function @other");
}

/* ---- The same bytes ---- */

static void test_same_bytes_twice(void **state) {
    (void)state;
    static const tn_aot_options options = {.name = "entry", .source = "entry.onnx"};
    for (int k = 0; k < 2; k++) {
        const char *text = k ? weights_text : entry_text;
        tn_aot a = compile(text, &options), b = compile(text, &options);
        assert_int_equal(a.code_bytes, b.code_bytes);
        assert_memory_equal(a.code, b.code, a.code_bytes);
        assert_string_equal(a.header, b.header);
        assert_string_equal(a.program, b.program);
        tn_aot_free(&a);
        tn_aot_free(&b);
    }
}

/* ---- What cannot be ---- */

static void test_refused(void **state) {
    (void)state;
    tn_aot aot;
    tn_diag diag;
    assert_int_equal(tn_compile_aot(NULL, NULL, &aot, &diag), TN_ERR_ARGUMENT);
    tn_compile_options o = {.target = "z80"};
    check_refused(weights_text, &(tn_aot_options){.compile = &o}, TN_ERR_ARGUMENT, "unknown target \"z80\"");
    check_refused("fn @main(%x: f32[2]) -> (%y: f32[2]) {\n"
                  "  %y = custom %x, name=\"mine\"\n"
                  "  return %y\n"
                  "}\n",
                  NULL, TN_ERR_UNSUPPORTED, "'mine'");
    o = (tn_compile_options){.gemm = "blas"};
    check_refused(weights_text, &(tn_aot_options){.compile = &o}, TN_ERR_UNSUPPORTED, "an object calls no library");
    float a[] = {1, 2};
    tn_aot_state states[] = {{"a", TN_TENSOR(TN_F32, a, 2)}};
    check_refused(weights_text, &(tn_aot_options){.states = states, .n_states = 1}, TN_ERR_ARGUMENT,
                  "there is no state");
}

/* Debian's clang has its version in its name: here it is found without. */
static const char make_links[] = "mkdir bin && for t in clang clang++; do for v in 22 21 20 19; do\n"
                                 "  p=$(command -v $t || command -v $t-$v) && ln -s \"$p\" bin/$t && break\n"
                                 "done; done; true";

static int set_up(void **state) {
    char text[200];
    *state = object_run_open(&here);
    return object_run_command(*state, make_links, text, sizeof text) != 0;
}

static int tear_down(void **state) {
    command(*state, "rm -rf bin");
    object_run_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_program),  cmocka_unit_test(test_identifiers),
        cmocka_unit_test(test_any_names),      cmocka_unit_test(test_weights_in_a_file),
#if defined(__x86_64__)
        cmocka_unit_test(test_versions),
#endif
        cmocka_unit_test(test_wrong_versions), cmocka_unit_test(test_first_states),
        cmocka_unit_test(test_fixed_sizes),    cmocka_unit_test(test_same_bytes_twice),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("aot_entry", tests, set_up, tear_down);
}
