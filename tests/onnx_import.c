/* Importing ONNX: what becomes of symbols, shape arithmetic, control flow, local functions, weights; and the
 * exact message of each mistake. Models are written as text (tests/lib/onnx_writer.h) and run by the
 * interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontends/onnx/tenon_onnx.h"
#include "ir/graph.h"
#include "runtime/alloc.h"
#include "tests/lib/onnx_writer.h"
#include "tests/lib/opcase.h"

/* ---- Running -------------------------------------------------------------------------------- */

static tn_module *import_with(const char *text, char **bytes, const tn_onnx_options *options) {
    size_t n;
    *bytes = onnx_write(text, &n);
    tn_module *m = tn_onnx_parse(*bytes, n, "model.onnx", options);
    assert_non_null(m);
    return m;
}

static void show_error(const tn_module *m) {
    const tn_diag *e = tn_module_error(m);
    if (e) print_message("%s: %s\n", e->file ? e->file : "", e->message);
}

enum { MOST = 8 };

/* Imports and runs a model: outputs as literals separated by ';', then inputs ended by NULL. */
static void run_module(tn_module *m, const char *expected, va_list inputs) {
    eval_tensor in[MOST], out[MOST] = {{0}};
    tn_diag diag = {0};
    int n = 0;
    show_error(m);
    assert_null(tn_module_error(m));
    if (tn_module_verify(m, &diag) != TN_OK) fail_msg("verifier: %s", diag.message);
    for (const char *text; (text = va_arg(inputs, const char *));) in[n++] = tensor_literal(text, NULL);
    const tn_graph *g = tn_module_main(m);
    assert_int_equal(n, g->n_params);
    if (eval_graph(g, in, out, NULL, &diag) != TN_OK) fail_msg("interpreter: %s", diag.message);
    for (size_t i = 0; i < g->n_results; i++) {
        char literal[512];
        size_t length = strcspn(expected, ";");
        snprintf(literal, sizeof literal, "%.*s", (int)length, expected);
        assert_tensor(&out[i], literal, g->results[i].name);
        expected += length + (expected[length] == ';');
        eval_tensor_free(&out[i]);
    }
    for (int i = 0; i < n; i++) eval_tensor_free(&in[i]);
}

static void check_model(const char *text, const char *expected, ...) {
    char *bytes;
    tn_module *m = import_with(text, &bytes, NULL);
    va_list inputs;
    va_start(inputs, expected);
    run_module(m, expected, inputs);
    va_end(inputs);
    tn_module_free(m);
    free(bytes);
}
#define check(text, expected, ...) check_model((text), (expected), __VA_ARGS__, (const char *)NULL)

/* The type of the first output, as text. */
static void check_type(const char *text, const char *expected) {
    char *bytes, type[256];
    tn_module *m = import_with(text, &bytes, NULL);
    show_error(m);
    assert_null(tn_module_error(m));
    const tn_graph *g = tn_module_main(m);
    type_print(m->dims, graph_type(g, g->results[0].value), type, sizeof type);
    assert_string_equal(type, expected);
    tn_module_free(m);
    free(bytes);
}

/* ---- Symbols and shape arithmetic ------------------------------------------------------------ */

static void test_symbols(void **state) {
    (void)state;
    check_type("opset 17; in x f32 n n ? ?; node Relu x -> y; out y", "f32[n, n, x_2, x_3]");
    check_type("opset 17; in x f32 -1 None; node Relu x -> y; out y", "f32[x_0, x_1]");
    check_type("opset 17; in x f32 a.b a-b a_b; node Relu x -> y; out y", "f32[a.b, a_b, a_b_2]");
    check_type("opset 17; in x f32 min %2n; node Relu x -> y; out y", "f32[min_, d__2n]");
    char *bytes;
    tn_onnx_options options = {.sizes = (const struct tn_onnx_size[]){{"n", 4}, {NULL, 0}}};
    tn_module *m = import_with("opset 17; in x f32 n m; node Relu x -> y; out y", &bytes, &options);
    char type[64];
    type_print(m->dims, &tn_module_main(m)->params[0].type, type, sizeof type);
    assert_string_equal(type, "f32[4, m]");
    tn_module_free(m);
    free(bytes);
}

