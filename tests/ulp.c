/* The elementary functions against the C library's next wider type.
 *
 * Every function of vmath.def is compiled for every feature level that this machine runs, as a
 * loop over vectors and as one over scalars, and compared on values of all exponents and on
 * special values. Asserted: the stated bounds, signs of zeros, NaN and infinities where C has
 * them, equal bits for scalar and vector, no symbol needed but memcpy and its like.
 *
 * TN_LONG=1 tries all 2^32 arguments of the f32 functions of one argument (a minute or two each; TN_ULP=exp,log
 * picks functions in either mode).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"
#include "compiler/codegen/vmath.h"
#include "tests/lib/levels.h"

/* ---- References ------------------------------------------------------------------------- */

typedef long double wide;

static wide ref_logistic(wide x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }

static wide ref_rsqrt(wide x) { return 1 / sqrtl(x); }

static wide ref_sign(wide x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

static wide ref_max(wide x, wide y) {
    if (isnan(x) || isnan(y)) return (wide)NAN;
    return x > y || (x == y && !signbit(x)) ? x : y;
}

static wide ref_min(wide x, wide y) {
    if (isnan(x) || isnan(y)) return (wide)NAN;
    return x < y || (x == y && signbit(x)) ? x : y;
}

/* The f64 forms are for f32 results: exact enough and faster. */
static double ref_logistic_f64(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

static double ref_rsqrt_f64(double x) { return 1 / sqrt(x); }

typedef struct reference {
    wide (*unary)(wide);
    double (*unary_f64)(double);
    wide (*binary)(wide, wide);
    double limit; /* f64 arguments are also drawn evenly from [-limit, limit] */
} reference;

static const reference references[VMATH_OP_COUNT] = {
    [VMATH_EXP] = {expl, exp, NULL, 750},
    [VMATH_EXP2] = {exp2l, exp2, NULL, 1080},
    [VMATH_EXPM1] = {expm1l, expm1, NULL, 50},
    [VMATH_LOGISTIC] = {ref_logistic, ref_logistic_f64, NULL, 50},
    [VMATH_TANH] = {tanhl, tanh, NULL, 20},
    [VMATH_SINH] = {sinhl, sinh, NULL, 720},
    [VMATH_COSH] = {coshl, cosh, NULL, 720},
    [VMATH_LOG] = {logl, log, NULL, 2},
    [VMATH_LOG1P] = {log1pl, log1p, NULL, 2},
    [VMATH_ASINH] = {asinhl, asinh, NULL, 10},
    [VMATH_ACOSH] = {acoshl, acosh, NULL, 10},
    [VMATH_ATANH] = {atanhl, atanh, NULL, 1},
    [VMATH_ERF] = {erfl, erf, NULL, 6},
    [VMATH_SIN] = {sinl, sin, NULL, 1000},
    [VMATH_COS] = {cosl, cos, NULL, 1000},
    [VMATH_TAN] = {tanl, tan, NULL, 1000},
    [VMATH_ASIN] = {asinl, asin, NULL, 1},
    [VMATH_ACOS] = {acosl, acos, NULL, 1},
    [VMATH_ATAN] = {atanl, atan, NULL, 10},
    [VMATH_ATAN2] = {NULL, NULL, atan2l, 10},
    [VMATH_POW] = {NULL, NULL, powl, 100},
    [VMATH_SQRT] = {sqrtl, sqrt, NULL, 10},
    [VMATH_RSQRT] = {ref_rsqrt, ref_rsqrt_f64, NULL, 10},
    [VMATH_FLOOR] = {floorl, floor, NULL, 100},
    [VMATH_CEIL] = {ceill, ceil, NULL, 100},
    [VMATH_ROUND] = {rintl, rint, NULL, 100},
    [VMATH_TRUNC] = {truncl, trunc, NULL, 100},
    [VMATH_ABS] = {fabsl, fabs, NULL, 100},
    [VMATH_SIGN] = {ref_sign, NULL, NULL, 100},
    [VMATH_MAX] = {NULL, NULL, ref_max, 100},
    [VMATH_MIN] = {NULL, NULL, ref_min, 100},
    [VMATH_REM] = {NULL, NULL, fmodl, 100},
};

/* ---- Compiling the functions ------------------------------------------------------------ */

typedef void (*loop_fn)(const void *a, const void *b, void *out, int64_t count);

/* Functions "NAME_BITS_LANES": out[i] = op(a[i], b[i]), `count` a multiple of the lanes. */
static void add_loop(const vmath_ctx *c, const char *name, vmath_op op, bool is64, unsigned lanes) {
    LLVMContextRef context = LLVMGetModuleContext(c->module);
    LLVMTypeRef element = is64 ? LLVMDoubleTypeInContext(context) : LLVMFloatTypeInContext(context);
    LLVMTypeRef type = lanes > 1 ? LLVMVectorType(element, lanes) : element;
    LLVMTypeRef pointer = LLVMPointerTypeInContext(context, 0), i64 = LLVMInt64TypeInContext(context);
    LLVMTypeRef signature =
        LLVMFunctionType(LLVMVoidTypeInContext(context), (LLVMTypeRef[]){pointer, pointer, pointer, i64}, 4, 0);
    LLVMValueRef f = LLVMAddFunction(c->module, name, signature);
    target_mark_function(c->target, f);
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(context, f, "entry");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(context, f, "body");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(context, f, "done");
    LLVMPositionBuilderAtEnd(c->builder, entry);
    LLVMBuildBr(c->builder, body);
    LLVMPositionBuilderAtEnd(c->builder, body);
    LLVMValueRef i = LLVMBuildPhi(c->builder, i64, "i"), args[2];
    for (unsigned k = 0; k < 2; k++) {
        LLVMValueRef at = LLVMBuildGEP2(c->builder, element, LLVMGetParam(f, k), &i, 1, "");
        args[k] = LLVMBuildLoad2(c->builder, type, at, "");
        LLVMSetAlignment(args[k], is64 ? 8 : 4);
    }
    LLVMValueRef result = vmath_emit(c, op, args);
    LLVMValueRef at = LLVMBuildGEP2(c->builder, element, LLVMGetParam(f, 2), &i, 1, "");
    LLVMSetAlignment(LLVMBuildStore(c->builder, result, at), is64 ? 8 : 4);
    LLVMValueRef next = LLVMBuildAdd(c->builder, i, LLVMConstInt(i64, lanes, 0), "");
    LLVMValueRef again = LLVMBuildICmp(c->builder, LLVMIntSLT, next, LLVMGetParam(f, 3), "");
    LLVMAddIncoming(i, (LLVMValueRef[]){LLVMConstInt(i64, 0, 0), next},
                    (LLVMBasicBlockRef[]){entry, LLVMGetInsertBlock(c->builder)}, 2);
    LLVMBuildCondBr(c->builder, again, body, done);
    LLVMPositionBuilderAtEnd(c->builder, done);
    LLVMBuildRetVoid(c->builder);
}

typedef struct level {
    target t;
    jit_unit *unit;
} level;

enum { VECTOR = 16, VARIANTS = 2 };

/* Lanes of the loops of each function: vectors and scalars, and where other widths are compared. */
static const unsigned usual_lanes[VARIANTS] = {VECTOR, 1}, odd_lanes[] = {1, 2, 3, 8, 32};

static void function_name(char *out, size_t bytes, vmath_op op, bool is64, unsigned lanes) {
    snprintf(out, bytes, "%s_%d_%u", vmath_describe(op)->name, is64 ? 64 : 32, lanes);
}

static bool wanted(vmath_op op) {
    const char *list = getenv("TN_ULP"), *name = vmath_describe(op)->name;
    if (!list) return true;
    size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at++)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0')) return true;
    return false;
}

/* In aarch64's assembly: every call is to a helper of our own. */
static void check_calls(const target *t, const char *assembly) {
    for (const char *at = assembly; (at = strstr(at, "\tbl\t")); at++)
        if (strncmp(at + 4, ".Lvmath.", 8) != 0) fail_msg("%s: calls %.40s", t->name, at + 4);
}

/* Code in the JIT; for a machine that is not this one (`j` NULL) only looked at. */
static jit_unit *compile_all(jit *j, const target *t, const unsigned *lanes, unsigned variants) {
    tn_diag diag = {0};
    LLVMContextRef context = object_context_new(&diag);
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("ulp", context);
    LLVMTargetMachineRef tm = target_machine_new(t, 2, &diag);
    assert_non_null(tm);
    target_mark_module(module, tm);
    vmath_ctx c = {LLVMCreateBuilderInContext(context), module, t};
    for (int op = 0; op < VMATH_OP_COUNT; op++) {
        if (!wanted((vmath_op)op)) continue;
        for (unsigned k = 0; k < 2 * variants; k++) {
            char name[64];
            function_name(name, sizeof name, (vmath_op)op, k & 1, lanes[k / 2]);
            add_loop(&c, name, (vmath_op)op, k & 1, lanes[k / 2]);
        }
    }
    LLVMDisposeBuilder(c.builder);
    if (object_verify(module, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(object_optimise(module, tm, 1, &diag), TN_OK);
    LLVMMemoryBufferRef object = NULL;
    object_form form = j ? OBJECT_OBJECT : OBJECT_ASSEMBLY;
    if (object_emit(module, tm, form, &object, &diag) != TN_OK) fail_msg("%s", diag.message);
    jit_unit *u = NULL;
    if (j) {
        /* Fails, naming the symbol, when anything but memcpy and its like is needed. */
        u = jit_add_object(j, LLVMGetBufferStart(object), LLVMGetBufferSize(object), &diag);
        if (!u) fail_msg("%s: %s", t->name, diag.message);
    } else {
        check_calls(t, LLVMGetBufferStart(object));
    }
    LLVMDisposeMemoryBuffer(object);
    LLVMDisposeModule(module);
    LLVMDisposeTargetMachine(tm);
    LLVMContextDispose(context);
    return u;
}

/* ---- Arguments -------------------------------------------------------------------------- */

enum { CHUNK = 1 << 16 };

static uint64_t mix(uint64_t x) { /* a bijection that looks random */
    x ^= x >> 31;
    x *= UINT64_C(0x7fb5d329728ea185);
    x ^= x >> 27;
    x *= UINT64_C(0x81dadef4bc2dd44d);
    return x ^ x >> 33;
}

/* The last two lie next to a multiple of pi / 2, as close as an f64 and an f32 come. */
static const double special[] = {0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 0.5,
                                 -0.5,
                                 2.0,
                                 -2.0,
                                 3.0,
                                 -3.0,
                                 INFINITY,
                                 -INFINITY,
                                 (double)NAN,
                                 0x1p-149,
                                 -0x1p-149,
                                 0x1p-126,
                                 0x1p-1074,
                                 0x1p-1022,
                                 FLT_MAX,
                                 -FLT_MAX,
                                 DBL_MAX,
                                 -DBL_MAX,
                                 1e22,
                                 16777216.0,
                                 0x1p53,
                                 -0x1p53,
                                 0x1p52 + 1,
                                 88.72284,
                                 -103.9721,
                                 709.78271,
                                 -745.1332,
                                 0.6931472,
                                 1.5707964,
                                 3.1415927,
                                 1e-30,
                                 1e30,
                                 7.0,
                                 -7.0,
                                 0.1,
                                 1.0000001,
                                 0x1.6ac5b262ca1ffp+849,
                                 0x1.f37c8ap+95};
enum { SPECIAL_COUNT = sizeof special / sizeof special[0] };

static double even(uint64_t random, double limit) { return ((double)(random >> 11) * 0x1p-52 - 1) * limit; }

/* Argument `k` (0 or 1) number i of the sample: special values in all pairs, then in turn any bits
 * and values from [-limit, limit]. */
static double argument(const reference *r, bool is64, uint64_t i, unsigned k) {
    if (i < SPECIAL_COUNT * SPECIAL_COUNT) return special[k ? i / SPECIAL_COUNT : i % SPECIAL_COUNT];
    uint64_t random = mix(i * 2 + k);
    if (i % 2) return even(random, r->limit);
    if (is64) {
        double x;
        memcpy(&x, &random, sizeof x);
        return x;
    }
    uint32_t bits = (uint32_t)(random >> 32);
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* ---- Comparing -------------------------------------------------------------------------- */

/* Error in units in the last place of the expected result; infinite where the kind differs. */
static double error_of(wide expected, double got, bool is64) {
    if (isnan(expected) || isnan(got)) return isnan(expected) && isnan(got) ? 0 : INFINITY;
    double rounded = is64 ? (double)expected : (double)(float)expected;
    if (signbit(got) != signbit(rounded)) return INFINITY;
    if (isinf(rounded) && isinf(got)) return 0;
    if (isinf(expected)) return INFINITY;
    int exponent = 0;
    frexpl(expected, &exponent);
    int lowest = is64 ? -1073 : -148, mantissa = is64 ? 53 : 24, highest = is64 ? 1024 : 128;
    exponent = exponent < lowest + mantissa - 1 ? lowest + mantissa - 1 : exponent > highest ? highest : exponent;
    wide ulp = ldexpl(1, exponent - mantissa);
    wide value = isinf(got) ? copysignl(ldexpl(1, highest), (wide)got) : (wide)got;
    return (double)(fabsl(value - expected) / ulp);
}

typedef struct buffers {
    double in[2][CHUNK];
    wide expected[CHUNK];
    float in32[2][CHUNK], out32[CHUNK], scalar32[CHUNK];
    double out64[CHUNK], scalar64[CHUNK];
} buffers;

static void expect_chunk(const reference *r, bool is64, buffers *b) {
    for (int i = 0; i < CHUNK; i++) {
        double x = b->in[0][i], y = b->in[1][i];
        if (r->binary)
            b->expected[i] = r->binary((wide)x, (wide)y);
        else if (!is64 && r->unary_f64)
            b->expected[i] = (wide)r->unary_f64(x);
        else
            b->expected[i] = r->unary((wide)x);
    }
}

typedef struct worst {
    double ulp, x, y, got;
} worst;

static void compare_chunk(const level *l, vmath_op op, bool is64, bool also_scalar, bool is_sweep, buffers *b,
                          worst *w) {
    char name[64];
    tn_diag diag;
    function_name(name, sizeof name, op, is64, VECTOR);
    loop_fn run = (loop_fn)(uintptr_t)jit_lookup(l->unit, name, &diag);
    function_name(name, sizeof name, op, is64, 1);
    loop_fn run_scalar = (loop_fn)(uintptr_t)jit_lookup(l->unit, name, &diag);
    const void *a0 = is64 ? (const void *)b->in[0] : b->in32[0], *a1 = is64 ? (const void *)b->in[1] : b->in32[1];
    run(a0, a1, is64 ? (void *)b->out64 : b->out32, CHUNK);
    if (also_scalar) run_scalar(a0, a1, is64 ? (void *)b->scalar64 : b->scalar32, CHUNK);
    for (int i = 0; i < CHUNK; i++) {
        double got = is64 ? b->out64[i] : (double)b->out32[i];
        double scalar = is64 ? b->scalar64[i] : (double)b->scalar32[i];
        bool is_same = got == scalar ? signbit(got) == signbit(scalar) : isnan(got) && isnan(scalar);
        if (also_scalar && !is_same)
            fail_msg("%s %s: scalar %a, vector %a at %a, %a", l->t.name, name, scalar, got, b->in[0][i], b->in[1][i]);
        /* What is nearest is within half an ulp; a sweep needs not know how near. */
        if (is_sweep && got == (double)(float)b->expected[i] && got != 0) continue;
        double ulp = error_of(b->expected[i], got, is64);
        if (ulp > w->ulp || isnan(ulp)) *w = (worst){ulp, b->in[0][i], b->in[1][i], got};
    }
}

static void check(level *levels, vmath_op op, bool is64, bool is_long, buffers *b) {
    const reference *r = &references[op];
    const vmath_info *info = vmath_describe(op);
    worst worst_of[LEVELS] = {{0}};
    bool all = is_long && !is64 && !r->binary;
    uint64_t chunks = all ? (UINT64_C(1) << 32) / CHUNK : is64 || r->binary ? 3 : 8;
    for (uint64_t chunk = 0; chunk < chunks; chunk++) {
        for (int i = 0; i < CHUNK; i++) {
            for (unsigned k = 0; k < 2; k++) {
                double x = argument(r, is64, chunk * CHUNK + (uint64_t)i, k);
                uint32_t bits = (uint32_t)(chunk * CHUNK) + (uint32_t)i;
                if (all)
                    memcpy(&b->in32[k][i], &bits, sizeof bits);
                else if (!is64)
                    b->in32[k][i] = (float)x;
                b->in[k][i] = is64 ? x : (double)b->in32[k][i];
            }
        }
        expect_chunk(r, is64, b);
        for (int l = 0; l < LEVELS; l++)
            if (levels[l].unit && (!all || l == 0 || l == LEVELS - 1)) /* with and without FMA */
                compare_chunk(&levels[l], op, is64, chunk == 0, all, b, &worst_of[l]);
    }
    double bound = is64 ? info->ulp64 : info->ulp32, most = 0;
    bool is_wrong = false;
    for (int l = 0; l < LEVELS; l++) {
        const worst *w = &worst_of[l];
        if (w->ulp > most) most = w->ulp;
        if (w->ulp <= bound) continue;
        is_wrong = true;
        print_message("%s: %s %s(%a, %a) = %a is off by %g ulp\n", level_names[l], is64 ? "f64" : "f32", info->name,
                      w->x, w->y, w->got, w->ulp);
    }
    print_message("%-9s %s  %.3f ulp (stated %g)\n", info->name, is64 ? "f64" : "f32", most, bound);
    if (is_wrong) fail_msg("%s is less accurate than stated", info->name);
}

/* ---- Tests ------------------------------------------------------------------------------ */

static jit *the_jit;
static level levels[LEVELS];
static buffers *shared;

static int set_up(void **state) {
    (void)state;
    tn_diag diag;
    the_jit = the_jit ? the_jit : jit_new(NULL, &diag);
    shared = malloc(sizeof *shared);
    if (!the_jit || !shared) return -1;
    for (int l = 0; l < LEVELS; l++) {
        if (target_init(&levels[l].t, level_names[l], &diag) != TN_OK) return -1;
        const target *t = &levels[l].t;
        if (t->runs_here)
            levels[l].unit = compile_all(the_jit, t, usual_lanes, VARIANTS);
        else
            print_message("%s: not run, this machine lacks it\n", t->name);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        jit_unit_free(levels[l].unit);
        target_free(&levels[l].t);
    }
    jit_free(the_jit);
    free(shared);
    return 0;
}

static void test_function(void **state) {
    vmath_op op = *(const vmath_op *)*state;
    if (!wanted(op)) skip();
    const char *tn_long = getenv("TN_LONG");
    bool is_long = tn_long && strcmp(tn_long, "0") != 0;
    check(levels, op, false, is_long, shared);
    if (!is_long) check(levels, op, true, false, shared);
}

/* Code for other machines cannot run here but must need no library either. */
static void test_foreign(void **state) {
    (void)state;
    target t;
    tn_diag diag;
    assert_int_equal(target_init(&t, "aarch64", &diag), TN_OK);
    compile_all(NULL, &t, usual_lanes, VARIANTS);
    target_free(&t);
}

/* The same bits whatever the width: 96 lanes' worth of the sample, all widths dividing it. */
static void test_widths(void **state) {
    (void)state;
    enum { COUNT = 96 * 32, WIDTHS = sizeof odd_lanes / sizeof odd_lanes[0] };
    const level *host = &levels[LEVELS - 1];
    jit_unit *u = compile_all(the_jit, &host->t, odd_lanes, WIDTHS);
    static double in[2][COUNT], out[WIDTHS][COUNT]; /* holds floats as well */
    for (int op = 0; op < VMATH_OP_COUNT; op++) {
        for (int is64 = 0; is64 < 2 && wanted((vmath_op)op); is64++) {
            for (unsigned k = 0; k < 2; k++) {
                for (int i = 0; i < COUNT; i++) {
                    double x = argument(&references[op], is64, (uint64_t)i, k);
                    if (is64)
                        in[k][i] = x;
                    else
                        ((float *)in[k])[i] = (float)x;
                }
            }
            for (int w = 0; w < WIDTHS; w++) {
                char name[64];
                tn_diag diag;
                function_name(name, sizeof name, (vmath_op)op, is64, odd_lanes[w]);
                loop_fn run = (loop_fn)(uintptr_t)jit_lookup(u, name, &diag);
                run(in[0], in[1], out[w], COUNT);
                for (int i = 0; i < COUNT; i++) {
                    double a = is64 ? out[0][i] : (double)((float *)out[0])[i];
                    double b = is64 ? out[w][i] : (double)((float *)out[w])[i];
                    bool is_same = a == b ? signbit(a) == signbit(b) : isnan(a) && isnan(b);
                    if (!is_same) fail_msg("%s: scalar %a, in vectors %a", name, a, b);
                }
            }
        }
    }
    jit_unit_free(u);
}

int main(void) {
    static vmath_op ops[VMATH_OP_COUNT];
    struct CMUnitTest tests[VMATH_OP_COUNT + 2];
    for (int i = 0; i < VMATH_OP_COUNT; i++) {
        ops[i] = (vmath_op)i;
        tests[i] = (struct CMUnitTest){vmath_describe(ops[i])->name, test_function, NULL, NULL, &ops[i]};
    }
    tests[VMATH_OP_COUNT] = (struct CMUnitTest)cmocka_unit_test(test_foreign);
    tests[VMATH_OP_COUNT + 1] = (struct CMUnitTest)cmocka_unit_test(test_widths);
    return cmocka_run_group_tests_name("ulp", tests, set_up, tear_down);
}
