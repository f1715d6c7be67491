/* Descriptions of machines: this one by asking LLVM and the system, others by name.
 *
 * A target of its own is a row of known_targets, and its architecture a row of architectures and of register_files.
 *
 * law: what loop classes see (registers, tile, FMA) follows from the instruction set alone, so two
 *      machines with the same one compute the same bits
 */
#include "compiler/codegen/target.h"

#include "compiler/codegen/llvm_library.h"

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
    const char *name;
    architecture architecture;
    const char *triple, *cpu, *features;
    int pointer_bits;
    bool is_pic, has_no_libc;
    size_t l1_kilobytes, l2_kilobytes, l3_kilobytes; /* that blocks are cut for */
} known;

/* The psABI's levels carry their names as LLVM's cpu. */
#define X86(LEVEL) {LEVEL, ARCHITECTURE_X86, "x86_64-unknown-linux-gnu", LEVEL, "", 64, true, false, 32, 512, 8192}
#define AARCH64(NAME)                                                                                                  \
    {NAME, ARCHITECTURE_AARCH64, "aarch64-unknown-linux-gnu", "generic", "+neon", 64, true, false, 32, 512, 8192}
#define RISCV64(NAME)                                                                                                  \
    {                                                                                                                  \
        NAME,                                                                                                          \
        ARCHITECTURE_RISCV,                                                                                            \
        "riscv64-unknown-linux-gnu",                                                                                   \
        "generic-rv64",                                                                                                \
        "+m,+a,+f,+d,+c",                                                                                              \
        64,                                                                                                            \
        true,                                                                                                          \
        false,                                                                                                         \
        32,                                                                                                            \
        512,                                                                                                           \
        2048}
static const known known_targets[] = {
    X86("x86-64-v2"),
    X86("x86-64-v3"),
    X86("x86-64-v4"),
    AARCH64("aarch64"),
    AARCH64("aarch64-linux-gnu"),
    RISCV64("riscv64"),
    RISCV64("riscv64-linux-gnu"),
    {"arm-none-eabi", ARCHITECTURE_ARM, "thumbv7em-unknown-none-eabihf", "cortex-m7", "", 32, false, true, 16, 64, 128},
    {"wasm32", ARCHITECTURE_WASM, "wasm32-unknown-unknown", "generic", "+simd128", 32, false, false, 32, 512, 8192},
};

enum { KNOWN_COUNT = sizeof known_targets / sizeof known_targets[0] };

/* Lists of features that say what an architecture's machines can do; NULL: none of them can. */
static const struct {
    const char *name, *fma, *f16, *f64, *rounding;
    bool wants_alignment, has_i64;
} architectures[] = {
    [ARCHITECTURE_X86] = {"x86-64", "fma", "f16c", "", "", false, true},
    [ARCHITECTURE_AARCH64] = {"aarch64", "neon", "neon", "", "", false, true},
    [ARCHITECTURE_RISCV] = {"riscv64", "f", "zfhmin", "", "", true, true},
    [ARCHITECTURE_ARM] = {"arm", "vfp4d16sp", "fp16", "fp64", "fp-armv8d16sp", true, false},
    [ARCHITECTURE_WASM] = {"wasm32", NULL, NULL, "", "", false, true},
};

/* Registers that hold vectors, or floats; the last row counts whose features a machine has. The first has those without
 * which there is no code. Where there are only scalars, a vector is one float, and an f64 two registers; of the
 * 32 that there are, so many count that LLVM moves no sum of a tile about. */
static const struct {
    architecture architecture;
    const char *needs;
    int bytes, count;
} register_files[] = {
    {ARCHITECTURE_X86, "sse4.1", 16, 16},
    {ARCHITECTURE_X86, "avx2", 32, 16},
    {ARCHITECTURE_X86, "avx512bw,avx512dq,avx512vl", 64, 32},
    {ARCHITECTURE_AARCH64, "neon", 16, 32},
    {ARCHITECTURE_RISCV, "m,d", 4, 28},
    {ARCHITECTURE_RISCV, "m,v", 16, 32},
    {ARCHITECTURE_RISCV, "m,v,zvl256b", 32, 32},
    {ARCHITECTURE_ARM, "vfp4d16sp", 4, 24},
    {ARCHITECTURE_WASM, "", 4, 16},
    {ARCHITECTURE_WASM, "simd128", 16, 16},
};

enum { FILE_COUNT = sizeof register_files / sizeof register_files[0] };

/* ---- Machine numbers -------------------------------------------------------------------- */

