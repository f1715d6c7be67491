/* The JIT: one LLJIT for each unit.
 *
 * An LLJIT costs 0.4 ms to make and gives all its memory back when disposed of, so units share
 * nothing: no symbol table that grows, no lock, no order in which they must be freed. The
 * object goes into a bare JITDylib that sees no symbol of the process, only `provided`.
 */
#include "compiler/codegen/jit.h"

#include "compiler/codegen/object.h"
#include "compiler/codegen/target.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Object.h>

#include "runtime/alloc.h"

struct jit {
    jit_options options;
};

struct jit_unit {
    LLVMOrcLLJITRef lljit;
    LLVMOrcJITDylibRef dylib;
    char reason[512]; /* LLVM's words for the first failure */
};

/* e_machine of the ELF files that this processor runs (ELF specification, "Machine Information"). */
#if defined(__x86_64__)
enum { ELF_MACHINE = 62 };
#elif defined(__aarch64__)
enum { ELF_MACHINE = 183 };
#else
enum { ELF_MACHINE = 0 };
#endif

/* All that generated code may call outside itself. */
static const struct {
    const char *name;
    void *(*copy)(void *, const void *, size_t);
    void *(*set)(void *, int, size_t);
} provided[] = {
    {"memcpy", memcpy, NULL},
    {"memmove", memmove, NULL},
    {"memset", NULL, memset},
};

enum { PROVIDED_COUNT = sizeof provided / sizeof provided[0] };

static void fail_with(tn_diag *diag, tn_status status, const char *doing, LLVMErrorRef error) {
    char *message = LLVMGetErrorMessage(error);
    target_fail(diag, status, "%s: %s", doing, message);
    LLVMDisposeErrorMessage(message);
}

/* A failing link says why here, before the look-up that caused it fails with less to say. */
static void keep_reason(void *ctx, LLVMErrorRef error) {
    jit_unit *u = ctx;
    char *message = LLVMGetErrorMessage(error);
    if (!u->reason[0]) snprintf(u->reason, sizeof u->reason, "%s", message);
    LLVMDisposeErrorMessage(message);
}

static bool is_code(const char *section, LLVMSymbolIteratorRef symbol) {
    return section && strcmp(section, ".text") == 0 && LLVMGetSymbolSize(symbol) > 0;
}

/* ---- Linking ---------------------------------------------------------------------------- */

static tn_status define_provided(jit_unit *u, tn_diag *diag) {
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(u->lljit);
    LLVMOrcCSymbolMapPair pairs[PROVIDED_COUNT];
    for (int i = 0; i < PROVIDED_COUNT; i++) {
        LLVMOrcExecutorAddress address = provided[i].copy ? (uintptr_t)provided[i].copy : (uintptr_t)provided[i].set;
        pairs[i].Name = LLVMOrcExecutionSessionIntern(session, provided[i].name);
        pairs[i].Sym.Address = address;
        pairs[i].Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
        pairs[i].Sym.Flags.TargetFlags = 0;
    }
    LLVMErrorRef error = LLVMOrcJITDylibDefine(u->dylib, LLVMOrcAbsoluteSymbols(pairs, PROVIDED_COUNT));
    if (!error) return TN_OK;
    fail_with(diag, TN_ERR_INTERNAL, "the JIT refused memcpy and its like", error);
    return TN_ERR_INTERNAL;
}

/* The answer of an asynchronous look-up. */
typedef struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    uint64_t address;
    LLVMErrorRef error;
} answer;

static void take_answer(LLVMErrorRef error, LLVMOrcCSymbolMapPairs found, size_t count, void *ctx) {
    answer *a = ctx;
    pthread_mutex_lock(&a->lock);
    a->error = error;
    a->address = !error && count == 1 ? found[0].Sym.Address : 0;
    a->is_done = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

void *jit_lookup(jit_unit *u, const char *symbol, tn_diag *diag) {
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(u->lljit);
    LLVMOrcCJITDylibSearchOrderElement order = {u->dylib, LLVMOrcJITDylibLookupFlagsMatchAllSymbols};
    LLVMOrcCLookupSetElement wanted = {LLVMOrcLLJITMangleAndIntern(u->lljit, symbol),
                                       LLVMOrcSymbolLookupFlagsRequiredSymbol};
    answer a = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    LLVMOrcExecutionSessionLookup(session, LLVMOrcLookupKindStatic, &order, 1, &wanted, 1, take_answer, &a);
    pthread_mutex_lock(&a.lock);
    while (!a.is_done) pthread_cond_wait(&a.changed, &a.lock);
    pthread_mutex_unlock(&a.lock);
    pthread_mutex_destroy(&a.lock);
    pthread_cond_destroy(&a.changed);
    if (a.error && u->reason[0]) {
        target_fail(diag, TN_ERR_INTERNAL, "the JIT could not link: %s", u->reason);
        LLVMConsumeError(a.error);
    } else if (a.error) {
        fail_with(diag, TN_ERR_INTERNAL, "the JIT did not find a function", a.error);
    }
    return (void *)(uintptr_t)a.address; /* NOLINT: code addresses come as numbers */
}

/* ---- For `perf` ------------------------------------------------------------------------- */

/* The linker keeps a section's code together: local functions are as far from a global one as in the object. */
typedef struct perf_map {
    jit_unit *unit;
    FILE *file;
    uint64_t base; /* of .text, from a global function; 0: none found yet */
} perf_map;

static bool find_perf_base(void *user, const char *name, const char *section, LLVMSymbolIteratorRef symbol) {
    perf_map *map = user;
    void *place = is_code(section, symbol) ? jit_lookup(map->unit, name, NULL) : NULL;
    if (place) map->base = (uint64_t)(uintptr_t)place - LLVMGetSymbolAddress(symbol);
    return !place;
}

static bool write_perf_line(void *user, const char *name, const char *section, LLVMSymbolIteratorRef symbol) {
    perf_map *map = user;
    if (is_code(section, symbol))
        fprintf(map->file, "%" PRIx64 " %" PRIx64 " %s\n", map->base + LLVMGetSymbolAddress(symbol),
                LLVMGetSymbolSize(symbol), name);
    return true;
}

static void write_perf_map(jit_unit *u, LLVMBinaryRef binary) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
    perf_map map = {u, fopen(path, "a"), 0};
    if (!map.file) return; /* profiling is a convenience: the program runs without */
    object_each_symbol(binary, find_perf_base, &map);
    if (map.base) object_each_symbol(binary, write_perf_line, &map);
    fclose(map.file);
}

