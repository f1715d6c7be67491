/* How a stage of a kernel is called.
 *
 * A stage is a function `void stage(void *args, int64_t chunk, int32_t worker)` (tn_chunk_fn).
 * `args` points to an array of 8-byte slots that the caller fills once for all stages of a
 * kernel and that stays as it is while they run:
 *
 *   ABI_FRAME            tn_frame *: scratch and status words
 *   ABI_SITE_BASE        int64_t: number of the kernel's site 0 in the program's site table
 *   ABI_SCRATCH_OFFSET   int64_t: bytes from a worker's scratch to what this kernel uses
 *   ABI_SCRATCH_STRIDE   int64_t: bytes of scratch for each worker
 *   ABI_BUFFERS ...      a pointer for each buffer that is an input, output or temporary
 *   then                 an int64_t for each extent
 *
 * Scratch buffers lie one after the other, each aligned to ABI_ALIGNMENT.
 */
#ifndef TN_COMPILER_CODEGEN_ABI_H
#define TN_COMPILER_CODEGEN_ABI_H

#include "compiler/loops/loops.h"

enum { ABI_FRAME, ABI_SITE_BASE, ABI_SCRATCH_OFFSET, ABI_SCRATCH_STRIDE, ABI_BUFFERS };
enum { ABI_ALIGNMENT = 64 };

static inline bool abi_has_slot(const lt_buffer *b) {
    return b->role == LT_INPUT || b->role == LT_OUTPUT || b->role == LT_TEMP;
}

/* Slot of a buffer that has one; of the first extent when `buffer` is the number of buffers. */
static inline uint32_t abi_buffer_slot(const lt_kernel *k, uint32_t buffer) {
    uint32_t slot = ABI_BUFFERS;
    for (uint32_t i = 0; i < buffer; i++) slot += abi_has_slot(&k->buffers[i]);
    return slot;
}

static inline uint32_t abi_extent_slot(const lt_kernel *k, uint32_t extent) {
    return abi_buffer_slot(k, k->n_buffers) + extent;
}

static inline uint32_t abi_slot_count(const lt_kernel *k) { return abi_extent_slot(k, k->n_extents); }

/* Bytes from the kernel's scratch to buffer `buffer`, over the extents; with the number of
 * buffers, the bytes of all. DIM_INVALID: does not fit in 63 bits. */
tn_dim abi_scratch_offset(const lt_kernel *k, uint32_t buffer);

/* Bytes of scratch that a kernel needs for each worker, a multiple of ABI_ALIGNMENT. */
static inline tn_dim abi_scratch_bytes(const lt_kernel *k) { return abi_scratch_offset(k, k->n_buffers); }

#endif
