/* Wrong uses of ahead of time compilation, and the exact message each gives: of tn_compile_aot, of the objects that it
 * makes (NAME_message of what their functions return), and of the programs that come with them.
 *
 * Needs $CC (default cc), which compiles the caller of the objects below once.
 */
#include "tenon.h"
#include "tests/lib/object_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const object_machine here = {.emulator = ""};

/* ---- What every row finds ------------------------------------------------------------------------------ */

static const char net_text[] = "module \"net\"\n"
                               "fn @main(%x: f32[n, 4], %rate: f32[], %i: i64[k, 1], %s: f32[n, 2] state,\n"
                               "         %w: f32[4, 2] weight {1, 2, 3, 4, 5, 6, 7, 8})\n"
                               "    -> (%y: f32[n, 2], %rows: f32[k, 2], %next: f32[n, 2] updates %s)\n"
                               "    where n in [4, 64], n % 4 == 0 {\n"
                               "  %e = neg %w\n"
                               "  %0 = dot %x, %e, contract=[1]x[0]\n"
                               "  %1 = broadcast %rate, dims=[], shape=[n, 2]\n"
                               "  %y = mul %0, %1\n"
                               "  %rows = gather %y, %i, axes=[0]\n"
                               "  %next = add %s, %y\n"
                               "  return %y, %rows, %next\n"
                               "}\n"
                               "fn @half(%a: f32[3]) -> (%b: f32[3]) {\n"
                               "  %b = neg %a\n"
                               "  return %b\n"
                               "}\n"
                               "fn @ordered(%a: f32[3], %t: token) -> (%b: f32[3]) {\n"
                               "  %b = neg %a\n"
                               "  return %b\n"
                               "}\n"
                               "fn @own(%a: f32[3]) -> (%b: f32[3]) {\n"
                               "  %b = custom %a, name=\"mine\"\n"
                               "  return %b\n"
                               "}\n";

static tn_module *parse(void) {
    tn_module *m = tn_module_parse(net_text, strlen(net_text), "net.tn");
    if (tn_module_error(m)) fail_msg("%d: %s", tn_module_error(m)->line, tn_module_error(m)->message);
    return m;
}

/* ---- Compiling ----------------------------------------------------------------------------------------- */

/* What a row spoils of options that are right. */
typedef struct request {
    tn_aot_options o;
    tn_compile_options c;
    tn_symbol_value sizes[2];
    tn_aot_state states[2];
} request;

static float four[4 * 2];
static double doubles[4 * 2];

static void for_target(request *r, const char *target, const char *cpu, const char *features) {
    r->c = (tn_compile_options){.target = target, .cpu = cpu, .features = features};
}
static void with_size(request *r, const char *symbol, int64_t value) {
    r->sizes[r->o.n_sizes++] = (tn_symbol_value){symbol, value};
}
static void with_state(request *r, const char *name, tn_tensor value) {
    r->states[r->o.n_states++] = (tn_aot_state){name, value};
}

