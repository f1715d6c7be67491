/* Targets, object output and the JIT: forms of output, errors, and memory over 2,000 programs.
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

#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"
#include "compiler/codegen/target.h"
#include "compiler/codegen/vmath.h"

/* ---- Small modules ---------------------------------------------------------------------- */

typedef struct build {
    tn_diag diag;
    target t;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef tm;
    LLVMBuilderRef builder;
} build;

static void start(build *b, const char *target_name) {
    memset(b, 0, sizeof *b);
    assert_int_equal(target_init(&b->t, target_name, &b->diag), TN_OK);
    b->context = object_context_new(&b->diag);
    b->module = LLVMModuleCreateWithNameInContext("module", b->context);
    b->tm = target_machine_new(&b->t, 2, &b->diag);
    assert_non_null(b->tm);
    target_mark_module(b->module, b->tm);
    b->builder = LLVMCreateBuilderInContext(b->context);
}

static void finish(build *b) {
    LLVMDisposeBuilder(b->builder);
    LLVMDisposeModule(b->module);
    LLVMDisposeTargetMachine(b->tm);
    LLVMContextDispose(b->context);
    target_free(&b->t);
}

/* float NAME(float x), its entry block open in the builder. */
static LLVMValueRef open_function(build *b, const char *name) {
    LLVMTypeRef f32 = LLVMFloatTypeInContext(b->context);
    LLVMValueRef f = LLVMAddFunction(b->module, name, LLVMFunctionType(f32, &f32, 1, 0));
    target_mark_function(&b->t, f);
    LLVMPositionBuilderAtEnd(b->builder, LLVMAppendBasicBlockInContext(b->context, f, "entry"));
    return f;
}

/* NAME(x) = e^x + shift. */
static void add_function(build *b, const char *name, double shift) {
    LLVMValueRef f = open_function(b, name), x = LLVMGetParam(f, 0);
    vmath_ctx c = {b->builder, b->module, &b->t};
    LLVMValueRef y = vmath_emit(&c, VMATH_EXP, &x);
    LLVMBuildRet(b->builder, LLVMBuildFAdd(b->builder, y, LLVMConstReal(LLVMTypeOf(y), shift), ""));
}

static LLVMMemoryBufferRef emit(build *b, object_form form) {
    LLVMMemoryBufferRef out = NULL;
    if (object_verify(b->module, &b->diag) != TN_OK) fail_msg("%s", b->diag.message);
    assert_int_equal(object_optimise(b->module, b->tm, 1, &b->diag), TN_OK);
    if (object_emit(b->module, b->tm, form, &out, &b->diag) != TN_OK) fail_msg("%s", b->diag.message);
    return out;
}

static jit_unit *link_buffer(jit *j, LLVMMemoryBufferRef object, tn_diag *diag) {
    jit_unit *u = jit_add_object(j, LLVMGetBufferStart(object), LLVMGetBufferSize(object), diag);
    LLVMDisposeMemoryBuffer(object);
    return u;
}

static jit_unit *link_exp(jit *j, double shift) {
    build b;
    start(&b, NULL);
    add_function(&b, "f", shift);
    jit_unit *u = link_buffer(j, emit(&b, OBJECT_OBJECT), &b.diag);
    if (!u) fail_msg("%s", b.diag.message);
    finish(&b);
    return u;
}

static float call(jit_unit *u, const char *name, float x) {
    tn_diag diag;
    float (*f)(float) = (float (*)(float))(uintptr_t)jit_lookup(u, name, &diag);
    if (!f) fail_msg("%s", diag.message);
    return f ? f(x) : 0;
}

