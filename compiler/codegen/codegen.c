/* Code generation as the driver sees it (see codegen.h): LLVM modules and the machine they are for. */
#include "compiler/codegen/codegen.h"

#include "compiler/codegen/codegen_aot.h"
#include "compiler/codegen/llvm_library.h"
#include "compiler/codegen/object.h"
#include "compiler/codegen/object_divide.h"
#include "compiler/codegen/program_emit.h"

#include <stdio.h>
#include <string.h>

#include <llvm-c/Target.h>

enum {
    MOST_SHARDS = 64,
    /* A shard that has as many takes no more kernels: some 50 ms of code generation, beside which the 3 ms that each
     * costs on its own are little. One of all kernels takes longer, also for one thread. */
    SHARD_INSTRUCTIONS = 3000,
};

/* A module in a context of its own, so that shards can be worked on at once. The first has the program's functions;
 * kernels fill it and then the others, in their order. What a kernel compiles to is the same in any of them. */
typedef struct shard {
    LLVMContextRef context;
    LLVMModuleRef module;
    emitter emitter;
    size_t instructions;
    bool is_optimised;
    tn_diag diag;
    LLVMMemoryBufferRef object;
} shard;

struct codegen {
    target target; /* of the module, and of what is emitted */
    target versions[CODEGEN_MOST_VERSIONS];
    size_t n_versions; /* others than `target` */
    const target *current;
    LLVMTargetMachineRef machine;
    int level;
    bool in_one_module;
    emit_helpers helpers;
    const loop_parts *parts;
    char *debug_path; /* of the text that debuggers show; NULL: none */
    bool debug_sources;
    shard shards[MOST_SHARDS];
    size_t n_shards;
    object_file objects[MOST_SHARDS];
    tn_diag *diag;
};

static void close_module(shard *s) {
    debug_info_end(s->emitter.debug);
    s->emitter.debug = NULL;
    if (s->module) LLVMDisposeModule(s->module);
    if (s->context) LLVMContextDispose(s->context);
    s->module = NULL;
    s->context = NULL;
}

