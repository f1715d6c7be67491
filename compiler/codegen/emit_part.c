/* Loops that are parts of several kernels.
 *
 * in:  a loop that compiler/loops/parts.h found in more than one place
 * out: a call of a function, which a program has once: it is given the addresses of buffers, and the values of what
 *      indices are made of
 */
#include "compiler/codegen/emit_state.h"

#include <stdio.h>

static LLVMTypeRef function_type(emit *e, const loop_part *part) {
    const lt_kernel *k = part->loops;
    unsigned n = 0, n_all = k->n_buffers + part->n_variables + k->n_extents;
    LLVMTypeRef *parameters = tn_calloc(n_all + 1u, sizeof *parameters), type = NULL;
    if (parameters) {
        while (n < k->n_buffers) parameters[n++] = e->pointer;
        while (n < n_all) parameters[n++] = e->i64;
        type = LLVMFunctionType(LLVMVoidTypeInContext(e->context), parameters, n_all, false);
    } else
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
    tn_free(parameters);
    return type;
}

/* Nothing but its name points to what is on a chunk's stack. */
static void mark_locals(emit *e, const lt_kernel *k, LLVMValueRef function) {
    unsigned kind = LLVMGetEnumAttributeKindForName("noalias", 7);
    for (uint32_t i = 0; i < k->n_buffers; i++)
        if (k->buffers[i].role == LT_LOCAL)
            LLVMAddAttributeAtIndex(function, i + 1, LLVMCreateEnumAttribute(e->context, kind, 0));
}

/* Defined in the first module that asks. */
static LLVMValueRef function_of(emit *e, uint32_t number, LLVMTypeRef type) {
    const loop_part *part = &e->out->parts->parts[number];
    char name[32];
    snprintf(name, sizeof name, ".part.%u", number);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (function) return function;
    function = LLVMAddFunction(e->module, name, type);
    bool *is_defined = e->out->helpers ? &e->out->helpers->parts[number] : NULL;
    if (!is_defined) LLVMSetLinkage(function, LLVMInternalLinkage);
    if (!is_defined || !*is_defined) {
        mark_locals(e, part->loops, function);
        e->failed |= !emit_part_function(e->out, part, function);
    }
    if (is_defined) *is_defined = true;
    return function;
}

void emit_part_call(emit *e, const part_use *use) {
    const loop_part *part = &e->out->parts->parts[use->part];
    const lt_kernel *k = part->loops;
    LLVMTypeRef type = function_type(e, part);
    LLVMValueRef *arguments = tn_calloc(k->n_buffers + part->n_variables + k->n_extents + 1u, sizeof *arguments);
    unsigned n = 0;
    if (type && arguments) {
        for (uint32_t i = 0; i < k->n_buffers; i++) arguments[n++] = emit_buffer(e, use->buffers[i]);
        for (uint32_t i = 0; i < part->n_variables; i++) arguments[n++] = emit_dim(e, use->variables[i]);
        for (uint32_t i = 0; i < k->n_extents; i++) arguments[n++] = emit_dim(e, use->extents[i]);
        LLVMBuildCall2(e->builder, type, function_of(e, use->part, type), arguments, n, "");
    } else
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
    tn_free(arguments);
}