static long resident_kilobytes(void) {
    char line[128] = "";
    FILE *f = fopen("/proc/self/statm", "r"); /* "total resident ..." in pages */
    if (!f || !fgets(line, sizeof line, f)) fail_msg("no /proc/self/statm");
    if (f) fclose(f);
    char *end;
    strtol(line, &end, 10);
    return strtol(end, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- Targets ---------------------------------------------------------------------------- */

static void test_targets(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int vector_bytes, mr, nr;
        bool has_fma;
    } expected[] = {{"x86-64-v2", 16, 6, 8, false}, {"x86-64-v3", 32, 6, 16, true}, {"x86-64-v4", 64, 14, 32, true},
                    {"aarch64", 16, 14, 8, true},   {"riscv64", 4, 12, 2, true},    {"arm-none-eabi", 4, 10, 2, true},
                    {"wasm32", 16, 6, 8, false}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        build b;
        start(&b, expected[i].name);
        assert_int_equal(b.t.machine.vector_bytes, expected[i].vector_bytes);
        assert_int_equal(b.t.machine.tile_f32.mr, expected[i].mr);
        assert_int_equal(b.t.machine.tile_f32.nr, expected[i].nr);
        assert_int_equal(b.t.machine.tile_f64.nr, expected[i].vector_bytes < 8 ? 2 : expected[i].nr / 2);
        assert_int_equal(b.t.machine.has_fma, expected[i].has_fma);
        finish(&b);
    }
    target host;
    tn_diag diag;
    assert_int_equal(target_init(&host, NULL, &diag), TN_OK);
    assert_true(host.runs_here);
    assert_true(host.machine.l1_bytes >= 4096 && host.machine.l2_bytes >= host.machine.l1_bytes);
    target_free(&host);
    assert_int_equal(target_init(&host, "z80", &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message,
                        "unknown target \"z80\"; known are native, x86-64-v2, x86-64-v3, x86-64-v4, aarch64, "
                        "aarch64-linux-gnu, riscv64, riscv64-linux-gnu, arm-none-eabi, wasm32");
    target_free(&host);
}

/* ---- Output ----------------------------------------------------------------------------- */

static void test_forms(void **state) {
    (void)state;
    build b;
    start(&b, "x86-64-v3");
    add_function(&b, "grow", 1);
    LLVMMemoryBufferRef text = emit(&b, OBJECT_LLVM);
    assert_non_null(strstr(LLVMGetBufferStart(text), "define float @grow"));
    LLVMDisposeMemoryBuffer(text);
    text = emit(&b, OBJECT_ASSEMBLY);
    assert_non_null(strstr(LLVMGetBufferStart(text), "grow:"));
    assert_non_null(strstr(LLVMGetBufferStart(text), "vfmadd"));
    LLVMDisposeMemoryBuffer(text);
    LLVMMemoryBufferRef object = emit(&b, OBJECT_OBJECT);
    assert_memory_equal(LLVMGetBufferStart(object),
                        "\x7f"
                        "ELF",
                        4);
    LLVMDisposeMemoryBuffer(object);
    finish(&b);
}

static void test_levels_agree(void **state) {
    (void)state;
    tn_diag diag;
    jit *j = jit_new(NULL, &diag);
    for (int level = -1; level <= 3; level++) {
        build b;
        start(&b, NULL);
        add_function(&b, "f", 0);
        assert_int_equal(object_optimise(b.module, b.tm, level, &b.diag), TN_OK);
        LLVMMemoryBufferRef object = NULL;
        assert_int_equal(object_emit(b.module, b.tm, OBJECT_OBJECT, &object, &b.diag), TN_OK);
        jit_unit *u = link_buffer(j, object, &b.diag);
        assert_true(call(u, "f", 1) == 2.71828175F);
        jit_unit_free(u);
        finish(&b);
    }
    jit_free(j);
}

static void test_broken_module(void **state) {
    (void)state;
    build b;
    start(&b, NULL);
    open_function(&b, "f"); /* a block without an end */
    assert_int_equal(object_verify(b.module, &b.diag), TN_ERR_INTERNAL);
    assert_non_null(strstr(b.diag.message, "generated LLVM IR is wrong"));
    finish(&b);
}

/* ---- Linking ---------------------------------------------------------------------------- */

static void test_units_are_apart(void **state) {
    (void)state;
    tn_diag diag;
    jit *j = jit_new(NULL, &diag);
    jit_unit *a = link_exp(j, 1), *b = link_exp(j, 2);
    assert_true(call(a, "f", 0) == 2);
    assert_true(call(b, "f", 0) == 3);
    jit_unit_free(a);
    assert_true(call(b, "f", 0) == 3);
    assert_null(jit_lookup(b, "g", &diag));
    assert_non_null(strstr(diag.message, "g"));
    assert_true(call(b, "f", 0) == 3); /* a failed look-up does no harm */
    jit_unit_free(b);
    jit_unit_free(NULL);
    jit_free(j);
}

static void test_memory_functions(void **state) {
    (void)state;
    build b;
    start(&b, NULL);
    LLVMTypeRef pointer = LLVMPointerTypeInContext(b.context, 0), i64 = LLVMInt64TypeInContext(b.context);
    LLVMTypeRef signature =
        LLVMFunctionType(LLVMVoidTypeInContext(b.context), (LLVMTypeRef[]){pointer, pointer, i64}, 3, 0);
    LLVMValueRef f = LLVMAddFunction(b.module, "move", signature);
    target_mark_function(&b.t, f);
    LLVMPositionBuilderAtEnd(b.builder, LLVMAppendBasicBlockInContext(b.context, f, "entry"));
    LLVMValueRef to = LLVMGetParam(f, 0), from = LLVMGetParam(f, 1), size = LLVMGetParam(f, 2);
    LLVMBuildMemSet(b.builder, to, LLVMConstInt(LLVMInt8TypeInContext(b.context), 7, 0), size, 1);
    LLVMBuildMemMove(b.builder, from, 1, to, 1, size);
    LLVMBuildMemCpy(b.builder, to, 1, from, 1, size);
    LLVMBuildRetVoid(b.builder);
    jit *j = jit_new(NULL, &b.diag);
    jit_unit *u = link_buffer(j, emit(&b, OBJECT_OBJECT), &b.diag);
    if (!u) fail_msg("%s", b.diag.message);
    void (*move)(char *, char *, int64_t) =
        (void (*)(char *, char *, int64_t))(uintptr_t)jit_lookup(u, "move", &b.diag);
    char x[100] = {0}, y[100] = {0};
    move(x, y, 99);
    assert_int_equal(x[98], 7);
    assert_int_equal(y[98], 7);
    assert_int_equal(x[99], 0);
    jit_unit_free(u);
    jit_free(j);
    finish(&b);
}

/* Nothing but the memory functions is given to an object, though this process has getenv. */
static void test_missing_symbol(void **state) {
    (void)state;
    build b;
    start(&b, NULL);
    LLVMValueRef f = open_function(&b, "f"), x = LLVMGetParam(f, 0);
    LLVMTypeRef type = LLVMGlobalGetValueType(f);
    LLVMValueRef outside = LLVMAddFunction(b.module, "getenv", type);
    LLVMBuildRet(b.builder, LLVMBuildCall2(b.builder, type, outside, &x, 1, ""));
    jit *j = jit_new(NULL, &b.diag);
    assert_null(link_buffer(j, emit(&b, OBJECT_OBJECT), &b.diag));
    assert_int_equal(b.diag.status, TN_ERR_INTERNAL);
    if (!strstr(b.diag.message, "getenv")) fail_msg("%s", b.diag.message);
    jit_free(j);
    finish(&b);
}

static void test_bad_objects(void **state) {
    (void)state;
    tn_diag diag;
    jit *j = jit_new(NULL, &diag);
    assert_null(jit_add_object(j, "not an object at all", 20, &diag));
    assert_int_equal(diag.status, TN_ERR_PARSE);
    assert_null(jit_add_object(j, "", 0, &diag));
    assert_int_equal(diag.status, TN_ERR_PARSE);

    build b;
    start(&b, NULL);
    bool is_x86 = b.t.is_x86;
    add_function(&b, "f", 1);
    LLVMMemoryBufferRef object = emit(&b, OBJECT_OBJECT);
    for (size_t size = 0; size < LLVMGetBufferSize(object); size += 61)
        assert_null(jit_add_object(j, LLVMGetBufferStart(object), size, &diag));
    LLVMDisposeMemoryBuffer(object);
    finish(&b);

    start(&b, is_x86 ? "aarch64" : "x86-64-v2");
    add_function(&b, "f", 1);
    jit_unit *u = link_buffer(j, emit(&b, OBJECT_OBJECT), &diag);
    assert_null(u);
    assert_string_not_equal(diag.message, "");
    finish(&b);
    jit_free(j);
}

/* g(x) = f(x), which is in another object. */
static LLVMMemoryBufferRef object_that_calls_f(void) {
    build b;
    start(&b, NULL);
    LLVMValueRef g = open_function(&b, "g"), x = LLVMGetParam(g, 0);
    LLVMTypeRef type = LLVMGlobalGetValueType(g);
    LLVMBuildRet(b.builder, LLVMBuildCall2(b.builder, type, LLVMAddFunction(b.module, "f", type), &x, 1, ""));
    LLVMMemoryBufferRef object = emit(&b, OBJECT_OBJECT);
    finish(&b);
    return object;
}

static void test_objects_that_refer_to_each_other(void **state) {
    (void)state;
    tn_diag diag;
    jit *j = jit_new(NULL, &diag);
    build b;
    start(&b, NULL);
    add_function(&b, "f", 1);
    LLVMMemoryBufferRef buffers[] = {object_that_calls_f(), emit(&b, OBJECT_OBJECT)};
    finish(&b);
    object_file files[2];
    for (int first = 0; first < 2; first++) {
        for (int i = 0; i < 2; i++)
            files[i ^ first] = (object_file){LLVMGetBufferStart(buffers[i]), LLVMGetBufferSize(buffers[i])};
        jit_unit *u = jit_add_objects(j, files, 2, &diag);
        if (!u) fail_msg("%s", diag.message);
        assert_true(call(u, "g", 0) == 2);
        jit_unit_free(u);
    }
    assert_null(jit_add_objects(j, &files[1], 1, &diag)); /* the caller alone */
    assert_non_null(strstr(diag.message, "f"));
    assert_null(jit_add_objects(j, (object_file[]){files[1], files[0], files[0]}, 3, &diag)); /* f twice */
    assert_string_not_equal(diag.message, "");
    for (int i = 0; i < 2; i++) LLVMDisposeMemoryBuffer(buffers[i]);
    jit_free(j);
}

static void title_of(void *ctx, const char *symbol, char *text, size_t bytes) {
    snprintf(text, bytes, ":%s:%s", symbol, (const char *)ctx);
}

static void test_perf_map(void **state) {
    (void)state;
    tn_diag diag;
    jit *j = jit_new(&(jit_options){.perf_map = true, .title = title_of, .title_ctx = "exp"}, &diag);
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
    remove(path);
    jit_unit *u = link_exp(j, 1);
    FILE *f = fopen(path, "r"); /* "address size name" in hexadecimal */
    if (!f || !fgets(line, sizeof line, f)) fail_msg("no %s", path);
    if (f) fclose(f);
    char *end;
    assert_true(strtoull(line, &end, 16) == (uintptr_t)jit_lookup(u, "f", &diag));
    assert_true(strtoull(end, &end, 16) > 0);
    assert_string_equal(end, " f:f:exp\n");
    remove(path);
    jit_unit_free(u);
    jit_free(j);
}

/* ---- Memory ----------------------------------------------------------------------------- */

/* A sanitiser keeps freed memory for a while. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
enum { GROWTH_LIMIT_KB = 300 << 10 };
#else
enum { GROWTH_LIMIT_KB = 2 << 10 };
#endif

static void test_memory_stays_flat(void **state) {
    (void)state;
    tn_diag diag;
    jit *j = jit_new(NULL, &diag);
    enum { CYCLES = 2000, WARM = 200 };
    long before = 0;
    for (int i = 0; i < CYCLES; i++) {
        if (i == WARM) before = resident_kilobytes();
        jit_unit *u = link_exp(j, i);
        assert_true(call(u, "f", 0) == (float)(1 + i));
        jit_unit_free(u);
    }
    long grown = resident_kilobytes() - before;
    print_message("resident memory grew by %ld KB over %d programs\n", grown, CYCLES - WARM);
    assert_true(grown < GROWTH_LIMIT_KB);
    jit_free(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),           cmocka_unit_test(test_forms),
        cmocka_unit_test(test_levels_agree),      cmocka_unit_test(test_broken_module),
        cmocka_unit_test(test_units_are_apart),   cmocka_unit_test(test_memory_functions),
        cmocka_unit_test(test_missing_symbol),    cmocka_unit_test(test_objects_that_refer_to_each_other),
        cmocka_unit_test(test_bad_objects),       cmocka_unit_test(test_perf_map),
        cmocka_unit_test(test_memory_stays_flat),
    };
    return cmocka_run_group_tests_name("jit", tests, NULL, NULL);
}