/* What was emitted before, another version, has a text of its own. */
static bool start_debugging(codegen *g, shard *s) {
    bool ok = debug_info_end(s->emitter.debug);
    s->emitter.debug = debug_info_new(s->module, (unsigned)g->target.pointer_bits, g->debug_path, g->debug_sources);
    return (ok && s->emitter.debug) || target_fail(g->diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
}

bool codegen_debug(codegen *g, const char *path, bool shows_sources) {
    g->debug_sources = shows_sources;
    tn_free(g->debug_path);
    g->debug_path = tn_malloc(strlen(path) + 1);
    if (!g->debug_path) return target_fail(g->diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
    memcpy(g->debug_path, path, strlen(path) + 1);
    return start_debugging(g, &g->shards[g->n_shards - 1]);
}

static bool open_shard(codegen *g) {
    shard *s = &g->shards[g->n_shards];
    s->context = object_context_new(&s->diag);
    if (s->context) s->module = LLVMModuleCreateWithNameInContext(OBJECT_MODULE_NAME, s->context);
    if (!s->module) {
        close_module(s);
        target_fail(g->diag, TN_ERR_MEMORY, "out of memory while opening a module");
        return false;
    }
    target_mark_module(s->module, g->machine);
    s->emitter = (emitter){.module = s->module,
                           .target = g->current,
                           .diag = g->diag,
                           .is_shared = !g->in_one_module,
                           .helpers = g->in_one_module ? NULL : &g->helpers,
                           .parts = g->parts};
    g->n_shards++;
    return !g->debug_path || start_debugging(g, s);
}

codegen *codegen_new(const codegen_target *target, int level, bool in_one_module, tn_diag *diag) {
    codegen *g = tn_calloc(1, sizeof *g);
    if (!g) {
        target_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    g->diag = diag;
    g->level = level;
    g->current = &g->target;
    g->in_one_module = in_one_module;
    target_choice choice = {target->name, target->cpu, target->features, target->freestanding};
    if (target_choose(&g->target, &choice, diag) == TN_OK) g->machine = target_machine_new(&g->target, level, diag);
    if (g->machine && open_shard(g)) return g;
    codegen_free(g);
    return NULL;
}

void codegen_free(codegen *g) {
    if (!g) return;
    for (size_t i = 0; i < g->n_shards; i++) {
        close_module(&g->shards[i]);
        if (g->shards[i].object) LLVMDisposeMemoryBuffer(g->shards[i].object);
    }
    if (g->machine) LLVMDisposeTargetMachine(g->machine);
    target_free(&g->target);
    for (size_t i = 0; i < g->n_versions; i++) target_free(&g->versions[i]);
    tn_free(g->helpers.parts);
    tn_free(g->debug_path);
    tn_free(g);
}

/* Functions that kernels of a version have in common are found by name: other versions' must have other names. */
static void rename_helpers(codegen *g) {
    for (LLVMValueRef f = LLVMGetFirstFunction(g->shards[0].module); f; f = LLVMGetNextFunction(f)) {
        char name[600];
        size_t length;
        if (LLVMGetLinkage(f) != LLVMInternalLinkage) continue;
        snprintf(name, sizeof name, "%.500s.%zu", LLVMGetValueName2(f, &length), g->n_versions);
        LLVMSetValueName2(f, name, strlen(name));
    }
}

bool codegen_add_version(codegen *g, const char *target_name) {
    if (g->n_versions == CODEGEN_MOST_VERSIONS)
        return target_fail(g->diag, TN_ERR_LIMIT, "at most %d targets", CODEGEN_MOST_VERSIONS + 1) == TN_OK;
    target *t = &g->versions[g->n_versions];
    target_choice choice = {.name = target_name, .freestanding = g->target.is_freestanding};
    if (target_choose(t, &choice, g->diag) != TN_OK) {
        target_free(t);
        return false;
    }
    rename_helpers(g);
    g->n_versions++;
    if (strcmp(t->triple, g->target.triple) != 0 || !t->is_x86)
        return target_fail(g->diag, TN_ERR_ARGUMENT,
                           "%s and %s cannot be versions in one object: only targets of x86-64 can", g->target.name,
                           t->name) == TN_OK;
    g->current = g->shards[0].emitter.target = t;
    return true;
}

void codegen_report_to(codegen *g, tn_diag *diag) {
    g->diag = diag;
    for (size_t i = 0; i < g->n_shards; i++) g->shards[i].emitter.diag = diag;
}

const machine *codegen_machine(const codegen *g) { return &g->current->machine; }
bool codegen_runs_here(const codegen *g) { return g->current->runs_here; }
const char *codegen_needs(const codegen *g) { return g->current->needs; }

/* ---- Emission ---- */

static size_t count_instructions(LLVMValueRef function) {
    size_t n = 0;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) n++;
    return n;
}

static bool emit_into_shard(void *ctx, const lt_kernel *k, const char *symbol, LLVMValueRef *stages) {
    codegen *g = ctx;
    shard *s = &g->shards[g->n_shards - 1];
    if (!g->in_one_module && s->instructions >= SHARD_INSTRUCTIONS && g->n_shards < MOST_SHARDS) {
        if (!open_shard(g)) return false;
        s++;
    }
    if (!emit_kernel(&s->emitter, k, symbol, stages)) return false;
    for (uint32_t i = 0; i < k->n_stages; i++) s->instructions += count_instructions(stages[i]);
    return true;
}

bool codegen_know_parts(codegen *g, const loop_parts *parts) {
    tn_free(g->helpers.parts);
    g->helpers.parts = tn_calloc(parts->n_parts + 1, sizeof *g->helpers.parts);
    g->parts = g->shards[0].emitter.parts = parts;
    return g->helpers.parts || target_fail(g->diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
}

bool codegen_emit(codegen *g, const program_plan *plan, tn_graph *entry, const char *prefix, emitted_tables *tables) {
    kernel_home home = {g, emit_into_shard};
    return program_emit(&g->shards[0].emitter, &home, plan, entry, prefix, tables);
}

unsigned codegen_pointer_bytes(const codegen *g) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(g->machine);
    unsigned bytes = LLVMPointerSize(layout);
    LLVMDisposeTargetData(layout);
    return bytes;
}

bool codegen_emit_entry(codegen *g, const aot_entry *entry) {
    return aot_emit(g->shards[0].module, g->machine, &g->target, entry, g->diag);
}

bool codegen_fill_weights(const codegen *g, const aot_entry *entry, void *object, size_t bytes) {
    return aot_fill_weights(&g->target, &entry->block, object, bytes, g->diag);
}

const char *codegen_cpu(const codegen *g) { return g->current->cpu; }

/* ---- What comes of it ---- */

bool codegen_verify(codegen *g) {
    for (size_t i = 0; i < g->n_shards; i++)
        if (object_verify(g->shards[i].module, g->diag) != TN_OK) return false;
    return true;
}

/* Behind all that is emitted into the module. */
static bool end_debugging(shard *s) {
    bool ok = debug_info_end(s->emitter.debug);
    s->emitter.debug = NULL;
    return ok || target_fail(&s->diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
}

static bool optimise(shard *s, LLVMTargetMachineRef machine) {
    if (!end_debugging(s)) return false;
    if (!s->is_optimised) object_define_divisions(s->module, s->emitter.target);
    if (!s->is_optimised) s->is_optimised = object_optimise(s->module, machine, 1, &s->diag) == TN_OK;
    return s->is_optimised;
}

static bool take_error(codegen *g, const shard *s) {
    if (g->diag && g->diag->status == TN_OK) *g->diag = s->diag;
    return false;
}

char *codegen_text(codegen *g, codegen_form form) {
    static const object_form forms[] = {[CODEGEN_LLVM] = OBJECT_LLVM, [CODEGEN_ASSEMBLY] = OBJECT_ASSEMBLY};
    shard *s = &g->shards[0];
    LLVMMemoryBufferRef buffer;
    if (!optimise(s, g->machine) || object_emit(s->module, g->machine, forms[form], &buffer, &s->diag) != TN_OK) {
        take_error(g, s);
        return NULL;
    }
    size_t bytes = LLVMGetBufferSize(buffer);
    char *copy = tn_malloc(bytes + 1);
    if (copy) {
        memcpy(copy, LLVMGetBufferStart(buffer), bytes);
        copy[bytes] = '\0';
    } else
        target_fail(g->diag, TN_ERR_MEMORY, "out of memory");
    LLVMDisposeMemoryBuffer(buffer);
    return copy;
}

/* A chunk of a parallel loop over shards: from the module to the object, with a machine of its own. */
static void build_shard(void *ctx, int64_t number, int32_t worker) {
    codegen *g = ctx;
    shard *s = &g->shards[number];
    (void)worker;
    LLVMTargetMachineRef machine = target_machine_new(&g->target, g->level, &s->diag);
    if (machine && optimise(s, machine)) object_emit(s->module, machine, OBJECT_OBJECT, &s->object, &s->diag);
    if (machine) LLVMDisposeTargetMachine(machine);
    close_module(s);
}

const object_file *codegen_build(codegen *g, tn_pool *pool, size_t *n) {
    tn_pool_parallel_for(pool, (int64_t)g->n_shards, build_shard, g);
    for (size_t i = 0; i < g->n_shards; i++) {
        const shard *s = &g->shards[i];
        if (!s->object) {
            take_error(g, s);
            return NULL;
        }
        g->objects[i] = (object_file){LLVMGetBufferStart(s->object), LLVMGetBufferSize(s->object)};
    }
    *n = g->n_shards;
    return g->objects;
}

void codegen_version(char *text, size_t capacity) {
    unsigned major, minor, patch;
    if (!llvm_load(NULL)) {
        snprintf(text, capacity, "no LLVM");
        return;
    }
    LLVMGetVersion(&major, &minor, &patch);
    char *cpu = LLVMGetHostCPUName();
    snprintf(text, capacity, "LLVM %u.%u.%u, %s", major, minor, patch, cpu);
    LLVMDisposeMessage(cpu);
}
