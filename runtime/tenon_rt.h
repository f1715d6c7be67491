/* Tenon's runtime: tensors, thread pool, and running a compiled program.
 *
 * This header stands alone: it needs libc only, and a program that merely runs
 * compiled code links libtenon_rt.a and nothing else. Building and compiling
 * graphs is in tenon_graph.h and tenon_compile.h; tenon.h includes them all.
 */
#ifndef TENON_RT_H
#define TENON_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TN_API __attribute__((visibility("default")))
#else
#define TN_API
#endif

/* Highest number of axes a tensor can have. */
#define TN_MAX_RANK 8

/* ---- Status and diagnostics ------------------------------------------------------------ */

/* What a call came to. Every function that can fail returns one of these; the text
 * that goes with it is in the object the call was made on (see tn_diag). */
typedef enum tn_status {
    TN_OK = 0,
    TN_ERR_ARGUMENT,    /* a call's argument is wrong: NULL, unknown name, bad option */
    TN_ERR_SHAPE,       /* shapes do not fit together */
    TN_ERR_DTYPE,       /* dtypes do not fit together */
    TN_ERR_PARSE,       /* text or file content is malformed */
    TN_ERR_VERIFY,      /* a module breaks a rule of the IR */
    TN_ERR_UNSUPPORTED, /* legal, but not supported; the message names what */
    TN_ERR_LIMIT,       /* a limit (nodes, bytes, depth) was passed */
    TN_ERR_MEMORY,      /* an allocation failed */
    TN_ERR_IO,          /* a file could not be read or written */
    TN_ERR_CONSTRAINT,  /* the sizes given at run time break a constraint of the graph */
    TN_ERR_INDEX,       /* an index was out of range while running */
    TN_ERR_ASSERT,      /* an `assert` of the graph failed while running */
    TN_ERR_INTERNAL,    /* a bug in Tenon */
} tn_status;

/* Name of a status as it is spelled above without the prefix ("ERR_SHAPE"); never NULL. */
TN_API const char *tn_status_name(tn_status status);

enum { TN_DIAG_MESSAGE_BYTES = 1024 };

/* One diagnostic. `file` and `line` say where the user's mistake is: a C source line, a line
 * of a text module, or (line 0) a file or an ONNX node by name. All strings live as long as
 * the object that holds the diagnostic. */
typedef struct tn_diag {
    tn_status status;
    const char *file; /* or NULL */
    int line;         /* 1-based, 0: unknown */
    int column;       /* 1-based, 0: unknown */
    char message[TN_DIAG_MESSAGE_BYTES];
} tn_diag;

/* ---- Dtypes ---------------------------------------------------------------------------- */

typedef enum tn_dtype {
#define DTYPE(ENUM, name, bits, kind, storage) TN_##ENUM,
#include "dtypes.def"
#undef DTYPE
    TN_DTYPE_COUNT,
    TN_TOKEN = TN_DTYPE_COUNT, /* orders impure ops; has no data */
    TN_DTYPE_INVALID = 255,
} tn_dtype;

/* Spelling of a dtype ("f32"); "token" and "invalid" for the two that have no data. */
TN_API const char *tn_dtype_name(tn_dtype dtype);

/* Bits of one element, 0 for token and invalid. */
TN_API unsigned tn_dtype_bits(tn_dtype dtype);

/* The dtype with that spelling, or TN_DTYPE_INVALID. */
TN_API tn_dtype tn_dtype_from_name(const char *name);

/* ---- The frame: how compiled code is called --------------------------------------------- */

/* A compiled program has three entries, the same functions whether compiled in process or
 * written to an object file. All take plain C arguments; none allocates, none keeps state.
 *
 *   bind     tn_bind_fn: values of the symbols in, sizes out
 *   prepare  tn_run_fn: raw weights in, packed weights out, once for each set of weights
 *   run      tn_run_fn: the work
 *
 * An entry returns 0, or a value that says what went wrong (see each type). */
#define TN_FRAME_VERSION 1

/* Body of a parallel loop: does chunk number `chunk` as worker number `worker`. */
typedef void (*tn_chunk_fn)(void *arg, int64_t chunk, int32_t worker);

/* What compiled code may call back. All pointers may be NULL: then loops run in place. */
typedef struct tn_hooks {
    void *ctx;
    /* Runs body(arg, i, worker) for every i in [0, n) in any order and on any thread, with
     * 0 <= worker < frame->workers and no two calls at a time with the same worker; returns
     * when all are done. */
    void (*parallel_for)(void *ctx, int64_t n, tn_chunk_fn body, void *arg);
    /* Called before and after each kernel with its number in the program's kernel table. */
    void (*kernel_begin)(void *ctx, int32_t kernel);
    void (*kernel_end)(void *ctx, int32_t kernel);
    /* Runs a user's own op (`custom`): `op` is its number in the program's custom table.
     * Returns 0 on success. */
    int32_t (*custom)(void *ctx, int32_t op, void *const *operands, void *const *results, const int64_t *dims);
} tn_hooks;

/* "No run-time error" in a status word. Otherwise a status word is
 * (site << TN_STATUS_INDEX_BITS) | index: the number of the checking site in the program's
 * site table and the linear index of the offending element, so that the smallest word is the
 * first error in program order whatever the threads did. */
#define TN_STATUS_CLEAR UINT64_MAX
#define TN_STATUS_INDEX_BITS 40

typedef struct tn_frame {
    uint32_t version;       /* TN_FRAME_VERSION */
    uint32_t size;          /* sizeof(tn_frame) */
    void *const *inputs;    /* one pointer an input, contiguous, row-major */
    void *const *outputs;   /* likewise; written by run */
    void *const *weights;   /* run: packed weights; prepare: unused */
    char *arena;            /* bound[0] bytes, aligned to 64; unused when that is 0 */
    char *scratch;          /* workers * bound[1] bytes, aligned to 64 */
    const int64_t *symbols; /* values of the symbols, in the program's order */
    uint64_t *status;       /* `workers` words, 64 bytes apart, TN_STATUS_CLEAR before the call */
    int32_t workers;        /* at least 1 */
    int32_t reserved;
    const tn_hooks *hooks; /* or NULL */
} tn_frame;

/* Positions in the array that bind fills. After the fixed ones follow the dims of every
 * input, then of every output, each tensor's axes in order. */
enum { TN_BOUND_ARENA_BYTES = 0, TN_BOUND_SCRATCH_BYTES = 1, TN_BOUND_DIMS = 2 };

/* Returns 0; k > 0 when constraint k - 1 of the program's table does not hold; -1 when a
 * size does not fit in 63 bits. */
typedef int32_t (*tn_bind_fn)(const int64_t *symbols, int64_t *bound);

/* Returns 0, or the number (from 1) of the check in the frame that failed: 1 version, 2 size. */
typedef int32_t (*tn_run_fn)(const tn_frame *frame);

/*@ more below */

#ifdef __cplusplus
}
#endif

#endif