static void unknown_target(request *r) { for_target(r, "x86_64", NULL, NULL); }
static void cpu_of_another(request *r) { for_target(r, "wasm32", "znver4", NULL); }
static void feature_of_another(request *r) { for_target(r, "x86-64-v3", NULL, "+neon"); }
static void feature_without_sign(request *r) { for_target(r, "x86-64-v3", NULL, "fma"); }
static void versions_with_cpu(request *r) { for_target(r, "x86-64-v2,v3", "znver4", NULL); }
static void versions_of_two(request *r) { for_target(r, "x86-64-v2,aarch64", NULL, NULL); }
static void weight_type_unknown(request *r) { r->c.weight_type = "int4"; }
static void library_in_object(request *r) { r->c.gemm = "blas"; }
static void own_op_in_object(request *r) { r->o.function = "own"; }
static void token_as_parameter(request *r) { r->o.function = "ordered"; }
static void function_misspelt(request *r) { r->o.function = "hlaf"; }
static void size_unknown(request *r) { with_size(r, "batch", 4); }
static void size_below(request *r) { with_size(r, "n", 1); }
static void size_uneven(request *r) { with_size(r, "n", 6); }
static void size_negative(request *r) { with_size(r, "k", -2); }
static void size_twice(request *r) {
    with_size(r, "n", 4);
    with_size(r, "n", 8);
}
static void size_of_other_function(request *r) {
    r->o.function = "half";
    with_size(r, "n", 4);
}
static void state_of_no_size(request *r) { with_state(r, "s", TN_TENSOR(TN_F32, four, 4, 2)); }
static void state_of_other_shape(request *r) {
    with_size(r, "n", 4);
    with_state(r, "s", TN_TENSOR(TN_F32, four, 2, 4));
}
static void state_of_other_dtype(request *r) {
    with_size(r, "n", 4);
    with_state(r, "s", TN_TENSOR(TN_F64, doubles, 4, 2));
}
static void state_twice(request *r) {
    with_size(r, "n", 4);
    with_state(r, "s", TN_TENSOR(TN_F32, four, 4, 2));
    with_state(r, "s", TN_TENSOR(TN_F32, four, 4, 2));
}
static void state_misnamed(request *r) {
    with_size(r, "n", 4);
    with_state(r, "t", TN_TENSOR(TN_F32, four, 4, 2));
}
static void state_without_data(request *r) {
    with_size(r, "n", 4);
    with_state(r, "s", TN_TENSOR(TN_F32, NULL, 4, 2));
}
static void state_of_none(request *r) {
    r->o.function = "half";
    with_state(r, "s", TN_TENSOR(TN_F32, four, 4, 2));
}

static const struct {
    const char *name;
    void (*spoil)(request *r);
    tn_status status;
    const char *message;
} refused[] = {
#define ROW(spoil, status, message) {#spoil, spoil, TN_ERR_##status, message}
    ROW(unknown_target, ARGUMENT,
        "unknown target \"x86_64\"; known are native, x86-64-v2, x86-64-v3, x86-64-v4, aarch64, aarch64-linux-gnu, "
        "riscv64, riscv64-linux-gnu, arm-none-eabi, wasm32"),
    ROW(cpu_of_another, ARGUMENT, "unknown cpu \"znver4\"; known are mvp, generic"),
    ROW(feature_of_another, ARGUMENT,
        "unknown feature \"neon\"; known are cx16, sahf, popcnt, sse3, ssse3, sse4.1, sse4.2, sse4a, avx, avx2, bmi, "
        "bmi2, f16c, fma, lzcnt, movbe, gfni, vaes, vpclmulqdq, avxvnni, avxvnniint8, avxifma, avxneconvert, avx512f, "
        "avx512bw, avx512cd, avx512dq, avx512vl, avx512bf16, avx512bitalg, avx512fp16, avx512ifma, avx512vbmi, "
        "avx512vbmi2, avx512vnni, avx512vpopcntdq"),
    ROW(feature_without_sign, ARGUMENT, "feature \"fma\" needs a + or - before it"),
    ROW(versions_with_cpu, ARGUMENT, "cpu and features go with one target: several targets have their own each"),
    ROW(versions_of_two, ARGUMENT,
        "x86-64-v2 and aarch64 cannot be versions in one object: only targets of x86-64 can"),
    ROW(weight_type_unknown, ARGUMENT, "weight_type is \"int4\": it can be \"f32\", \"bf16\" or \"int8\""),
    ROW(library_in_object, UNSUPPORTED, "gemm is \"blas\": an object calls no library"),
    ROW(own_op_in_object, UNSUPPORTED, "the op 'mine' is the user's own: an object cannot call it"),
    ROW(token_as_parameter, UNSUPPORTED,
        "a program has no tokens as parameters or results: the op token starts one in it"),
    ROW(function_misspelt, ARGUMENT, "there is no function @hlaf: did you mean half?"),
    ROW(size_unknown, ARGUMENT, "there is no size batch (sizes are n, k)"),
    ROW(size_below, CONSTRAINT, "n is 1, it must be at least 4 and at most 64, a multiple of 4"),
    ROW(size_uneven, CONSTRAINT, "n is 6, it must be at least 4 and at most 64, a multiple of 4"),
    ROW(size_negative, ARGUMENT, "size k is -2, it must be at least 0"),
    ROW(size_twice, ARGUMENT, "size n is given twice"),
    ROW(size_of_other_function, ARGUMENT, "there is no size n (there are none)"),
    ROW(state_of_no_size, ARGUMENT, "state 's' is f32[n, 2]: only one whose sizes are known can have first values"),
    ROW(state_of_other_shape, SHAPE, "first values of state 's' are f32[2, 4], but it is f32[4, 2]"),
    ROW(state_of_other_dtype, SHAPE, "first values of state 's' are f64[4, 2], but it is f32[4, 2]"),
    ROW(state_twice, ARGUMENT, "first values of state 's' are given twice"),
    ROW(state_misnamed, ARGUMENT, "state 's' has no first values: all states have some, or none has"),
    ROW(state_without_data, ARGUMENT, "first values of state 's' are not contiguous data"),
    ROW(state_of_none, ARGUMENT, "first values of states are given, but there is no state"),
#undef ROW
};