static void test_shape_arithmetic(void **state) {
    (void)state;
    /* Flattening all but the first axis, as exporters write it. */
    check_type(
        "opset 17; in x f32 n 3 m; init zero i64 - 0; init axes i64 1 0; init minus i64 1 -1"
        "; node Shape x -> s; node Gather s zero -> d; node Unsqueeze d axes -> u; node Concat u minus -> t axis=0"
        "; node Reshape x t -> y; out y",
        "f32[n, 3*m]");
    check_type("opset 17; in x f32 n 4; init two i64 - 2; node Shape x -> s start=0 end=1; node Mul s two -> t"
               "; node ConstantOfShape t -> y; out y",
               "f32[2*n]");
    check_type(
        "opset 17; in x f32 n m; node Size x -> s; init one i64 1 1; init shape i64 1 -1; node Reshape s shape -> t"
        "; node Expand one t -> y; out y",
        "i64[m*n]");
    /* A comparison that the sizes decide: n is never -1. */
    check_type("opset 17; in x f32 n 4; in z f32 1 4; init minus i64 2 -1 -1; init ones i64 2 1 1; node Shape x -> s"
               "; node Equal s minus -> e; node Where e ones s -> t; node Expand z t -> y; out y",
               "f32[n, 4]");
    check("opset 17; in x f32 n 2; node Shape x -> s; node Cast s -> f to=1; node Mul f f -> y; out y", "f32[2] 9 4",
          "f32[3,2] 1 2 3 4 5 6");
    /* Floats on the way, and a constant that follows from constants only through the interpreter. */
    check_type("opset 17; in x f32 n; init a f32 1 7; init b f32 1 2; node Div a b -> c; node Ceil c -> d; node Cast d "
               "-> e to=7"
               "; node ConstantOfShape e -> y; out y",
               "f32[4]");
}

static void test_parts(void **state) {
    (void)state;
    check("opset 9; in x f32 3 2; node Slice x -> y starts=1, ends=9, axes=0,; out y", "f32[2,2] 3 4 5 6",
          "f32[3,2] 1 2 3 4 5 6");
    check("opset 13; in x f32 n; init s i64 1 -1; init e i64 1 -99; init a i64 1 0; init t i64 1 -2; node Slice x s e "
          "a t -> y"
          "; out y",
          "f32[3] 5 3 1", "f32[5] 1 2 3 4 5");
    /* "From the beginning" as exporters write it, of data and of a shape; steps beyond any extent. */
    check("opset 13; in x f32 n; init s i64 1 -9223372036854775808; init e i64 1 2; node Slice x s e -> y; out y",
          "f32[2] 1 2", "f32[5] 1 2 3 4 5");
    check("opset 13; in x f32 n 2; init s i64 1 -9223372036854775808; init e i64 1 -1; node Shape x -> h"
          "; node Slice h s e -> y; out y",
          "i64[1] 3", "f32[3,2] 1 2 3 4 5 6");
    check("opset 13; in x f32 n 2; init s i64 1 0; init e i64 1 9223372036854775807; init a i64 1 0"
          "; init t i64 1 9223372036854775807; node Shape x -> h; node Slice h s e a t -> y; out y",
          "i64[1] 3", "f32[3,2] 1 2 3 4 5 6");
    check("opset 11; in x f32 5; node Split x -> a b split=2,3; out a; out b", "f32[2] 1 2; f32[3] 3 4 5",
          "f32[5] 1 2 3 4 5");
    check("opset 18; in x f32 5; node Split x -> a b num_outputs=2; out a; out b", "f32[3] 1 2 3; f32[2] 4 5",
          "f32[5] 1 2 3 4 5");
    check("opset 18; in x f32 3; init p i64 2 2 1; node Pad x p -> y mode=wrap; out y", "f32[6] 2 3 1 2 3 1",
          "f32[3] 1 2 3");
    check("opset 10; in x f32 3; node Pad x -> y pads=1,1 mode=reflect; out y", "f32[5] 2 1 2 3 2", "f32[3] 1 2 3");
    check("opset 13; in x f32 3 2; init i i64 2 -1 0; node Gather x i -> y; out y", "f32[2,2] 5 6 1 2",
          "f32[3,2] 1 2 3 4 5 6");
    check("opset 13; in x f32 3 2; in i i64 1; node Gather x i -> y axis=1; out y", "f32[3,1] 2 4 6",
          "f32[3,2] 1 2 3 4 5 6", "i64[1] -1");
}

