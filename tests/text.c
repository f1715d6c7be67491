/* The text form: file tests of tests/ir, constants exactly, data files, limits. */
#include "tests/lib/filetest.h"
#include "ir/graph.h"
#include "ir/literal.h"
#include "ir/samples.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* ---- Verbs of the file tests ---------------------------------------------------------------------- */

/* print: the module as text; printing what was parsed from that gives the same text. */
static void run_print(filetest *t) {
    tn_module *m = filetest_parse(t);
    if (!m) return;
    tn_diag diag;
    if (tn_module_verify(m, &diag) != TN_OK) filetest_diag(t, &diag);
    char *text = tn_module_print(m, NULL);
    assert_non_null(text);
    filetest_add(t, text);
    tn_module *again = tn_module_parse(text, strlen(text), "again.tn");
    assert_non_null(again);
    if (tn_module_error(again)) {
        filetest_diag(t, tn_module_error(again));
    } else {
        char *second = tn_module_print(again, NULL);
        if (strcmp(text, second) != 0) filetest_print(t, "printed again it is another text:\n%s", second);
        tn_text_free(second);
    }
    tn_text_free(text);
    tn_module_free(again);
    tn_module_free(m);
}

/* error: what the parser says. */
static void run_error(filetest *t) {
    tn_module *m = filetest_parse(t);
    if (m) filetest_print(t, "no error\n");
    tn_module_free(m);
}

static const filetest_verb verbs[] = {{"print", run_print}, {"error", run_error}};

/* ---- Helpers ------------------------------------------------------------------------------------------ */

