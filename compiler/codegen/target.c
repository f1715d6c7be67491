/* Descriptions of machines: this one by asking LLVM and the system, others by name.
 *
 * law: what loop classes see (registers, tile, FMA) follows from the instruction set alone, so two
 *      machines with the same one compute the same bits
 */
#include "compiler/codegen/target.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <llvm-c/Target.h>

#include "runtime/alloc.h"

tn_status target_fail(tn_diag *diag, tn_status status, const char *format, ...) {
    if (!diag) return status;
    memset(diag, 0, sizeof *diag);
    diag->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(diag->message, sizeof diag->message, format, args);
    va_end(args);
    return status;
}

/* ---- Known machines --------------------------------------------------------------------- */

typedef struct known {
    const char *name, *triple, *features;
    bool is_x86, has_fma, has_f16;
    int vector_bytes, vector_count;
    const char *needs; /* of a machine that runs its code: features of LLVM's names */
} known;

#define V2_NEEDS "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
#define V3_NEEDS V2_NEEDS ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"
#define V4_NEEDS V3_NEEDS ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

/* The psABI's levels carry their names as LLVM's cpu; aarch64's baseline is "generic". */
static const known known_targets[] = {
    /* name        triple                       features  x86    fma    f16    bytes count needs */
    {"x86-64-v2", "x86_64-unknown-linux-gnu", "", true, false, false, 16, 16, V2_NEEDS},
    {"x86-64-v3", "x86_64-unknown-linux-gnu", "", true, true, true, 32, 16, V3_NEEDS},
    {"x86-64-v4", "x86_64-unknown-linux-gnu", "", true, true, true, 64, 32, V4_NEEDS},
    {"aarch64", "aarch64-unknown-linux-gnu", "+neon", false, true, true, 16, 32, "+neon"},
};

enum { KNOWN_COUNT = sizeof known_targets / sizeof known_targets[0] };

/* ---- Machine numbers -------------------------------------------------------------------- */

/* Accumulators fill the registers but for two of B, one of A and one to spare. */
static machine_tile tile_of(const machine *m, unsigned bits) {
    return (machine_tile){.mr = (m->vector_count - 4) / 2, .nr = 2 * machine_lanes(m, bits)};
}

static size_t cache_bytes(bool is_host, int name, size_t otherwise) {
    long bytes = is_host && name >= 0 ? sysconf(name) : 0;
    return bytes > 0 ? (size_t)bytes : otherwise;
}

#ifdef _SC_LEVEL1_DCACHE_SIZE
enum { L1 = _SC_LEVEL1_DCACHE_SIZE, L2 = _SC_LEVEL2_CACHE_SIZE, L3 = _SC_LEVEL3_CACHE_SIZE };
#else
enum { L1 = -1, L2 = -1, L3 = -1 };
#endif

/* Of one last cache: what sysconf says is on some CPUs the sum of all that a package has. */
static size_t last_cache_bytes(bool is_host, size_t otherwise) {
    FILE *f = is_host ? fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r") : NULL;
    char text[32] = ""; /* "32768K" */
    if (!f) return cache_bytes(is_host, L3, otherwise);
    unsigned long kilobytes = fgets(text, sizeof text, f) ? strtoul(text, NULL, 10) : 0;
    fclose(f);
    return kilobytes ? (size_t)kilobytes << 10 : otherwise;
}

static machine numbers_of(const known *k, bool is_host) {
    machine m = {
        .vector_bytes = k->vector_bytes,
        .vector_count = k->vector_count,
        .has_fma = k->has_fma,
        .l1_bytes = cache_bytes(is_host, L1, (size_t)32 << 10),
        .l2_bytes = cache_bytes(is_host, L2, (size_t)512 << 10),
        .l3_bytes = last_cache_bytes(is_host, is_host ? 0 : (size_t)8 << 20),
    };
    m.tile_f32 = tile_of(&m, 32);
    m.tile_f64 = tile_of(&m, 64);
    return m;
}

/* ---- LLVM's side ------------------------------------------------------------------------ */

static void register_targets(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser(); /* for CPUID (aot_bind.c) */
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
}

/* Whether a list has all that another names; every name is written as "+name". */
static bool has_features(const char *features, const char *needs) {
    while (*needs) {
        size_t length = strcspn(needs, ",");
        const char *at = features;
        while (*at && (strncmp(at, needs, length) != 0 || (at[length] != ',' && at[length] != '\0'))) {
            at += strcspn(at, ",");
            at += *at == ',';
        }
        if (!*at) return false;
        needs += length;
        needs += *needs == ',';
    }
    return true;
}

static char *copy(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *out = tn_malloc(bytes);
    if (out) memcpy(out, text, bytes);
    return out;
}

/* What the host's feature list amounts to; `name` NULL where Tenon does not run. */
static known classify_host(const char *triple, const char *features) {
    known k = {.triple = triple, .features = features, .vector_bytes = 16, .vector_count = 16, .needs = ""};
    if (strncmp(triple, "aarch64", 7) == 0) {
        k.name = "host";
        k.has_fma = k.has_f16 = true;
        k.vector_count = 32;
    } else if (strncmp(triple, "x86_64", 6) == 0 && has_features(features, "+sse4.1")) {
        k.name = "host";
        k.is_x86 = true;
        k.has_fma = has_features(features, "+fma");
        k.has_f16 = has_features(features, "+f16c");
        if (has_features(features, "+avx2")) k.vector_bytes = 32;
        if (has_features(features, "+avx512f,+avx512bw,+avx512dq,+avx512vl")) {
            k.vector_bytes = 64;
            k.vector_count = 32;
        }
    }
    return k;
}