static void test_versions(void **state) {
    (void)state;
    /* Softmax before 13 works on all axes from its own on. */
    check("opset 12; in x f32 1 2 2; node Softmax x -> y axis=1; out y", "f32[1,2,2] 0.25 0.25 0.25 0.25",
          "f32[1,2,2] 0 0 0 0");
    check("opset 13; in x f32 1 2 2; node Softmax x -> y axis=1; out y", "f32[1,2,2] 0.5 0.5 0.5 0.5",
          "f32[1,2,2] 0 0 0 0");
    check("opset 10; in x f32 3; node Clip x -> y min=-1f max=1f; out y", "f32[3] -1 0.5 1", "f32[3] -2 0.5 2");
    check("opset 11; in x f32 3; init m f32 - 1; node Clip x - m -> y; out y", "f32[3] -2 0.5 1", "f32[3] -2 0.5 2");
    check("opset 11; in x f32 2 2; node ReduceSum x -> y axes=1, keepdims=0; out y", "f32[2] 3 7", "f32[2,2] 1 2 3 4");
    check("opset 13; in x f32 2 2; init a i64 1 1; node ReduceSum x a -> y keepdims=0; out y", "f32[2] 3 7",
          "f32[2,2] 1 2 3 4");
}

/* ---- Pooling ---------------------------------------------------------------------------------- */

static void test_windows(void **state) {
    (void)state;
    check("opset 13; in x f32 1 1 n; node MaxPool x -> y kernel_shape=2, strides=2, ceil_mode=1; out y",
          "f32[1,1,3] 2 4 5", "f32[1,1,5] 1 2 3 4 5");
    check("opset 13; in x f32 1 1 n; node AveragePool x -> y kernel_shape=2, strides=2, ceil_mode=1; out y",
          "f32[1,1,3] 1.5 3.5 5", "f32[1,1,5] 1 2 3 4 5");
    check("opset 13; in x f32 1 1 n; node AveragePool x -> y kernel_shape=3, auto_pad=SAME_UPPER; out y",
          "f32[1,1,3] 1.5 2 2.5", "f32[1,1,3] 1 2 3");
    check("opset 13; in x f32 1 1 n; init w f32 1,1,2 1 10; node Conv x w -> y auto_pad=SAME_LOWER; out y",
          "f32[1,1,3] 10 21 32", "f32[1,1,3] 1 2 3");
    check("opset 13; in x f32 1 1 n; init w f32 1,1,2 1 10; node ConvTranspose x w -> y strides=2,; out y",
          "f32[1,1,4] 1 10 2 20", "f32[1,1,2] 1 2");
    check("opset 13; in x f32 1 1 n; init s f32 3 1 1 2; node Resize x - s -> y; out y", "f32[1,1,4] 1 1 2 2",
          "f32[1,1,2] 1 2");
}

/* ---- Control flow ----------------------------------------------------------------------------- */

static void test_if(void **state) {
    (void)state;
    /* Captured values, one of them from two graphs out. */
    const char *text =
        "opset 17; in c bool; in d bool; in x f32 n; init k f32 - 10"
        "; graph inner_then; node Add x k -> it; out it; end; graph inner_else; node Neg x -> ie; out ie; end"
        "; graph then; node If d -> t then_branch=@inner_then else_branch=@inner_else; out t; end"
        "; graph else; node Mul x k -> e; out e; end"
        "; node If c -> y then_branch=@then else_branch=@else; out y";
    check(text, "f32[2] 11 12", "bool[] 1", "bool[] 1", "f32[2] 1 2");
    check(text, "f32[2] -1 -2", "bool[] 1", "bool[] 0", "f32[2] 1 2");
    check(text, "f32[2] 10 20", "bool[] 0", "bool[] 1", "f32[2] 1 2");
    /* A condition on sizes alone: the branch is taken at import, the other may be anything. */
    check_type("opset 17; in x f32 n 4; init four i64 - 4; init one i64 - 1; node Shape x -> s; node Gather s one -> d"
               "; node Equal d four -> c; graph then; node Relu x -> t; out t; end; graph else; node Flatten x -> e "
               "axis=0; out e; end"
               "; node If c -> y then_branch=@then else_branch=@else; out y",
               "f32[n, 4]");
    /* Branches of different rank on a size that is open: the equality is assumed, and checked. */
    check_type("opset 17; in x f32 4 n; init one i64 - 1; init axis i64 1 1; node Shape x -> s; node Gather s one -> d"
               "; node Equal d one -> c; graph then; node Squeeze x axis -> t; out t; end; graph else; node Identity x "
               "-> e; out e; end"
               "; node If c -> y then_branch=@then else_branch=@else; out y",
               "f32[4]");
}