/* ---- Life ------------------------------------------------------------------------------- */

jit *jit_new(const jit_options *options, tn_diag *diag) {
    target host; /* registers the targets and refuses machines that cannot run what we emit */
    tn_status status = target_init(&host, NULL, diag);
    target_free(&host);
    if (status != TN_OK) return NULL;
    jit *j = tn_calloc(1, sizeof *j);
    if (!j) {
        target_fail(diag, TN_ERR_MEMORY, "out of memory while starting the JIT");
        return NULL;
    }
    if (options) j->options = *options;
    return j;
}

void jit_free(jit *j) { tn_free(j); }

static jit_unit *unit_new(tn_diag *diag) {
    jit_unit *u = tn_calloc(1, sizeof *u);
    if (!u) {
        target_fail(diag, TN_ERR_MEMORY, "out of memory while linking");
        return NULL;
    }
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&u->lljit, NULL);
    if (error) {
        fail_with(diag, TN_ERR_INTERNAL, "the JIT did not start", error);
        tn_free(u);
        return NULL;
    }
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(u->lljit);
    LLVMOrcExecutionSessionSetErrorReporter(session, keep_reason, u);
    u->dylib = LLVMOrcExecutionSessionCreateBareJITDylib(session, "unit");
    if (define_provided(u, diag) == TN_OK) return u;
    jit_unit_free(u);
    return NULL;
}

/* Linking happens at the first look-up that finds its name; asking for the functions one after
 * the other brings errors out now. Local functions are not found, which is no error. */
typedef struct link_try {
    jit_unit *unit;
    bool any, linked;
    tn_diag diag;
} link_try;

static bool try_to_link(void *user, const char *name, const char *section, LLVMSymbolIteratorRef symbol) {
    link_try *try = user;
    if (!is_code(section, symbol)) return true;
    try->any = true;
    try->linked = jit_lookup(try->unit, name, &try->diag) != NULL;
    return !try->linked;
}

/* A binary to look into, over memory that is not its own. */
typedef struct opened_object {
    LLVMMemoryBufferRef view;
    LLVMBinaryRef binary;
} opened_object;

static bool is_for_host(const unsigned char *bytes, size_t size) {
    enum { MACHINE_AT = 18 };
    return size > MACHINE_AT + 1 && bytes[MACHINE_AT] + 256 * bytes[MACHINE_AT + 1] == ELF_MACHINE;
}

static bool open_object(opened_object *o, const object_file *file, tn_diag *diag) {
    char *message = NULL;
    o->view = LLVMCreateMemoryBufferWithMemoryRangeCopy(file->bytes, file->size, "object");
    o->binary = LLVMCreateBinary(o->view, NULL, &message);
    if (!o->binary)
        target_fail(diag, TN_ERR_PARSE, "this is no object file: %s", message ? message : "unknown format");
    else if (!is_for_host(file->bytes, file->size))
        target_fail(diag, TN_ERR_PARSE, "this object file is for another kind of machine");
    LLVMDisposeMessage(message);
    return o->binary && is_for_host(file->bytes, file->size);
}

static void close_object(opened_object *o) {
    if (o->binary) LLVMDisposeBinary(o->binary);
    if (o->view) LLVMDisposeMemoryBuffer(o->view);
}

/* All are added before any is linked: they may refer to each other. */
static bool link_objects(jit_unit *u, const object_file *files, const opened_object *opened, size_t n, tn_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        LLVMMemoryBufferRef copy = LLVMCreateMemoryBufferWithMemoryRangeCopy(files[i].bytes, files[i].size, "object");
        LLVMErrorRef error = LLVMOrcLLJITAddObjectFile(u->lljit, u->dylib, copy);
        if (!error) continue;
        fail_with(diag, TN_ERR_INTERNAL, "the JIT refused the object", error);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        link_try try = {.unit = u};
        object_each_symbol(opened[i].binary, try_to_link, &try);
        if (!try.any || try.linked) continue;
        if (diag) *diag = try.diag;
        return false;
    }
    return true;
}

jit_unit *jit_add_objects(jit *j, const object_file *files, size_t n, tn_diag *diag) {
    opened_object *opened = tn_calloc(n + 1, sizeof *opened);
    if (!opened) {
        target_fail(diag, TN_ERR_MEMORY, "out of memory while linking");
        return NULL;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) ok = open_object(&opened[i], &files[i], diag);
    jit_unit *u = ok ? unit_new(diag) : NULL;
    if (u && !link_objects(u, files, opened, n, diag)) {
        jit_unit_free(u);
        u = NULL;
    }
    for (size_t i = 0; u && j->options.perf_map && i < n; i++) write_perf_map(u, opened[i].binary);
    for (size_t i = 0; i < n; i++) close_object(&opened[i]);
    tn_free(opened);
    return u;
}

void jit_unit_free(jit_unit *u) {
    if (!u) return;
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(u->lljit);
    if (error) LLVMConsumeError(error);
    tn_free(u);
}