static tn_status fill(target *t, const known *k, const char *cpu, bool is_host, tn_diag *diag) {
    t->name = copy(k->name);
    t->triple = copy(k->triple);
    t->cpu = copy(cpu);
    t->features = copy(k->features);
    t->needs = k->needs;
    t->is_x86 = k->is_x86;
    t->has_f16 = k->has_f16;
    t->machine = numbers_of(k, is_host);
    if (!t->name || !t->triple || !t->cpu || !t->features)
        return target_fail(diag, TN_ERR_MEMORY, "out of memory while describing target %s", k->name);
    return TN_OK;
}

/* What LLVM says of this machine. */
typedef struct host_description {
    char *triple, *cpu, *features;
} host_description;

static host_description describe_host(void) {
    return (host_description){LLVMGetDefaultTargetTriple(), LLVMGetHostCPUName(), LLVMGetHostCPUFeatures()};
}

static void host_description_free(host_description *h) {
    LLVMDisposeMessage(h->triple);
    LLVMDisposeMessage(h->cpu);
    LLVMDisposeMessage(h->features);
}

static tn_status init_host(target *t, const host_description *host, tn_diag *diag) {
    known k = classify_host(host->triple, host->features);
    t->runs_here = true;
    return k.name ? fill(t, &k, host->cpu, true, diag)
                  : target_fail(diag, TN_ERR_UNSUPPORTED,
                                "this machine (%s, %s) is not supported: Tenon needs x86-64 with SSE4.1 or aarch64",
                                host->triple, host->cpu);
}

static tn_status init_known(target *t, const char *name, const host_description *host, tn_diag *diag) {
    char all[256] = "host";
    for (int i = 0; i < KNOWN_COUNT; i++) {
        const known *k = &known_targets[i];
        size_t used = strlen(all), kind = strcspn(k->triple, "-") + 1;
        snprintf(all + used, sizeof all - used, ", %s", k->name);
        if (strcmp(name, k->name) != 0) continue;
        t->runs_here = strncmp(host->triple, k->triple, kind) == 0 && has_features(host->features, k->needs);
        return fill(t, k, k->is_x86 ? k->name : "generic", false, diag);
    }
    return target_fail(diag, TN_ERR_ARGUMENT, "unknown target \"%s\"; known are %s", name, all);
}

tn_status target_init(target *t, const char *name, tn_diag *diag) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_targets);
    *t = (target){0};
    host_description host = describe_host();
    bool is_host = !name || strcmp(name, "host") == 0;
    tn_status status = is_host ? init_host(t, &host, diag) : init_known(t, name, &host, diag);
    host_description_free(&host);
    return status;
}

void target_free(target *t) {
    tn_free(t->name);
    tn_free(t->triple);
    tn_free(t->cpu);
    tn_free(t->features);
    *t = (target){0};
}

/* Position-independent code: the same object serves in a shared library and in the JIT. */
LLVMTargetMachineRef target_machine_new(const target *t, int level, tn_diag *diag) {
    LLVMTargetRef found = NULL;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &found, &message)) {
        target_fail(diag, TN_ERR_UNSUPPORTED, "target %s: %s", t->name, message ? message : "unknown to LLVM");
        LLVMDisposeMessage(message);
        return NULL;
    }
    static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
                                                 LLVMCodeGenLevelAggressive};
    LLVMTargetMachineRef tm = LLVMCreateTargetMachine(found, t->triple, t->cpu, t->features,
                                                      levels[level < 0   ? 0
                                                             : level > 3 ? 3
                                                                         : level],
                                                      LLVMRelocPIC, LLVMCodeModelDefault);
    if (!tm) target_fail(diag, TN_ERR_UNSUPPORTED, "target %s: LLVM makes no code for %s", t->name, t->cpu);
    return tm;
}

void target_mark_module(LLVMModuleRef module, LLVMTargetMachineRef tm) {
    char *triple = LLVMGetTargetMachineTriple(tm);
    LLVMSetTarget(module, triple);
    LLVMDisposeMessage(triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
}

static void add_attribute(LLVMContextRef context, LLVMValueRef function, const char *key, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, a);
}

static void add_flag(LLVMContextRef context, LLVMValueRef function, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(context, kind, 0));
}

void target_mark_function(const target *t, LLVMValueRef function) {
    LLVMContextRef context = LLVMGetModuleContext(LLVMGetGlobalParent(function));
    char width[16];
    snprintf(width, sizeof width, "%d", t->machine.vector_bytes * 8);
    add_attribute(context, function, "target-cpu", t->cpu);
    if (t->features[0]) add_attribute(context, function, "target-features", t->features);
    add_attribute(context, function, "prefer-vector-width", width);
    add_attribute(context, function, "min-legal-vector-width", width);
    add_attribute(context, function, "no-builtins", "");
    add_flag(context, function, "nounwind");
}

/* LLVM wants them together. */
void target_mark_cold(LLVMValueRef function) {
    LLVMContextRef context = LLVMGetModuleContext(LLVMGetGlobalParent(function));
    add_flag(context, function, "optnone");
    add_flag(context, function, "noinline");
}