static tn_module *parse(const char *text, const char *name) {
    tn_module *m = tn_module_parse(text, strlen(text), name);
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

static void expect_status(const char *text, size_t length, tn_status status) {
    tn_module *m = tn_module_parse(text, length, "t.tn");
    assert_non_null(m);
    assert_non_null(tn_module_error(m));
    if (tn_module_error(m)->status != status)
        fail_msg("%s: %s", tn_status_name(tn_module_error(m)->status), tn_module_error(m)->message);
    tn_module_free(m);
}

/* ---- Literals ---------------------------------------------------------------------------------------------- */

static void same_bits(tn_dtype dtype, uint64_t bits) {
    char text[LITERAL_BYTES];
    uint64_t back = 0;
    size_t n = literal_print(dtype, &bits, text);
    assert_int_equal(n, strlen(text));
    if (literal_parse(dtype, text, &back) != LITERAL_OK || back != bits)
        fail_msg("%s %llx prints as %s and reads as %llx", tn_dtype_name(dtype), (unsigned long long)bits, text,
                 (unsigned long long)back);
}

static void literals_keep_their_bits(void **state) {
    (void)state;
    const tn_dtype small[] = {TN_BOOL, TN_I8, TN_U8, TN_I16, TN_U16, TN_F16, TN_BF16};
    const tn_dtype large[] = {TN_I32, TN_U32, TN_F32, TN_I64, TN_U64, TN_F64};
    for (size_t i = 0; i < LENGTH(small); i++)
        for (uint64_t bits = 0; bits >> tn_dtype_bits(small[i]) == 0; bits++) same_bits(small[i], bits);
    uint64_t state_bits = 1, rounds = getenv("TN_LONG") ? 10000000 : 20000;
    for (size_t i = 0; i < LENGTH(large); i++) {
        uint64_t mask = UINT64_MAX >> (64 - tn_dtype_bits(large[i]));
        for (uint64_t k = 0; k < 64; k++) same_bits(large[i], (UINT64_C(1) << k) & mask);
        for (uint64_t k = 0; k < rounds; k++) {
            state_bits = state_bits * 6364136223846793005u + 1442695040888963407u;
            same_bits(large[i], (state_bits ^ state_bits >> 33) & mask);
        }
    }
}

static void literals_are_short(void **state) {
    (void)state;
    const struct {
        tn_dtype dtype;
        double value;
        const char *text;
    } cases[] = {{TN_F64, 0.1, "0.1"},
                 {TN_F64, 1e-5, "1e-05"},
                 {TN_F64, 3, "3"},
                 {TN_F64, -0.0, "-0"},
                 {TN_F64, 1.0 / 3, "0.3333333333333333"}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char text[LITERAL_BYTES];
        literal_print(cases[i].dtype, &cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    float f = 0.1f;
    char text[LITERAL_BYTES];
    literal_print(TN_F32, &f, text);
    assert_string_equal(text, "0.1");
    int8_t byte;
    assert_int_equal(literal_parse(TN_I8, "128", &byte), LITERAL_RANGE);
    assert_int_equal(literal_parse(TN_I8, "-128", &byte), LITERAL_OK);
    assert_int_equal(literal_parse(TN_U8, "-1", &byte), LITERAL_RANGE);
    assert_int_equal(literal_parse(TN_I8, "1.5", &byte), LITERAL_MALFORMED);
    assert_int_equal(literal_parse(TN_F32, "1e99", &f), LITERAL_RANGE);
    assert_int_equal(literal_parse(TN_F32, "nan.0", &f), LITERAL_MALFORMED);
    assert_int_equal(literal_parse(TN_F32, "", &f), LITERAL_MALFORMED);
}

static const char half[] = "module \"m\"\nfn @main() -> (%r: f32[1]) {\n  %0 = constant value=f32[1] {0.5} : f32[1]  # "
                           "a.c:1\n  return %0\n}\n";

static void locale_is_ignored(void **state) {
    (void)state;
    const char *names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    for (size_t i = 0; i < LENGTH(names); i++) setlocale(LC_ALL, names[i]);
    tn_module *m = parse(half, "t.tn");
    char *text = tn_module_print(m, NULL);
    assert_non_null(strstr(text, "{0.5}"));
    tn_text_free(text);
    tn_module_free(m);
    setlocale(LC_ALL, "C");
}

/* ---- Data files ------------------------------------------------------------------------------------------------ */

/* A module with two constants of 100 and one of 64 elements, one of them used twice. */
static char *large_module(void) {
    char *text = malloc(1 << 16), *at = text;
    assert_non_null(text);
    at += sprintf(at, "module \"m\"\nfn @main(%%w: f32[100] weight {");
    for (int i = 0; i < 100; i++) at += sprintf(at, "%s%d", i ? ", " : "", i);
    at += sprintf(at, "}) -> (%%r: f32[100]) {\n  %%0 = constant value=f32[100] {");
    for (int i = 0; i < 100; i++) at += sprintf(at, "%s%d", i ? ", " : "", i);
    at += sprintf(at, "}\n  %%1 = constant value=f32[100] {");
    for (int i = 0; i < 100; i++) at += sprintf(at, "%s%d.25", i ? ", " : "", i);
    at += sprintf(at, "}\n  %%2 = constant value=i64[64] {");
    for (int i = 0; i < 64; i++) at += sprintf(at, "%s%d", i ? ", " : "", i);
    sprintf(at, "}\n  %%3 = add %%0, %%1\n  return %%3\n}\n");
    return text;
}

static void large_constants_go_to_a_file(void **state) {
    (void)state;
    char folder[] = "/tmp/tenon-text-XXXXXX", data[64], name[64], link[64];
    assert_non_null(mkdtemp(folder));
    snprintf(data, sizeof data, "%s/m.bin", folder);
    snprintf(name, sizeof name, "%s/m.tn", folder);
    snprintf(link, sizeof link, "%s/l.bin", folder);
    char *text = large_module();
    tn_module *m = parse(text, name);
    char *inline_text = tn_module_print(m, NULL), *with_file = tn_module_print(m, data);
    assert_non_null(inline_text);
    assert_non_null(with_file);
    struct stat info;
    assert_int_equal(stat(data, &info), 0);
    assert_int_equal(info.st_size, 448 + 400); /* two of them, the second at a multiple of 64 */
    tn_module *again = parse(with_file, name);
    char *second = tn_module_print(again, NULL);
    assert_string_equal(second, inline_text);
    tn_module_free(again);
    tn_text_free(second);

    char *brief = tn_module_print(m, "");
    assert_non_null(brief);
    assert_non_null(strstr(brief, "weight {0, 1, 2, 3, ...})"));
    assert_non_null(strstr(brief, "f32[100] {0.25, 1.25, 2.25, 3.25, ...} : f32[100]"));
    tn_text_free(brief);

    /* Changed, cut, a link, elsewhere, missing. */
    const struct {
        const char *from, *to, *message;
    } wrong[] = {
        {"+0", "+64", "m.bin does not have the checksum"},
        {"+0", "+500", "m.bin is too short"},
        {"+0", "+-4", "m.bin is too short"},
        {"\"m.bin\"", "\"l.bin\"", "l.bin cannot be opened"},
        {"\"m.bin\"", "\"../m.bin\"", "without folders"},
        {"\"m.bin\"", "\"/m.bin\"", "without folders"},
        {"\"m.bin\"", "\"..\"", "without folders"},
        {"\"m.bin\"", "\"n.bin\"", "n.bin cannot be opened"},
    };
    assert_int_equal(symlink(data, link), 0);
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        char *at = strstr(with_file, wrong[i].from), *changed = malloc(strlen(with_file) + 100);
        assert_non_null(at);
        sprintf(changed, "%.*s%s%s", (int)(at - with_file), with_file, wrong[i].to, at + strlen(wrong[i].from));
        again = tn_module_parse(changed, strlen(changed), name);
        if (!tn_module_error(again) || !strstr(tn_module_error(again)->message, wrong[i].message))
            fail_msg("%s: %s", wrong[i].to, tn_module_error(again) ? tn_module_error(again)->message : "no error");
        tn_module_free(again);
        free(changed);
    }
    assert_null(tn_module_print(m, "/nowhere/at/all.bin"));
    tn_text_free(inline_text);
    tn_text_free(with_file);
    tn_module_free(m);
    free(text);
    unlink(link);
    unlink(data);
    rmdir(folder);
}

/* ---- The guide --------------------------------------------------------------------------------------------------- */

static void the_guide_is_true(void **state) {
    (void)state;
    FILE *file = fopen("docs/IR.md", "rb");
    if (!file) fail_msg("docs/IR.md cannot be read");
    if (!file) return;
    static char guide[1 << 16];
    size_t n = fread(guide, 1, sizeof guide - 1, file);
    fclose(file);
    guide[n] = '\0';
    int blocks = 0;
    for (char *at = guide; (at = strstr(at, "```tn\n")); blocks++) {
        char *end = strstr(at += 6, "```");
        assert_non_null(end);
        *end = '\0';
        tn_module *m = parse(at, "IR.md");
        tn_diag diag;
        if (tn_module_verify(m, &diag) != TN_OK) fail_msg("%s", diag.message);
        char *text = tn_module_print(m, NULL);
        tn_module *again = parse(text, "IR.md");
        tn_module_free(again);
        tn_text_free(text);
        tn_module_free(m);
        at = end + 3;
    }
    assert_int_equal(blocks, 3);
}

/* ---- Modules made in C ------------------------------------------------------------------------------------------- */

static void names_that_need_care(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("odd \"name\"\n");
    tn_val x = tn_input(g, "x y", TN_F32, TN_SHAPE(TN_DIM("batch size"), TN_DIM("fn"), TN_SIZE(3)));
    tn_val a = tn_name(tn_neg(x), "12"), b = tn_name(tn_abs(x), "same"), c = tn_name(tn_exp(x), "same");
    tn_output(g, "0", tn_add(tn_add(a, b), c));
    tn_output(g, "\xc3\xa4", tn_sqrt(x));
    assert_null(tn_graph_error(g));
    char *text = tn_module_print(tn_graph_module(g), NULL);
    tn_module *m = parse(text, "t.tn");
    char *again = tn_module_print(m, NULL);
    assert_string_equal(again, text);
    assert_non_null(strstr(text, "%\"x y\": f32[\"batch size\", \"fn\", 3]"));
    assert_non_null(strstr(text, "%\"12\" = neg"));
    assert_non_null(strstr(text, "%same = abs"));
    assert_non_null(strstr(text, "%0 = exp"));
    assert_string_equal(module_main(m)->results[1].name, "\xc3\xa4");
    tn_text_free(text);
    tn_text_free(again);
    tn_module_free(m);
    tn_graph_free(g);
}

/* Inputs may come between nodes, bounds and facts are kept, also through control flow. */
static void builder_round_trip(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("loop");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(4)));
    tn_bound(g, "n", 1, 64, 2);
    tn_graph *body = tn_graph_sub(g, "body");
    tn_val c = tn_input(body, "c", TN_F32, TN_SHAPE(TN_SIZE(4))), s = tn_input(body, "s", TN_F32, TN_SHAPE(TN_SIZE(4)));
    tn_val sum = tn_add(c, s);
    tn_output(body, "sum", sum);
    tn_output(body, "twice", tn_mul_scalar(sum, 2));
    tn_val h = tn_relu(x);
    tn_val start = tn_input(g, "start", TN_F32, TN_SHAPE(TN_SIZE(4)));
    tn_val r = tn_scan(body, &start, 1, &h, 1, tn_dim_of(x, 0), false);
    tn_update(g, "next", start, r);
    tn_output(g, "all", tn_result(r, 1));
    if (tn_graph_error(g)) fail_msg("%s", tn_graph_error(g)->message);
    char *text = tn_module_print(tn_graph_module(g), NULL);
    tn_module *m = parse(text, "t.tn");
    char *again = tn_module_print(m, NULL);
    assert_string_equal(again, text);
    assert_non_null(strstr(text, "where n in [1, 64], n % 2 == 0"));
    assert_non_null(strstr(text, "%next: f32[4] updates %start"));
    tn_diag diag;
    if (tn_module_verify(m, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(tn_module_verify(tn_graph_module(g), NULL), TN_OK);
    tn_text_free(text);
    tn_text_free(again);
    tn_module_free(m);
    tn_graph_free(g);
}

/* ---- Random modules ---------------------------------------------------------------------------------------------- */

/* Printed and parsed it is sound and prints the same. */
static void check_round_trip(tn_graph *g, const char *what, uint64_t seed) {
    if (tn_graph_error(g)) fail_msg("%s, seed %llu: %s", what, (unsigned long long)seed, tn_graph_error(g)->message);
    tn_module *m = tn_graph_module(g);
    tn_diag diag;
    if (tn_module_verify(m, &diag) != TN_OK)
        fail_msg("%s, seed %llu: %s", what, (unsigned long long)seed, diag.message);
    char *text = tn_module_print(m, NULL);
    assert_non_null(text);
    tn_module *again = tn_module_parse(text, strlen(text), "again.tn");
    assert_non_null(again);
    if (tn_module_error(again))
        fail_msg("%s, seed %llu: %s\n%s", what, (unsigned long long)seed, tn_module_error(again)->message, text);
    if (tn_module_verify(again, &diag) != TN_OK)
        fail_msg("%s, seed %llu: %s\n%s", what, (unsigned long long)seed, diag.message, text);
    char *second = tn_module_print(again, NULL);
    assert_string_equal(second, text);
    tn_text_free(second);
    tn_text_free(text);
    tn_module_free(again);
}

static void every_op_round_trips(void **state) {
    (void)state;
    int rounds = getenv("TN_LONG") ? 300 : 3;
    for (int op = 0; op < TN_OP_COUNT; op++)
        for (int dtype = 0; dtype < TN_DTYPE_COUNT; dtype++) {
            if (!sample_supports((tn_op)op, (tn_dtype)dtype)) continue;
            for (int round = 0; round < rounds; round++) {
                uint64_t seed = (uint64_t)(op * 1000 + dtype) * 1000 + (uint64_t)round;
                sampler s = {.state = seed, .dtype = (tn_dtype)dtype, .symbolic = round & 1};
                tn_graph *g = tn_graph_new("sample");
                sample_op(&s, g, (tn_op)op);
                check_round_trip(g, op_name((tn_op)op), seed);
                tn_graph_free(g);
            }
        }
}

static void random_graphs_round_trip(void **state) {
    (void)state;
    uint64_t rounds = getenv("TN_LONG") ? 5000 : 100;
    for (uint64_t seed = 1; seed <= rounds; seed++) {
        sampler s = {.state = seed, .dtype = TN_F32, .symbolic = seed & 1, .exact = seed & 2};
        tn_graph *g = tn_graph_new("random");
        sample_graph(&s, g, 5 + (int)(seed % 56));
        check_round_trip(g, "graph", seed);
        tn_graph_free(g);
    }
}

/* ---- Hostile text ------------------------------------------------------------------------------------------------ */

/* `count` times `part` between `before` and `after`. */
static char *repeated(const char *before, const char *part, size_t count, const char *after) {
    size_t n = strlen(part);
    char *text = malloc(strlen(before) + n * count + strlen(after) + 1), *at = text;
    assert_non_null(text);
    at += sprintf(at, "%s", before);
    for (size_t i = 0; i < count; i++) at += sprintf(at, "%s", part);
    sprintf(at, "%s", after);
    return text;
}

static void nesting_is_limited(void **state) {
    (void)state;
    const struct {
        const char *before, *part, *after;
        tn_status status;
    } cases[] = {
        {"module \"m\" fn @main(%x: f32[", "(", "", TN_ERR_LIMIT},
        {"module \"m\" fn @main(%x: f32[", "-", "", TN_ERR_LIMIT},
        {"module \"m\" fn @main(%x: f32[", "mod(", "", TN_ERR_LIMIT},
        {"module \"m\" fn @main(%x: f32[1", "*n", "", TN_ERR_LIMIT},
        {"module \"m\" fn @main(%x: f32[1", "*7", "", TN_ERR_LIMIT},
        {"module \"m\" fn @main(%x: f32[", "9", "", TN_ERR_LIMIT},
        {"module \"m\" fn @main() -> () {", "{", "", TN_ERR_PARSE},
        {"module \"m\" fn @main() -> () { %0 = iota axis=", "0", ".5 }", TN_ERR_PARSE},
        {"module \"m\" fn @main() -> () { %0 = constant value=f32[1] {", "1", "} return }", TN_ERR_LIMIT},
        {"module \"", "x", "", TN_ERR_PARSE},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char *text = repeated(cases[i].before, cases[i].part, 100000, cases[i].after);
        /* Without a body nothing of the head is looked at. */
        if (strstr(text, "f32[") && !strchr(text, '{')) {
            char *with_body = repeated(text, "", 0, "]) -> () { return }");
            free(text);
            text = with_body;
        }
        expect_status(text, strlen(text), cases[i].status);
        free(text);
    }
}

/* A chain of 300 calls is one too deep, one of 150 is not. */
static void calls_are_limited(void **state) {
    (void)state;
    for (int n = 150; n <= 300; n += 150) {
        char *text = malloc(1 << 16), *at = text;
        assert_non_null(text);
        at += sprintf(at, "module \"m\"\n");
        for (int i = 0; i < n; i++)
            at += sprintf(at, "fn @f%d(%%x: f32[]) -> (%%y: f32[]) { %%0 = call %%x, callee=@f%d\nreturn %%0 }\n", i,
                          i + 1);
        sprintf(at, "fn @f%d(%%x: f32[]) -> (%%y: f32[]) { return %%x }\n", n);
        if (n > GRAPH_MAX_DEPTH)
            expect_status(text, strlen(text), TN_ERR_LIMIT);
        else
            tn_module_free(parse(text, "t.tn"));
        free(text);
    }
}

/* Work grows with the text, not with its square. */
static void long_text_is_quick(void **state) {
    (void)state;
    enum { NODES = 20000 };
    char *text = malloc(NODES * 64 + 256), *at = text;
    assert_non_null(text);
    at += sprintf(at, "module \"m\"\nfn @main(%%x: f32[n]) -> (%%y: f32[n]) {\n  %%0 = neg %%x\n");
    for (int i = 1; i < NODES; i++) at += sprintf(at, "  %%%d = add %%%d, %%x : f32[n]\n", i, i - 1);
    sprintf(at, "  return %%%d\n}\n", NODES - 1);
    clock_t begin = clock();
    tn_module *m = parse(text, "t.tn");
    assert_int_equal(tn_module_verify(m, NULL), TN_OK);
    tn_text_free(tn_module_print(m, NULL));
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 2);
    tn_module_free(m);
    free(text);
}

static void every_prefix_is_handled(void **state) {
    (void)state;
    char *text = large_module();
    const char *texts[] = {half, text};
    for (size_t k = 0; k < LENGTH(texts); k++) {
        size_t n = strlen(texts[k]);
        for (size_t length = 0; length < n; length += k ? 7 : 1) {
            char *cut = malloc(length + 1); /* exactly as long, for the address sanitiser */
            assert_non_null(cut);
            memcpy(cut, texts[k], length);
            tn_module *m = tn_module_parse(cut, length, NULL);
            free(cut);
            assert_non_null(m);
            if (length + 1 < n && k == 0 && length > 11) assert_non_null(tn_module_error(m));
            tn_module_free(m);
        }
    }
    free(text);
    tn_module_free(tn_module_parse(NULL, 0, NULL));
    assert_null(tn_module_print(NULL, NULL));
    tn_text_free(NULL);
}

/* ---- No memory --------------------------------------------------------------------------------------------------- */

#ifdef TN_HOSTILE_MALLOC
static const char small[] =
    "module \"m\"\n"
    "fn @main(%x: f32[n, 4], %w: f32[2] weight {1, 2}, %s: f32[2] state) -> (%r: f32[n, 4], %t: f32[2] updates %s)\n"
    "  where n in [1, 8]\n{\n"
    "  %a = call %x, callee=@f, symbols=[n]  # a.c:1, b.c:2\n"
    "  %v, %i = top_k %a, axis=1, k=2\n"
    "  %c = constant value=f32[3] {1, 2, 3}\n"
    "  %0 = dim dim=floordiv(n*n + 3, min(n, 7) + 1)\n"
    "  return %a, %w\n}\n"
    "fn @f(%x: f32[k, 4]) -> (%y: f32[k, 4]) { %0 = softmax %x, axis=1 return %0 }\n";

/* One pass over everything; true when nothing failed. */
static bool go_through(void) {
    tn_module *m = tn_module_parse(small, strlen(small), "small.tn");
    if (!m) return false;
    const tn_diag *error = tn_module_error(m);
    if (error && error->status != TN_ERR_MEMORY) fail_msg("%s", error->message);
    tn_diag diag;
    tn_status status = error ? TN_ERR_MEMORY : tn_module_verify(m, &diag);
    if (status != TN_OK && status != TN_ERR_MEMORY) fail_msg("%s", diag.message);
    char *text = status == TN_OK ? tn_module_print(m, NULL) : NULL;
    bool ok = text != NULL;
    tn_text_free(text);
    tn_module_free(m);
    return ok;
}

static void every_allocation_fails_in_turn(void **state) {
    (void)state;
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t nth = 0;; nth++) {
            tn_malloc_fail_at(nth, sticky);
            bool ok = go_through();
            tn_malloc_fail_at(UINT64_MAX, false);
            assert_true(nth < 100000);
            if (ok && nth > 50) break; /* it was not reached */
        }
    assert_true(go_through());
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_keep_their_bits),
        cmocka_unit_test(literals_are_short),
        cmocka_unit_test(locale_is_ignored),
        cmocka_unit_test(large_constants_go_to_a_file),
        cmocka_unit_test(the_guide_is_true),
        cmocka_unit_test(names_that_need_care),
        cmocka_unit_test(builder_round_trip),
        cmocka_unit_test(every_op_round_trips),
        cmocka_unit_test(random_graphs_round_trip),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(calls_are_limited),
        cmocka_unit_test(long_text_is_quick),
        cmocka_unit_test(every_prefix_is_handled),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(every_allocation_fails_in_turn),
#endif
    };
    return filetest_run("tests/ir", verbs, LENGTH(verbs), tests, LENGTH(tests));
}