static void test_loop(void **state) {
    (void)state;
#define BODY                                                                                                           \
    "graph body; in i i64; in go bool; in a f32 n; node Identity go -> on; node Add a x -> b; node Mul b b -> q; out " \
    "on; out b; out q; end"
    check("opset 17; in x f32 n; init three i64 - 3; init yes bool - 1; " BODY
          "; node Loop three yes x -> y s body=@body; out y; out s",
          "f32[1] 4; f32[3,1] 4 9 16", "f32[1] 1");
    /* As many trips as an axis has elements: a scan. */
    check("opset 17; in x f32 n; init zero i64 - 0; init yes bool - 1; node Shape x -> t; node Gather t zero -> "
          "trips; " BODY "; node Loop trips yes x -> y s body=@body; out y; out s",
          "f32[2] 3 6; f32[2,2] 4 16 9 36", "f32[2] 1 2");
    /* Until a sum passes 10: a while. */
    check("opset 17; in x f32; init ten f32 - 10; graph body; in i i64; in go bool; in a f32; node Add a x -> b; node "
          "Less b ten -> on"
          "; out on; out b; end; init yes bool - 1; node Loop - yes x -> y body=@body; out y",
          "f32[] 12", "f32[] 3");
    /* A trip count that is an input. */
    check("opset 17; in n i64; in x f32; graph body; in i i64; in go bool; in a f32; node Add a x -> b; node Identity "
          "go -> on; out on"
          "; out b; end; node Loop n - x -> y body=@body; out y",
          "f32[] 12", "i64[] 3", "f32[] 3");
#undef BODY
}

static void test_scan(void **state) {
    (void)state;
    check("opset 17; in h f32 2; in x f32 n 2; init k f32 - 10; graph body; in a f32 2; in e f32 2; node Add a e -> b; "
          "node Mul b k -> s"
          "; out b; out s; end; node Scan h x -> y z body=@body num_scan_inputs=1; out y; out z",
          "f32[2] 4 6; f32[2,2] 10 20 40 60", "f32[2] 0 0", "f32[2,2] 1 2 3 4");
}

static void test_functions(void **state) {
    (void)state;
    /* An attribute handed through two calls, another by default. */
    check("opset 17; opset 1 own; function inner own : a -> c : axis; node Softmax a -> b axis=$axis; node Neg b -> c; "
          "end"
          "; function outer own : p -> q : way; node inner p -> q domain=own axis=$way; end"
          "; in x f32 2 2; node outer x -> y domain=own way=0; out y",
          "f32[2,2] -0.5 -0.5 -0.5 -0.5", "f32[2,2] 1 2 1 2");
}

/* ---- Weights, fixed inputs, metadata --------------------------------------------------------- */

static void test_weights(void **state) {
    (void)state;
    const char *text =
        "opset 17; meta who me; in x f32 n 2; in w f32 2 2; init w f32 2,2 1 2 3 4; init shape i64 2 -1 2"
        "; node MatMul x w -> m; node Reshape m shape -> y; out y";
    char *bytes;
    tn_onnx_options options = {.weights_replaceable = true};
    tn_module *m = import_with(text, &bytes, &options);
    show_error(m);
    const tn_graph *g = tn_module_main(m);
    assert_int_equal(g->n_params, 2);
    assert_int_equal(g->params[1].binding, BINDING_LOAD);
    assert_string_equal(g->params[1].name, "w");
    assert_string_equal(tn_onnx_metadata(m, "who"), "me");
    assert_null(tn_onnx_metadata(m, "what"));
    tn_module_free(m);
    free(bytes);
    check(text, "f32[1,2] 7 10", "f32[1,2] 1 2");
}

/* Parameters of the main function by name, with spaces between; in [ ] those that are weights. */
static void check_params(const char *text, const char *expected) {
    char *bytes, names[256] = "";
    size_t used = 0;
    tn_diag diag = {0};
    tn_module *m = import_with(text, &bytes, &(tn_onnx_options){.weights_replaceable = true});
    show_error(m);
    assert_null(tn_module_error(m));
    if (tn_module_verify(m, &diag) != TN_OK) fail_msg("verifier: %s", diag.message);
    const tn_graph *g = tn_module_main(m);
    for (size_t i = 0; i < g->n_params && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, g->params[i].initial ? "%s[%s]" : "%s%s",
                                 i ? " " : "", g->params[i].name);
    assert_string_equal(names, expected);
    tn_module_free(m);
    free(bytes);
}

