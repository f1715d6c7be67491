/* See kernel_run.h: emit, optimise, link, call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/kernel_run.h"

#include "compiler/codegen/emit.h"
#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"

machine kernel_run_machine(const char *target_name) {
    target t;
    tn_diag diag = {.status = TN_OK};
    if (target_init(&t, target_name, &diag) != TN_OK) fail_msg("%s", diag.message);
    machine m = t.machine;
    target_free(&t);
    return m;
}

static LLVMMemoryBufferRef compile(const char *target_name, const lt_kernel *k, object_form form) {
    tn_diag diag = {.status = TN_OK};
    target t;
    if (target_init(&t, target_name, &diag) != TN_OK) fail_msg("%s", diag.message);
    LLVMContextRef context = object_context_new(&diag);
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("kernel", context);
    LLVMTargetMachineRef tm = target_machine_new(&t, 2, &diag);
    target_mark_module(module, tm);
    LLVMValueRef stages[KERNEL_RUN_STAGES];
    assert_true(k->n_stages <= KERNEL_RUN_STAGES);
    emitter out = {.module = module, .target = &t, .diag = &diag};
    if (!emit_kernel(&out, k, "kernel", stages)) fail_msg("%s", diag.message);
    for (uint32_t i = 0; i < k->n_stages; i++) LLVMSetLinkage(stages[i], LLVMExternalLinkage);
    if (object_verify(module, &diag) != TN_OK) {
        LLVMDumpModule(module);
        fail_msg("%s", diag.message);
    }
    if (object_optimise(module, tm, 1, &diag) != TN_OK) fail_msg("%s", diag.message);
    LLVMMemoryBufferRef bytes = NULL;
    if (object_emit(module, tm, form, &bytes, &diag) != TN_OK) fail_msg("%s", diag.message);
    LLVMDisposeModule(module);
    LLVMDisposeTargetMachine(tm);
    LLVMContextDispose(context);
    target_free(&t);
    return bytes;
}

void kernel_run_open(kernel_run *r, const char *target_name, const lt_kernel *k) {
    tn_diag diag = {.status = TN_OK};
    *r = (kernel_run){.kernel = k};
    LLVMMemoryBufferRef object = compile(target_name, k, OBJECT_OBJECT);
    r->jit = jit_new(NULL, &diag);
    assert_non_null(r->jit);
    r->unit = jit_add_object(r->jit, LLVMGetBufferStart(object), LLVMGetBufferSize(object), &diag);
    LLVMDisposeMemoryBuffer(object);
    if (!r->unit) fail_msg("%s", diag.message);
    for (uint32_t i = 0; i < k->n_stages; i++) {
        char name[32];
        snprintf(name, sizeof name, "kernel.s%u", i);
        void *address = jit_lookup(r->unit, name, &diag);
        if (!address) fail_msg("%s", diag.message);
        memcpy(&r->stages[i], &address, sizeof address);
    }
}

void kernel_run_close(kernel_run *r) {
    jit_unit_free(r->unit);
    jit_free(r->jit);
}

/* ---- Calling ---- */

typedef struct extent_values {
    const lt_kernel *kernel;
    const int64_t *values;
} extent_values;

static bool look(void *ctx, tn_dim leaf, int64_t *value) {
    const extent_values *e = ctx;
    for (uint32_t i = 0; i < e->kernel->n_extents; i++)
        if (e->kernel->extents[i] == leaf) {
            *value = e->values[i];
            return true;
        }
    return false;
}

static int64_t dim_of(const lt_kernel *k, const int64_t *extents, tn_dim d) {
    extent_values e = {k, extents};
    int64_t value;
    assert_true(dim_eval(k->module->dims, d, look, &e, &value));
    return value;
}

void kernel_slots_fill(kernel_slots *s, const lt_kernel *k, void *const *buffers, const int64_t *extents) {
    *s = (kernel_slots){.status = {TN_STATUS_CLEAR}};
    int64_t scratch_bytes = dim_of(k, extents, abi_scratch_bytes(k));
    s->scratch = tn_aligned_alloc(64, (size_t)scratch_bytes + 64);
    s->slots = tn_calloc(abi_slot_count(k), sizeof *s->slots);
    s->n_buffers = k->n_buffers;
    s->temporaries = tn_calloc(k->n_buffers + 1u, sizeof *s->temporaries);
    assert_non_null(s->slots);
    assert_non_null(s->temporaries);
    s->frame = (tn_frame){.version = TN_FRAME_VERSION,
                          .size = sizeof(tn_frame),
                          .scratch = s->scratch,
                          .status = s->status,
                          .workers = 1};
    s->slots[ABI_FRAME] = (int64_t)(intptr_t)&s->frame;
    s->slots[ABI_SCRATCH_STRIDE] = scratch_bytes;
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        const lt_buffer *b = &k->buffers[i];
        if (!abi_has_slot(b)) continue;
        void *data = b->role == LT_TEMP ? NULL : buffers[i];
        if (b->role == LT_TEMP) {
            size_t bytes = (size_t)dim_of(k, extents, b->elements) * (tn_dtype_bits(b->dtype) / 8);
            data = tn_aligned_alloc(64, bytes + 64);
            s->temporaries[i] = data;
        }
        s->slots[abi_buffer_slot(k, i)] = (int64_t)(intptr_t)data;
    }
    for (uint32_t i = 0; i < k->n_extents; i++) s->slots[abi_extent_slot(k, i)] = extents[i];
}

void kernel_slots_free(kernel_slots *s) {
    for (uint32_t i = 0; i < s->n_buffers; i++) tn_free(s->temporaries[i]);
    tn_free(s->temporaries);
    tn_free(s->scratch);
    tn_free(s->slots);
}

void kernel_run_call(kernel_run *r, void *const *buffers, const int64_t *extents) {
    kernel_slots s;
    kernel_slots_fill(&s, r->kernel, buffers, extents);
    for (uint32_t i = 0; i < r->kernel->n_stages; i++) {
        int64_t chunks = dim_of(r->kernel, extents, r->kernel->stages[i].chunks);
        for (int64_t c = 0; c < chunks; c++) r->stages[i](s.slots, c, 0);
    }
    r->status = s.status[0];
    kernel_slots_free(&s);
}

char *kernel_run_text(const char *target_name, const lt_kernel *k, bool assembly) {
    LLVMMemoryBufferRef bytes = compile(target_name, k, assembly ? OBJECT_ASSEMBLY : OBJECT_LLVM);
    size_t n = LLVMGetBufferSize(bytes);
    char *text = tn_malloc(n + 1);
    assert_non_null(text);
    memcpy(text, LLVMGetBufferStart(bytes), n);
    text[n] = '\0';
    LLVMDisposeMemoryBuffer(bytes);
    return text;
}
