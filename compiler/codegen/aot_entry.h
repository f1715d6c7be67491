/* What an object's callers see of a program that was compiled ahead of time, in plain numbers.
 *
 *     int NAME_run([bound,] sizes..., [state,] [inputs,] scalars..., [outputs,] arena)
 *     int NAME_run_threads(the same, threads)
 *     const char *NAME_message(int code)
 *     int NAME_bind([bound,]...), NAME_bind_weights(bound, data, bytes)    where something is to be found out once
 *     void NAME_init([bound,] state)                                       where states have first values
 *
 * in:  filled by compiler/aot.c, which also writes the header that declares the same (compiler/aot_header.c)
 * law: structs lie as C lays them out on the target; a code is a kind (aot_kind) and, 256 times, the number of a message
 */
#ifndef TN_CODEGEN_AOT_ENTRY_H
#define TN_CODEGEN_AOT_ENTRY_H

#include "compiler/codegen/tables.h"

/* What went wrong, as the header names it. */
typedef enum aot_kind {
    AOT_OK,
    AOT_ERR_POINTER,
    AOT_ERR_SIZE,
    AOT_ERR_WEIGHTS,
    AOT_ERR_INDEX,
    AOT_ERR_ASSERT,
    AOT_ERR_NAN
} aot_kind;

enum { AOT_KIND_BITS = 8 };

/* At the end of the arena each worker has its scratch, and a status word in so many bytes of its own. */
enum { AOT_STATUS_BYTES = 64 };

/* Which argument a tensor is found by. */
typedef enum aot_base { AOT_INPUTS, AOT_OUTPUTS, AOT_STATE, AOT_SCALAR, AOT_BASE_COUNT } aot_base;

/* Where a tensor's data are. */
typedef struct aot_place {
    aot_base base;
    uint64_t offset;  /* of the member in the struct; AOT_SCALAR: number of the argument */
    bool is_array;    /* the member is the data, not a pointer to them */
    bool may_be_null; /* there are no elements */
    tn_dtype dtype;
    int32_t code; /* when the pointer is wrong */
} aot_place;

/* A size that callers give. */
typedef struct aot_size {
    int64_t low, high, divisor;
    int32_t code;
} aot_size;

/* A name of an instruction set, and its code. */
typedef struct aot_version {
    const char *prefix;      /* of its functions <prefix>bind and <prefix>run */
    const char *needs;       /* features of the CPU that runs it, as LLVM names them: "+avx2,+fma" */
    const uint64_t *weights; /* of each: where it is in the block of weights */
    size_t n_weights;
    const int32_t *constraint_codes, *site_codes; /* of each entry of its tables */
    size_t n_constraints, n_sites, n_bound;       /* n_bound: what its bind tells, in words */
    int64_t arena_bytes, scratch_bytes;           /* when they are known; -1: bind tells */
} aot_version;

/* First values of a part of the state. */
typedef struct aot_initial {
    uint64_t state_offset, block_offset, bytes;
} aot_initial;

/* All that objects hold of weights and first states: aligned to 64, a multiple of 64 bytes. In a file it stands behind
 * a header (compiler/aot_weights.h). */
typedef struct aot_block {
    const void *data;
    uint64_t bytes;
    bool is_in_file;
    bool is_for_object; /* not for a text */
    uint64_t layout;    /* in a file: what tells that it is for this object */
} aot_block;

/* What can be wrong with weights and what they are bound to: a message for each. */
enum {
    AOT_NO_BOUND,
    AOT_UNBOUND,
    AOT_NO_WEIGHTS,
    AOT_WEIGHTS_CUT,
    AOT_WEIGHTS_OTHER,
    AOT_WEIGHTS_DAMAGED,
    AOT_WEIGHTS_CODES
};

typedef struct aot_entry {
    const char *name, *verb; /* NAME_<verb> */
    aot_size *sizes;
    size_t n_sizes;
    tn_dtype *scalars; /* arguments that are tensors of one element */
    size_t n_scalars;
    bool has[AOT_BASE_COUNT];    /* whether there is such a struct */
    aot_place *inputs, *outputs; /* in the order of the frame's */
    size_t n_inputs, n_outputs;
    uint64_t state_bytes;
    int32_t base_codes[AOT_BASE_COUNT], arena_code, threads_code, overflow_code, weights_codes[AOT_WEIGHTS_CODES],
        cpu_code;
    aot_version *versions; /* the best last; each but the first needs more than the one before */
    size_t n_versions;
    aot_initial *initial;
    size_t n_initial;
    aot_block block;
    const char *const *messages;
    size_t n_messages;
} aot_entry;

#endif