/* Constant nodes are weights as initializers are, when they are of floats, of more than one, and used as a tensor. */
static void test_constants_as_weights(void **state) {
    (void)state;
    static const char text[] = "opset 17; in x f32 n 2; init b f32 2 1 1; node Constant -> w value=#f32:2,2:1,2,3,4"
                               "; node Constant -> unused value=#f32:2:1,2; node Constant -> six value=#f32:1:6"
                               "; node Constant -> half value=#f32::0.5; node Constant -> order value=#i64:2:1,0"
                               "; node MatMul x w -> m; node Add m b -> a; node Div a six -> d; node Mul d half -> e"
                               "; node Gather e order -> y axis=1; out y";
    static const char scales[] = "opset 17; in x f32 1 1 2 2; node Constant -> a value=#f32:2:1,1; init b f32 2 2 3"
                                 "; node Concat a b -> scales axis=0; node Resize x - scales -> y; out y";
    check_params(text, "x [w] [b]");
    check(text, "f32[1,2] 0.91666666 0.6666667", "f32[1,2] 1 2");
    check_params("opset 17; in x f32 2; node Constant -> w value_floats=1,2f; node Add x w -> y; out y", "x [w]");
    /* What a size or a setting follows from, directly and through other ops, is read. */
    check_params("opset 17; in x f32 1 1 2 2; node Constant -> s value=#f32:4:1,1,2,2; node Resize x - s -> y; out y",
                 "x");
    check_type(scales, "f32[1, 1, 4, 6]");
    check_params(scales, "x [a] [b]");
}

/* Weights are parameters of the main function: a branch that may be taken has none of its own, a local function that
 * is called twice gets the same twice, equal names are told apart. */
static void test_weights_of_parts(void **state) {
    (void)state;
#define BRANCHES                                                                                                       \
    "graph yes; init w f32 2 1 2; node Constant -> k value=#f32:2:3,4; node Mul x w -> p; node Add p k -> q; out q; "  \
    "end; graph no; node Mul x v -> r; out r; end; "
    check_params("opset 17; " BRANCHES "in x f32 2; in c bool -; init v f32 2 5 6; "
                 "node If c -> y then_branch=@yes else_branch=@no; out y",
                 "x c [v]");
    check_params("opset 17; " BRANCHES "in x f32 2; init c bool - 1; init v f32 2 5 6; "
                 "node If c -> y then_branch=@yes else_branch=@no; node If c -> z then_branch=@yes else_branch=@no"
                 "; node Mul v y -> u; out u; out z",
                 "x [w] [k] [w_2] [k_2] [v]");
#undef BRANCHES
    check_params("opset 17; opset 1 own; function twice own : a w -> c; node Constant -> k value=#f32:2:3,4"
                 "; node Mul a w -> b; node Add b k -> c; end; in x f32 2; init v f32 2 5 6"
                 "; node twice x v -> y domain=own; node twice y v -> z domain=own; out z",
                 "x [v]");
}

static void test_fixed_inputs(void **state) {
    (void)state;
    char *bytes;
    int64_t shape[] = {2, 3};
    tn_onnx_options options = {.inputs =
                                   (const struct tn_onnx_input[]){{"s", TN_TENSOR(TN_I64, shape, 2)}, {NULL, {0}}}};
    tn_module *m = import_with("opset 17; in x f32 6; in s i64 2; node Reshape x s -> y; out y", &bytes, &options);
    show_error(m);
    assert_null(tn_module_error(m));
    assert_int_equal(tn_module_main(m)->n_params, 1);
    tn_module_free(m);
    free(bytes);
}

/* ---- Mistakes ----------------------------------------------------------------------------------- */

