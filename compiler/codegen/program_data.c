/* Constants of a program (see program_state.h).
 *
 * in:  the data of constant nodes, as functions come to need them
 * out: small ones in one array of the object, larger ones in the list of what the caller brings
 * law: nothing here has an address in it, so that it stays as it is wherever the object is loaded
 */
#include "compiler/codegen/program_state.h"

#include <string.h>

LLVMValueRef program_array(program_emitter *p, const char *name, LLVMValueRef value, unsigned alignment) {
    LLVMValueRef array = LLVMAddGlobal(p->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(array, value);
    LLVMSetGlobalConstant(array, true);
    LLVMSetLinkage(array, LLVMPrivateLinkage);
    LLVMSetAlignment(array, alignment);
    return array;
}

/* ---- In the object ---- */

/* Lines of the cache are worth keeping whole from some size on. */
static int64_t alignment_of(const tensor_data *data) {
    enum { SMALL = 16 };
    return data->bytes < PLAN_ALIGNMENT ? SMALL : PLAN_ALIGNMENT;
}

int64_t program_constant(program_emitter *p, const tensor_data *data) {
    constant_pool *pool = &p->pool;
    for (size_t i = 0; i < pool->n; i++)
        if (pool->items[i] == data) return pool->offsets[i];
    if (!pool->array) pool->array = LLVMAddGlobal(p->module, p->i8, "pool");
    if (!array_reserve((void **)&pool->items, &pool->capacity, pool->n + 1, sizeof *pool->items) ||
        !array_reserve((void **)&pool->offsets, &pool->offsets_capacity, pool->n + 1, sizeof *pool->offsets)) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return 0;
    }
    int64_t alignment = alignment_of(data), offset = (pool->bytes + alignment - 1) / alignment * alignment;
    pool->items[pool->n] = data;
    pool->offsets[pool->n++] = offset;
    pool->bytes = offset + (int64_t)data->bytes;
    return offset;
}

bool program_close_pool(program_emitter *p) {
    constant_pool *pool = &p->pool;
    if (!pool->array) return true;
    char *bytes = tn_calloc((size_t)pool->bytes + 1, 1);
    if (!bytes) return program_fail(p, TN_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < pool->n; i++)
        if (pool->items[i]->data) memcpy(bytes + pool->offsets[i], pool->items[i]->data, pool->items[i]->bytes);
    LLVMValueRef all = LLVMConstStringInContext2(p->context, bytes, (size_t)pool->bytes, true),
                 array = program_array(p, "data", all, PLAN_ALIGNMENT);
    tn_free(bytes);
    LLVMReplaceAllUsesWith(pool->array, array);
    LLVMDeleteGlobal(pool->array);
    pool->array = array;
    return true;
}

/* ---- Beside the weights ---- */

static int64_t count_weights(const tn_graph *g) {
    int64_t n = 0;
    for (size_t i = 0; i < g->n_params; i++) n += g->params[i].binding == BINDING_LOAD;
    return n;
}

int64_t program_constant_weight(program_emitter *p, const tensor_data *data) {
    emitted_tables *t = p->tables;
    size_t i = 0;
    while (i < t->n_constants && t->constants[i] != data) i++;
    if (i == t->n_constants) {
        if (!array_reserve((void **)&t->constants, &t->constants_capacity, i + 1, sizeof *t->constants)) {
            program_fail(p, TN_ERR_MEMORY, "out of memory");
            return 0;
        }
        t->constants[t->n_constants++] = data;
    }
    return count_weights(p->entry) + (int64_t)i;
}