static void test_refused(void **state) {
    (void)state;
    int differing = 0;
    tn_module *m = parse();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        request r = {.o = {.name = "net"}};
        tn_aot aot;
        tn_diag diag = {0};
        r.o.compile = &r.c;
        r.o.sizes = r.sizes;
        r.o.states = r.states;
        refused[i].spoil(&r);
        tn_status status = tn_compile_aot(m, &r.o, &aot, &diag);
        if (status != refused[i].status || strcmp(diag.message, refused[i].message) != 0) {
            print_message("%s:\n  says  %s: %s\n  wants %s: %s\n", refused[i].name, tn_status_name(status),
                          diag.message, tn_status_name(refused[i].status), refused[i].message);
            differing++;
        }
        assert_null(tn_module_error(m)); /* the caller's module is as it was */
        tn_aot_free(&aot);
    }
    print_message("# %d wrong requests for objects\n", (int)(sizeof refused / sizeof *refused));
    assert_int_equal(differing, 0);
    tn_module_free(m);
}

/* ---- Calling --------------------------------------------------------------------------------------------- */

/* The caller: each call spoils one thing and prints a line. net has weights in a file, stepped its own. */
static const char caller[] =
    "#include \"net.h\"\n"
    "#include <stdio.h>\n"
    "#include <string.h>\n"
    "static _Alignas(64) char room[1 << 16], weights[4096];\n"
    "static float x[4 * 4], y[4 * 2], rows[2 * 2], s[4 * 2];\n"
    "static int64_t i[2];\n"
    "static net_bound bound;\n"
    "static net_state state = {s};\n"
    "static net_inputs in = {x, i};\n"
    "static net_outputs out = {y, rows};\n"
    "static void tell(const char *name, int code) { printf(\"%s: %d %s\\n\", name, code & NET_ERR_MASK, "
    "net_message(code)); }\n"
    "static int run(void) { return net_run(&bound, 4, 2, &state, &in, 1, &out, room); }\n"
    "int main(void) {\n"
    "    FILE *file = fopen(\"net.weights\", \"rb\");\n"
    "    size_t bytes = file ? fread(weights, 1, sizeof weights, file) : 0;\n"
    "    tell(\"run before bind\", run());\n"
    "    tell(\"bind to nothing\", net_bind_weights(NULL, weights, bytes));\n"
    "    tell(\"bind nothing\", net_bind_weights(&bound, NULL, bytes));\n"
    "    tell(\"bind misaligned\", net_bind_weights(&bound, weights + 8, bytes));\n"
    "    tell(\"bind cut\", net_bind_weights(&bound, weights, bytes - 1));\n"
    "    weights[9] ^= 1;\n"
    "    tell(\"bind another's\", net_bind_weights(&bound, weights, bytes));\n"
    "    weights[9] ^= 1;\n"
    "    weights[bytes - 1] ^= 1;\n"
    "    tell(\"bind damaged\", net_bind_weights(&bound, weights, bytes));\n"
    "    weights[bytes - 1] ^= 1;\n"
    "    tell(\"bind\", net_bind_weights(&bound, weights, bytes));\n"
    "    tell(\"run with nothing bound\", net_run(NULL, 4, 2, &state, &in, 1, &out, room));\n"
    "    tell(\"run without state\", net_run(&bound, 4, 2, NULL, &in, 1, &out, room));\n"
    "    tell(\"run without inputs\", net_run(&bound, 4, 2, &state, NULL, 1, &out, room));\n"
    "    tell(\"run without outputs\", net_run(&bound, 4, 2, &state, &in, 1, NULL, room));\n"
    "    tell(\"run without arena\", net_run(&bound, 4, 2, &state, &in, 1, &out, NULL));\n"
    "    tell(\"run misaligned\", net_run(&bound, 4, 2, &state, &in, 1, &out, room + 16));\n"
    "    tell(\"run too small\", net_run(&bound, 0, 2, &state, &in, 1, &out, room));\n"
    "    tell(\"run uneven\", net_run(&bound, 6, 2, &state, &in, 1, &out, room));\n"
    "    tell(\"run too large\", net_run(&bound, 68, 2, &state, &in, 1, &out, room));\n"
    "    tell(\"run negative\", net_run(&bound, 4, -1, &state, &in, 1, &out, room));\n"
    "    in.x = NULL;\n"
    "    tell(\"run without x\", run());\n"
    "    in.x = x;\n"
    "    in.i = (const int64_t *)(const void *)((const char *)i + 4);\n"
    "    tell(\"run with i misaligned\", run());\n"
    "    in.i = i;\n"
    "    out.rows = NULL;\n"
    "    tell(\"run without rows\", run());\n"
    "    out.rows = rows;\n"
    "    state.s = NULL;\n"
    "    tell(\"run without s\", run());\n"
    "    state.s = s;\n"
    "    i[1] = 4;\n"
    "    tell(\"run beyond\", run());\n"
    "    i[1] = 3;\n"
    "    net_threads threads = {0};\n"
    "    tell(\"run with no workers\", net_run_threads(&bound, 4, 2, &state, &in, 1, &out, room, &threads));\n"
    "    printf(\"arena: %d\\n\", net_arena_bytes(-4, 2) == SIZE_MAX);\n"
    "    tell(\"run\", run());\n"
    "    tell(\"no code\", 12345);\n"
    "    return 0;\n"
    "}\n";