static const struct {
    const char *text, *file, *message;
} mistakes[] = {
    {"opset 17; in x f32 3 4; init w f32 2,2,1,1 1 1 1 1; node Conv x w -> y name=conv1; out y",
     "model.onnx: node 'conv1' (Conv)", "X has rank 2, W has rank 4"},
    {"opset 17; in x f32 4; node Frobnicate x -> y name=f; node Frobnicate y -> z; node Unique z -> u; out u",
     "model.onnx",
     "2 ops are missing (3 nodes): Frobnicate (opset 17, 2 nodes: 'f' 'z'); Unique (opset 17, 1 node: 'u')"},
    {"opset 17; in x f32 4; node Relu z -> y; out y", "model.onnx: the node of 'y' (Relu)",
     "input 'z' is no input, initializer or output of a node before it"},
    {"opset 17; in x f32 4; node Relu h -> y name=a; node Relu x -> h name=b; out y", "model.onnx: node 'a' (Relu)",
     "input 'h' is made by a node behind it (Relu b): nodes stand in the order they are run in"},
    {"opset 17; in image f32 4; node Relu imgae -> y; out y", "model.onnx: the node of 'y' (Relu)",
     "input 'imgae' is no input, initializer or output of a node before it: did you mean image?"},
    {"opset 17; in x f32 4; node Relu x -> probs; out porbs", "model.onnx",
     "output 'porbs' is no value of the model: did you mean probs?"},
    {"opset 17; in x f32 4; node Sofmax x -> y; out y", "model.onnx",
     "1 op is missing (1 node): Sofmax (opset 17, 1 node: 'y'): did you mean Softmax?"},
    {"opset 1; in x f32 4; node Relu x -> y; out y", "model.onnx",
     "1 op is missing (1 node): Relu (opset 1, 1 node: 'y'): it is known from opset 6 on"},
    {"opset 17; in x f32 4; node Add x -> y; out y", "model.onnx: the node of 'y' (Add)", "takes 2 inputs, not 1"},
    {"opset 17; in x f32 4; node Relu x -> x; out x", "model.onnx: the node of 'x' (Relu)",
     "two values are called 'x'"},
    {"opset 17; in x f32 4; node Relu x -> y; out z", "model.onnx", "output 'z' is no value of the model"},
    {"opset 17; in x f32 4; node Relu x -> y", "model.onnx", "the model has no outputs"},
    {"opset 17; in x string 4; node Identity x -> y; out y", "model.onnx",
     "input 'x' has elements of type STRING, which is not supported"},
    {"opset 17; in x; node Identity x -> y; out y", "model.onnx",
     "input 'x' is of no type, only tensors are supported"},
    {"opset 17; in x f32 4; in s i64 2; node Reshape x s -> y name=r; out y", "model.onnx: node 'r' (Reshape)",
     "the shape ('s') depends on the values of tensors, not on their sizes alone"},
    {"opset 17; in x f32 4; init s i64 2 3 3; node Reshape x s -> y name=r; out y", "model.onnx: node 'r' (Reshape)",
     "reshape: element counts differ: x is f32[4], wanted is f32[3, 3] (4 is not 9)"},
    {"opset 17; in x f32 4; init s i64 2 -1 -1; node Reshape x s -> y name=r; out y", "model.onnx: node 'r' (Reshape)",
     "the shape has more than one -1"},
    {"opset 17; in x f32 4; node Softmax x -> y axis=2 name=s; out y", "model.onnx: node 's' (Softmax)",
     "axis 2 is not within [-1, 1)"},
    {"opset 17; in x f32 4; node Softmax x -> y axis=2f name=s; out y", "model.onnx: node 's' (Softmax)",
     "attribute axis is FLOAT, not INT"},
    {"opset 17; in x f32 2 3; in y f32 2 3; node MatMul x y -> z name=m; out z", "model.onnx: node 'm' (MatMul)",
     "matmul: inner dims differ: x is f32[2, 3], y is f32[2, 3] (3 is not 2)"},
    {"opset 17; in x f32 2; in y i32 2; node Add x y -> z name=a; out z", "model.onnx: node 'a' (Add)",
     "add: dtypes differ: x is f32[2], y is i32[2] (make them equal with tn_convert)"},
    {"opset 17; in x f32 1 2 4; node MaxPool x -> y name=p; out y", "model.onnx: node 'p' (MaxPool)",
     "kernel_shape is missing"},
    {"opset 17; in x f32 4; node TopK x x -> v i name=t; out v", "model.onnx: node 't' (TopK)",
     "the number k ('x') depends on the values of tensors, not on their sizes alone"},
    {"opset 17; in c bool; in x f32 4; graph then; node Relu x -> t; out t; end; graph else; node Flatten x -> e "
     "axis=0; out e; end"
     "; node If c -> y then_branch=@then else_branch=@else name=i; out y",
     "model.onnx: node 'i' (If)", "output 0 is f32[4] in one branch and f32[1, 4] in the other"},
    {"opset 17; in x f32; in n i64; graph body; in i i64; in go bool; in a f32; node Identity go -> on; node Neg a -> "
     "b; out on; out b; out b"
     "; end; node Loop n - x -> y s body=@body name=l; out y",
     "model.onnx: node 'l' (Loop)", "collects results of iterations whose number is not known before it runs"},
    {"opset 17; opset 1 own; function f own : a -> b; node f a -> b domain=own; end; in x f32 2; node f x -> y "
     "domain=own; out y",
     "model.onnx: the node of 'b' (f)", "local functions call each other more than 64 deep"},
    {"opset 17; in x f32 4; node Cast x -> y to=8 name=c; out y", "model.onnx: node 'c' (Cast)",
     "casts to STRING, which is not supported"},
    {"opset 17; in x f32 2 2; node Einsum x -> y equation=ijk name=e; out y", "model.onnx: node 'e' (Einsum)",
     "'ijk' does not fit a tensor of rank 2"},
    {"opset 17; in x f32 3; node Split x -> a b c d name=s; out a", "model.onnx: node 's' (Split)",
     "the axis does not divide into 4 parts"},
    {"opset 17; in x f32 2 4 4; in w f32 1 8 4; in r f32 1 8 2; node LSTM x w r -> y direction=up name=l; out y",
     "model.onnx: node 'l' (LSTM)", "direction is 'up'"},
};