/* Accumulators fill the registers but for two of B, one of A and one to spare. */
static machine_tile tile_of(const machine *m, unsigned bits) {
    int count = bits > 8 * (unsigned)m->vector_bytes ? m->vector_count / 2 : m->vector_count;
    return (machine_tile){.mr = (count - 4) / 2, .nr = 2 * machine_lanes(m, bits)};
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

static void set_caches(machine *m, const known *k, bool is_host) {
    enum { KILOBYTE = 1024 };
    m->l1_bytes = cache_bytes(is_host, L1, k->l1_kilobytes * KILOBYTE);
    m->l2_bytes = cache_bytes(is_host, L2, k->l2_kilobytes * KILOBYTE);
    m->l3_bytes = last_cache_bytes(is_host, k->l3_kilobytes * KILOBYTE);
}

void target_caches(size_t bytes[3]) {
    bytes[0] = cache_bytes(true, L1, 0);
    bytes[1] = cache_bytes(true, L2, 0);
    bytes[2] = last_cache_bytes(true, 0);
}

static bool can(architecture a, feature_set set, const char *features) {
    return features && features_have(a, set, features);
}

/* What a set of features amounts to. */
static tn_status classify(target *t, feature_set set, tn_diag *diag) {
    architecture a = t->architecture;
    machine *m = &t->machine;
    const char *needs = NULL;
    for (int i = 0; i < FILE_COUNT; i++) {
        if (register_files[i].architecture != a) continue;
        if (!needs) needs = register_files[i].needs;
        if (!can(a, set, register_files[i].needs)) continue;
        m->vector_bytes = register_files[i].bytes;
        m->vector_count = register_files[i].count;
    }
    if (!m->vector_bytes)
        return target_fail(diag, TN_ERR_UNSUPPORTED, "target %s (%s) lacks features: Tenon needs %s with %s", t->name,
                           t->cpu, architectures[a].name, needs);
    t->is_x86 = a == ARCHITECTURE_X86;
    t->wants_alignment = architectures[a].wants_alignment;
    t->has_i64 = architectures[a].has_i64;
    m->has_fma = can(a, set, architectures[a].fma);
    t->has_f16 = can(a, set, architectures[a].f16);
    t->has_rounding = can(a, set, architectures[a].rounding);
    t->has_f64 = can(a, set, architectures[a].f64);
    m->tile_f32 = tile_of(m, 32);
    m->tile_f64 = tile_of(m, 64);
    return TN_OK;
}

/* ---- LLVM's side ------------------------------------------------------------------------ */

/* What LLVM may have been built with, by its own lists. */
static const struct {
    const char *name;
    void (*initialise[3])(void);
} llvm_targets[] = {
#define LLVM_TARGET(NAME)                                                                                              \
    {#NAME, {LLVMInitialize##NAME##TargetInfo, LLVMInitialize##NAME##Target, LLVMInitialize##NAME##TargetMC}},
#include <llvm/Config/Targets.def>
};

static const struct {
    const char *name;
    void (*initialise)(void);
} llvm_printers[] = {
#define LLVM_ASM_PRINTER(NAME) {#NAME, LLVMInitialize##NAME##AsmPrinter},
#include <llvm/Config/AsmPrinters.def>
};

/* For the instructions that aot_bind.c writes as text. */
static const struct {
    const char *name;
    void (*initialise)(void);
} llvm_parsers[] = {
#define LLVM_ASM_PARSER(NAME) {#NAME, LLVMInitialize##NAME##AsmParser},
#include <llvm/Config/AsmParsers.def>
};

static bool is_wanted(const char *name) {
    static const char *const wanted[] = {"X86", "AArch64", "RISCV", "ARM", "WebAssembly"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (strcmp(wanted[i], name) == 0) return true;
    return false;
}

/* What is not there, LLVMGetTargetFromTriple will miss. */
static void register_targets(void) {
    for (size_t i = 0; i < sizeof llvm_targets / sizeof *llvm_targets; i++)
        for (int k = 0; k < 3 && is_wanted(llvm_targets[i].name); k++) llvm_targets[i].initialise[k]();
    for (size_t i = 0; i < sizeof llvm_printers / sizeof *llvm_printers; i++)
        if (is_wanted(llvm_printers[i].name)) llvm_printers[i].initialise();
    for (size_t i = 0; i < sizeof llvm_parsers / sizeof *llvm_parsers; i++)
        if (is_wanted(llvm_parsers[i].name)) llvm_parsers[i].initialise();
}

/* What LLVM says of this machine. */
typedef struct host_description {
    char *triple, *cpu, *features;
    architecture architecture;
    feature_set set;
    bool is_supported;
} host_description;

static host_description describe_host(void) {
    host_description h = {LLVMGetDefaultTargetTriple(), LLVMGetHostCPUName(), LLVMGetHostCPUFeatures(),
                          .is_supported = true};
    if (strncmp(h.triple, "x86_64-", 7) == 0)
        h.architecture = ARCHITECTURE_X86;
    else if (strncmp(h.triple, "aarch64-", 8) == 0)
        h.architecture = ARCHITECTURE_AARCH64;
    else
        h.is_supported = false;
    h.set = features_known(h.architecture, h.features);
    return h;
}

static void host_description_free(host_description *h) {
    LLVMDisposeMessage(h->triple);
    LLVMDisposeMessage(h->cpu);
    LLVMDisposeMessage(h->features);
}

/* ---- Choosing --------------------------------------------------------------------------- */

static char *copy(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *out = tn_malloc(bytes);
    if (out) memcpy(out, text, bytes);
    return out;
}

/* "a,b", or the one that is not empty. */
static char *join(const char *a, const char *b) {
    size_t bytes = strlen(a) + strlen(b) + 2;
    char *out = tn_malloc(bytes);
    if (out) snprintf(out, bytes, "%s%s%s", a, *a && *b ? "," : "", b);
    return out;
}

static tn_status unknown_target(const char *name, tn_diag *diag) {
    char all[256] = "native";
    for (int i = 0; i < KNOWN_COUNT; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, ", %s", known_targets[i].name);
    }
    return target_fail(diag, TN_ERR_ARGUMENT, "unknown target \"%.80s\"; known are %s", name, all);
}

/* `base` describes the host when is_host. */
static tn_status fill(target *t, const known *base, const target_choice *choice, const host_description *host,
                      bool is_host, tn_diag *diag) {
    const char *more = choice->features ? choice->features : "";
    bool is_plain_host = is_host && !choice->cpu;
    const char *given = is_host && choice->cpu ? "" : base->features;
    t->name = copy(base->name);
    t->triple = copy(base->triple);
    t->cpu = copy(choice->cpu ? choice->cpu : base->cpu);
    t->features = join(given, more);
    if (!t->name || !t->triple || !t->cpu || !t->features)
        return target_fail(diag, TN_ERR_MEMORY, "out of memory while describing target %s", base->name);
    t->architecture = base->architecture;
    t->pointer_bits = base->pointer_bits;
    t->is_pic = base->is_pic;
    t->is_freestanding = base->has_no_libc || choice->freestanding;
    feature_set set = features_known(t->architecture, given);
    tn_status status = is_plain_host ? TN_OK : cpu_add_features(t->architecture, t->cpu, &set, diag);
    if (status == TN_OK) status = features_apply(t->architecture, more, &set, diag);
    if (status == TN_OK) status = classify(t, set, diag);
    if (status == TN_OK && !(t->needs = features_text(t->architecture, set)))
        status = target_fail(diag, TN_ERR_MEMORY, "out of memory while describing target %s", base->name);
    set_caches(&t->machine, base, is_host);
    t->runs_here = host->is_supported && host->architecture == t->architecture && !(set & ~host->set);
    return status;
}

static tn_status choose(target *t, const target_choice *choice, const host_description *host, tn_diag *diag) {
    const char *name = choice->name;
    if (!name || strcmp(name, "host") == 0 || strcmp(name, "native") == 0) {
        known k = {"host",         host->architecture, host->triple,
                   host->cpu,      host->features,     .pointer_bits = 64,
                   .is_pic = true, .l1_kilobytes = 32, .l2_kilobytes = 512};
        if (host->is_supported) return fill(t, &k, choice, host, true, diag);
        return target_fail(diag, TN_ERR_UNSUPPORTED,
                           "this machine (%s, %s) is not supported: Tenon needs x86-64 with SSE4.1 or aarch64",
                           host->triple, host->cpu);
    }
    for (int i = 0; i < KNOWN_COUNT; i++)
        if (strcmp(name, known_targets[i].name) == 0) return fill(t, &known_targets[i], choice, host, false, diag);
    return unknown_target(name, diag);
}

tn_status target_choose(target *t, const target_choice *choice, tn_diag *diag) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *t = (target){0};
    if (!llvm_load(diag)) return TN_ERR_UNSUPPORTED;
    pthread_once(&once, register_targets);
    host_description host = describe_host();
    tn_status status = choose(t, choice, &host, diag);
    host_description_free(&host);
    return status;
}

void target_free(target *t) {
    tn_free(t->name);
    tn_free(t->triple);
    tn_free(t->cpu);
    tn_free(t->features);
    tn_free(t->needs);
    *t = (target){0};
}

/* Position-independent code where the target has it: the same object serves in a shared library and in the JIT. */
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
                                                      t->is_pic ? LLVMRelocPIC : LLVMRelocStatic, LLVMCodeModelDefault);
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
