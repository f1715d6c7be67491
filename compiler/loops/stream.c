/* Results that no cache keeps until they are read.
 *
 * in:  a kernel as its class made it
 * out: outputs of a static size beyond that of the last cache are marked as streamed, where the kernel reads nothing
 *      of them itself
 * law: no bit of a result depends on it
 *
 * An ordinary store reads the line of the cache that it changes, so that a copy moves three bytes for two; a streamed
 * one does not. Results that fit the cache are worth more there.
 */
#include "compiler/loops/stream.h"

enum { LEAST_BYTES = 32 << 20 }; /* whatever the machine says: it may be another one that runs the code */

static bool reads(const lt_block *block, uint32_t buffer);

static bool stmt_reads(const lt_stmt *s, uint32_t buffer) {
    switch (s->kind) {
    case LT_LOAD: return s->access.buffer == buffer;
    case LT_LOOP: return reads(&s->loop.body, buffer);
    case LT_IF: return reads(&s->branch.then, buffer) || reads(&s->branch.otherwise, buffer);
    case LT_TILE: return s->tile.a == buffer || s->tile.b == buffer || s->tile.c == buffer;
    case LT_TRANSPOSE: return s->transpose.from.buffer == buffer;
    default: return false;
    }
}

static bool reads(const lt_block *block, uint32_t buffer) {
    for (uint32_t i = 0; i < block->n; i++)
        if (stmt_reads(block->items[i], buffer)) return true;
    return false;
}

static bool is_read(const lt_kernel *k, uint32_t buffer) {
    for (uint32_t i = 0; i < k->n_stages; i++)
        if (reads(&k->stages[i].body, buffer)) return true;
    return false;
}

bool stream_suits(const dim_table *t, const lt_buffer *result, const machine *m) {
    size_t cached = m->l3_bytes > LEAST_BYTES ? m->l3_bytes : LEAST_BYTES, bytes = tn_dtype_bits(result->dtype) / 8;
    int64_t elements;
    return result->role == LT_OUTPUT && dim_is_const(t, result->elements, &elements) &&
           (uint64_t)elements > cached / bytes;
}

lt_kernel *stream_results(lt_kernel *k, const machine *m) {
    bool is_any = false;
    for (uint32_t i = 0; k && i < k->n_buffers; i++) {
        k->buffers[i].is_streamed = stream_suits(k->module->dims, &k->buffers[i], m) && !is_read(k, i);
        is_any |= k->buffers[i].is_streamed;
    }
    if (is_any) return lower_noted(k, m, "results are stored past the caches, which they are larger than");
    return k;
}