static void test_mistakes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        char *bytes;
        tn_module *m = import_with(mistakes[i].text, &bytes, NULL);
        const tn_diag *e = tn_module_error(m);
        if (!e || !e->file) {
            fail_msg("no error: %s", mistakes[i].text);
            return;
        }
        if (strcmp(e->message, mistakes[i].message) != 0 || strcmp(e->file, mistakes[i].file) != 0)
            fail_msg("%s:\n  got  %s: %s\n  want %s: %s", mistakes[i].text, e->file, e->message, mistakes[i].file,
                     mistakes[i].message);
        tn_module_free(m);
        free(bytes);
    }
}

/* ---- Memory ------------------------------------------------------------------------------------- */

/* Every allocation of the import fails in turn: an error of memory each time, or no module. */
#ifdef TN_HOSTILE_MALLOC
static void check_out_of_memory(const char *text, const tn_onnx_options *options) {
    size_t n;
    char *bytes = onnx_write(text, &n);
    bool failed = true;
    for (uint64_t at = 0; failed; at++) {
        tn_malloc_fail_at(at, false);
        tn_module *m = tn_onnx_parse(bytes, n, "model.onnx", options);
        tn_malloc_fail_at(UINT64_MAX, false);
        const tn_diag *e = tn_module_error(m);
        failed = !m || e;
        if (m && e && e->status != TN_ERR_MEMORY) fail_msg("allocation %d: %s", (int)at, e->message);
        tn_module_free(m);
    }
    free(bytes);
}
#endif

static void test_out_of_memory(void **state) {
    (void)state;
#ifdef TN_HOSTILE_MALLOC
    check_out_of_memory(
        "opset 17; in c bool; in x f32 n 4; init k f32 - 10; init axes i64 1 0; node Shape x -> s"
        "; node Cast s -> f to=1; graph then; node Add x k -> t; out t; end; graph else; node Neg x -> e; out e; end"
        "; node If c -> y then_branch=@then else_branch=@else; out y; out f",
        NULL);
    check_out_of_memory(
        "opset 17; opset 1 own; function add own : a w -> b; node Add a w -> b; end; graph yes; init w f32 2 1 2"
        "; node Mul x w -> p; out p; end; in x f32 2; init c bool - 1; node Constant -> v value=#f32:2:5,6"
        "; node If c -> y then_branch=@yes else_branch=@yes; node If c -> z then_branch=@yes else_branch=@yes"
        "; node add y v -> u domain=own; node Sub u z -> o; node Size x -> s; node Constant -> k value=#f32:2:1,1"
        "; node ReduceSum k -> one keepdims=0; node Cast one -> n to=7; node Range s n n -> r; out o; out r",
        &(tn_onnx_options){.weights_replaceable = true});
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_shape_arithmetic),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_if),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_constants_as_weights),
        cmocka_unit_test(test_weights_of_parts),
        cmocka_unit_test(test_fixed_inputs),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