static const char *const called[] = {
    "run before bind: 3 bound has no weights: net_bind_weights comes first",
    "bind to nothing: 3 bound is NULL",
    "bind nothing: 3 weights are NULL or not aligned to 64 bytes",
    "bind misaligned: 3 weights are NULL or not aligned to 64 bytes",
    "bind cut: 3 the weights are cut short, or another object's: they have not the bytes of this one's",
    "bind another's: 3 the weights are not those of this object",
    "bind damaged: 3 the weights are damaged: their checksum is wrong",
    "bind: 0 done",
    "run with nothing bound: 3 bound is NULL",
    "run without state: 1 state is NULL",
    "run without inputs: 1 inputs is NULL",
    "run without outputs: 1 outputs is NULL",
    "run without arena: 1 arena is NULL or not aligned to 64 bytes",
    "run misaligned: 1 arena is NULL or not aligned to 64 bytes",
    "run too small: 2 n must be at least 4 and at most 64, a multiple of 4",
    "run uneven: 2 n must be at least 4 and at most 64, a multiple of 4",
    "run too large: 2 n must be at least 4 and at most 64, a multiple of 4",
    "run negative: 2 k must be at least 0",
    "run without x: 1 inputs->x is NULL or not aligned to 4 bytes",
    "run with i misaligned: 1 inputs->i is NULL or not aligned to 8 bytes",
    "run without rows: 1 outputs->rows is NULL or not aligned to 4 bytes",
    "run without s: 1 state->s is NULL or not aligned to 4 bytes",
    "run beyond: 4 net.tn:10: gather: an index is out of range",
    "run with no workers: 1 threads: workers is less than 1",
    "arena: 1",
    "run: 0 done",
    "no code: 57 unknown code",
};

/* What programs of --emit exe say of their arguments. */
static const struct {
    const char *arguments, *message;
} started[] = {
    {"", "usage: net weights=FILE n=NUMBER k=NUMBER s=FILE x=FILE i=FILE rate=NUMBER y=FILE rows=FILE"},
    {"x=x rate=1 i=i weights=net.weights n=4 k=2 y=y", ""},
    {"y=3 z=4", "z=4: no such argument (without any they are listed)"},
    {"--help", "--help: no such argument (without any they are listed)"},
    {"weights=none n=4", "none: cannot be read"},
    {"weights=short n=4 k=2 rate=1 x=x i=i",
     "net: the weights are cut short, or another object's: they have not the bytes of this one's"},
    {"weights=net.weights k=2", "n: is not given"},
    {"weights=net.weights n=four k=2", "n: is no whole number"},
    {"weights=net.weights n=4 k=2 rate=fast", "x: is not given"},
    {"weights=net.weights n=4 k=2 rate=1 x=none", "none: cannot be read"},
    {"weights=net.weights n=4 k=2 rate=1 x=short", "short: has not the 64 bytes of its tensor"},
    {"weights=net.weights n=6 k=2 rate=1 x=short", "short: has not the 96 bytes of its tensor"},
    {"weights=net.weights n=4 k=2 rate=1 x=x i=i y=none/y", "none/y: cannot be written"},
};

static void command(object_run *r, const char *line, char *text, size_t bytes) {
    if (object_run_command(r, line, text, bytes) != 0) fail_msg("%s: %s", line, text);
}

static void write_text(object_run *r, const char *name, const char *text) {
    object_run_write(r, name, text, strlen(text));
}

static void write_object(object_run *r) {
    tn_module *m = parse();
    tn_aot aot;
    tn_diag diag;
    if (tn_compile_aot(m, &(tn_aot_options){.name = "net", .weights_in_file = true}, &aot, &diag) != TN_OK)
        fail_msg("%s", diag.message);
    object_run_write(r, "net.o", aot.code, aot.code_bytes);
    object_run_write(r, "net.weights", aot.weights, aot.weights_bytes);
    write_text(r, "net.h", aot.header);
    write_text(r, "net.c", aot.program);
    tn_aot_free(&aot);
    tn_module_free(m);
}

static void test_called(void **state) {
    char text[8000], line[300];
    const char *cc = getenv("CC");
    int differing = 0;
    size_t n = sizeof called / sizeof *called;
    write_object(*state);
    write_text(*state, "caller.c", caller);
    snprintf(line, sizeof line, "%s -std=c11 -Wall -Wextra caller.c net.o -o caller", cc ? cc : "cc");
    command(*state, line, text, sizeof text);
    command(*state, "./caller", text, sizeof text);
    char *rest = text;
    for (size_t i = 0; i < n; i++) {
        const char *said = strsep(&rest, "\n");
        if (said && strcmp(said, called[i]) == 0) continue;
        print_message("says  %s\nwants %s\n", said ? said : "nothing", called[i]);
        differing++;
    }
    assert_true(rest && !*rest);
    print_message("# %d calls of an object\n", (int)n);
    assert_int_equal(differing, 0);
}

static void test_started(void **state) {
    char text[2000], line[300];
    const char *cc = getenv("CC");
    int differing = 0;
    write_object(*state);
    write_text(*state, "short", "1234");
    snprintf(line, sizeof line,
             "%s -std=c99 -Wall -Wextra -Wpedantic -Werror net.c net.o -o net && head -c 64 /dev/zero >x && "
             "head -c 16 /dev/zero >i",
             cc ? cc : "cc");
    command(*state, line, text, sizeof text);
    for (size_t i = 0; i < sizeof started / sizeof *started; i++) {
        snprintf(line, sizeof line, "./net %s", started[i].arguments);
        int status = object_run_command(*state, line, text, sizeof text);
        text[strcspn(text, "\n")] = '\0';
        if ((status != 0) == (*started[i].message != '\0') && strcmp(text, started[i].message) == 0) continue;
        print_message("%s\n  says  %s\n  wants %s\n", line, text, started[i].message);
        differing++;
    }
    print_message("# %d starts of a program\n", (int)(sizeof started / sizeof *started));
    assert_int_equal(differing, 0);
}

static int set_up(void **state) {
    *state = object_run_open(&here);
    return 0;
}

static int tear_down(void **state) {
    object_run_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_called),
                                       cmocka_unit_test(test_started)};
    return cmocka_run_group_tests_name("wrong_aot", tests, set_up, tear_down);
}
