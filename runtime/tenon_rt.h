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
    TN_ERR_CUSTOM,      /* a user's own op failed while running */
    TN_ERR_INTERNAL,    /* a bug in Tenon */
    TN_ERR_NAN,         /* a NaN, in a program that was compiled to look for them (nan_check) */
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

struct tn_tensor;

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
    /* Runs a user's own op (`custom`): `op` is its number in the program's custom table. Operands and
     * results are contiguous, row-major; `dims` has the sizes of all operands' axes, then of all
     * results', each tensor's in order. Returns 0 on success. */
    int32_t (*custom)(void *ctx, int32_t op, void *const *operands, void *const *results, const int64_t *dims);
    /* Is handed the value of a `print` op while the program runs; the tensor is valid during the call. */
    void (*print)(void *ctx, const char *message, const struct tn_tensor *value);
} tn_hooks;

/* "No run-time error" in a status word. Otherwise a status word is
 * (site << TN_STATUS_INDEX_BITS) | index: the number of the checking site in the program's
 * site table and the linear index of the offending element, so that the smallest word is the
 * first error in program order whatever the threads did. A word whose top bit is set is no error: of a program that looks
 * for NaN it tells of one that may turn out not to be used. */
#define TN_STATUS_CLEAR UINT64_MAX
#define TN_STATUS_INDEX_BITS 40
#define TN_STATUS_HINT (UINT64_C(1) << 63)

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

/* ---- Tensors ------------------------------------------------------------------------------ */

/* A view of an array: the runtime never owns, frees or keeps what `data` points to, and never
 * writes to a tensor given as an input (but see state pairs at tn_tensor_info). Element (i, j) of
 * a rank-2 tensor is element i * strides[0] + j * strides[1] counted from `data`. */
typedef struct tn_tensor {
    void *data; /* of the first element; may be unaligned; NULL is allowed when there are none */
    tn_dtype dtype;
    int rank;         /* 0 (a scalar) to TN_MAX_RANK */
    int device;       /* 0: the host, the only one so far */
    bool has_strides; /* false: contiguous, row-major, `strides` is not read */
    int64_t shape[TN_MAX_RANK];
    int64_t strides[TN_MAX_RANK]; /* in elements, may be 0 or negative */
} tn_tensor;

/* A contiguous tensor on the host; `shape` (rank entries) is copied, NULL when rank is 0. A rank
 * that is out of range gives dtype TN_DTYPE_INVALID, which every other call refuses. */
TN_API tn_tensor tn_tensor_of(tn_dtype dtype, void *data, int rank, const int64_t *shape);

/* The same with strides in elements, one for each axis, as in NumPy (which counts bytes). */
TN_API tn_tensor tn_tensor_strided(tn_dtype dtype, void *data, int rank, const int64_t *shape, const int64_t *strides);

/* A contiguous tensor with its sizes written in the call: TN_TENSOR(TN_F32, x, 7, 784). `data` may
 * be const when the tensor is an input. */
#define TN_TENSOR(dtype, data, ...)                                                                                    \
    tn_tensor_of((dtype), (void *)(data), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                   \
                 (int64_t[]){__VA_ARGS__})

/* Number of elements, -1 when a size is negative, the rank or dtype is wrong, or the elements'
 * bytes do not fit in 63 bits. */
TN_API int64_t tn_tensor_elements(const tn_tensor *tensor);

/* Bytes of the elements without gaps (strides do not count), -1 as for tn_tensor_elements. */
TN_API int64_t tn_tensor_bytes(const tn_tensor *tensor);

/* Whether the elements follow each other row-major without gaps. Strides of axes with one
 * element don't matter, nor any when there is no element. */
TN_API bool tn_tensor_is_contiguous(const tn_tensor *tensor);

/* Copies all elements; either side may be strided. TN_ERR_DTYPE or TN_ERR_SHAPE when they differ,
 * TN_ERR_ARGUMENT when a tensor is malformed, not on the host or lacks data. The two must not overlap. */
TN_API tn_status tn_tensor_copy(const tn_tensor *to, const tn_tensor *from);

/* Writes "f32[7, 784]" to `text` (`capacity` bytes, always terminated, cut when too long) and
 * returns it. */
TN_API char *tn_tensor_text(const tn_tensor *tensor, char *text, size_t capacity);

/* DLPack 1.0 exchange. The structs are those of the standard's dlpack.h, which the caller
 * includes; lanes must be 1 and the device one whose memory the host can address.
 *
 * From: *tensor becomes a view that is valid until the managed tensor's deleter is called,
 * which stays the caller's to do. *is_read_only (may be NULL) is the standard's flag.
 * TN_ERR_UNSUPPORTED (device, dtype, lanes, rank, major version) or TN_ERR_ARGUMENT, with a
 * message in *diag (may be NULL). */
struct DLManagedTensor;
struct DLManagedTensorVersioned;
TN_API tn_status tn_tensor_from_dlpack(const struct DLManagedTensor *managed, tn_tensor *tensor, tn_diag *diag);
TN_API tn_status tn_tensor_from_dlpack_versioned(const struct DLManagedTensorVersioned *managed, tn_tensor *tensor,
                                                 bool *is_read_only, tn_diag *diag);

/* To: a managed tensor over the tensor's memory; its deleter calls release(ctx) (may be NULL)
 * and frees the struct. NULL when the tensor is malformed or there is no memory; release is
 * not called then. */
TN_API struct DLManagedTensor *tn_tensor_to_dlpack(const tn_tensor *tensor, void (*release)(void *ctx), void *ctx);
TN_API struct DLManagedTensorVersioned *tn_tensor_to_dlpack_versioned(const tn_tensor *tensor, bool is_read_only,
                                                                      void (*release)(void *ctx), void *ctx);

/* ---- Thread pool ---------------------------------------------------------------------------- */

/* Threads that share the chunks of parallel loops. One pool may serve any number of runs at a
 * time: a loop that finds it busy, or that is nested in another, runs on its own thread. The
 * pool goes on working in the child of a fork, with threads of its own. Counted references:
 * programs and execs that use a pool keep it alive. */
typedef struct tn_pool tn_pool;

/* A pool with `threads` workers, one of which is the calling thread of each loop. 0: as many as
 * this process may use (tn_cpu_count). At most 1,024. NULL: no memory, or `threads` is out of
 * range; fewer threads than asked for are taken when the system gives no more. */
TN_API tn_pool *tn_pool_new(int threads);
TN_API tn_pool *tn_pool_retain(tn_pool *pool); /* one more reference; returns pool */
TN_API void tn_pool_free(tn_pool *pool);       /* one reference less; the last ends the threads; NULL is allowed */

/* Worker ids of this pool's loops are in [0, workers). */
TN_API int32_t tn_pool_workers(const tn_pool *pool);

/* Runs body(arg, chunk, worker) for every chunk in [0, n), as tn_hooks.parallel_for does. */
TN_API void tn_pool_parallel_for(tn_pool *pool, int64_t n, tn_chunk_fn body, void *arg);

/* Hooks with the pool's parallel_for and nothing else, for callers that fill a frame themselves;
 * frame->workers is then tn_pool_workers(pool). The pool must outlive them. */
TN_API tn_hooks tn_pool_hooks(tn_pool *pool);

/* CPUs that this process may use: its affinity mask, cut to the quota of its control group
 * (cgroup v1 or v2, rounded down). At least 1. */
TN_API int tn_cpu_count(void);

/* ---- Programs ------------------------------------------------------------------------------- */

/* A compiled program. Immutable but for its weights and its pool; any number of threads may use
 * it at once. Counted references: execs keep their program alive. Made by tn_compile. */
typedef struct tn_program tn_program;

TN_API tn_program *tn_program_retain(tn_program *program); /* one more reference; returns program */
TN_API void tn_program_free(tn_program *program);          /* one reference less; NULL is allowed */

/* One size of a described tensor. */
typedef enum tn_dim_kind { TN_DIM_CONSTANT, TN_DIM_SYMBOL, TN_DIM_EXPRESSION } tn_dim_kind;
typedef struct tn_dim_info {
    tn_dim_kind kind;
    int64_t value;    /* the constant, or the symbol's number */
    const char *text; /* as messages print it: "784", "n", "2*n + 1" */
} tn_dim_info;

/* An input, output or weight. Strings live as long as the program. */
typedef struct tn_tensor_info {
    const char *name;
    tn_dtype dtype;
    int rank;
    tn_dim_info dims[TN_MAX_RANK];
    /* Outputs only: the input that this one is the next value of (a state pair), or -1. Such an
     * output takes the input's buffer; see tn_exec_run. */
    int32_t state_input;
} tn_tensor_info;

/* A named size. Runs refuse values outside [lower, upper] and those that `divisor` doesn't divide. */
typedef struct tn_symbol_info {
    const char *name;
    int64_t lower;
    int64_t upper;   /* INT64_MAX: none */
    int64_t divisor; /* 1: none */
} tn_symbol_info;

/* A kernel: one fused unit of work. */
typedef struct tn_kernel_info {
    const char *name;
    const char *class_name; /* map, reduce, contract, ... */
    const char *locations;  /* where in the user's source it comes from: "mlp.c:14 mlp.c:15"; or "" */
    const char *title;      /* in a word or two: its ops, and where the most of it comes from: "dot+add+max mlp.c:14",
                             * "conv+add /layer1/conv1/Conv" */
    double flops; /* of a call: two for each product, one for each other element; -1: its sizes are symbolic */
} tn_kernel_info;

TN_API const char *tn_program_name(const tn_program *program);
TN_API int tn_program_n_inputs(const tn_program *program);
TN_API int tn_program_n_outputs(const tn_program *program);
TN_API int tn_program_n_weights(const tn_program *program);
TN_API int tn_program_n_symbols(const tn_program *program);
TN_API int tn_program_n_kernels(const tn_program *program);

/* Entry i of a list above, or NULL when there is none. Lives as long as the program. */
TN_API const tn_tensor_info *tn_program_input(const tn_program *program, int i);
TN_API const tn_tensor_info *tn_program_output(const tn_program *program, int i);
TN_API const tn_tensor_info *tn_program_weight(const tn_program *program, int i);
TN_API const tn_symbol_info *tn_program_symbol(const tn_program *program, int i);
TN_API const tn_kernel_info *tn_program_kernel(const tn_program *program, int i);

/* Position of the input, output or symbol with that name, or -1. */
TN_API int tn_program_find_input(const tn_program *program, const char *name);
TN_API int tn_program_find_output(const tn_program *program, const char *name);
TN_API int tn_program_find_symbol(const tn_program *program, const char *name);

/* Bytes of the packed weights now in use, copies of raw ones included; 0: none, or none set. */
TN_API size_t tn_program_weight_bytes(tn_program *program);

/* Bytes of the values that are in the arena at once, at most: no plan of it is smaller. -1: sizes are symbolic. */
TN_API int64_t tn_program_live_bytes(const tn_program *program);

/* Replaces the weights: `tensors[i]` is for the weight called `names[i]`, each given at most
 * once. Weights not named keep the values that the program was built with, as long as those are still in
 * memory. The program packs the weights (its `prepare` entry) and only then puts the new set in
 * place of the old one, which lives on until the last run that started with it has ended; after
 * an error the old one stays. The data are not needed after the call. Any thread may call this
 * at any time. Errors: TN_ERR_ARGUMENT (unknown or missing name), TN_ERR_SHAPE, TN_ERR_DTYPE,
 * TN_ERR_MEMORY, with a message in *diag (may be NULL). */
TN_API tn_status tn_program_set_weights(tn_program *program, const char *const *names, const tn_tensor *tensors, int n,
                                        tn_diag *diag);

/* The pool that tn_run and tn_program_set_weights use from now on; NULL: the calling thread alone, as at
 * first. Execs are told at tn_exec_new. */
TN_API void tn_program_set_pool(tn_program *program, tn_pool *pool);

/* ---- Running -------------------------------------------------------------------------------- */

/* What one run at a time needs: arena, scratch, copies of strided inputs, buffers of outputs.
 * One exec serves one thread at a time; a program may have any number of them. */
typedef struct tn_exec tn_exec;

typedef struct tn_profile tn_profile;
typedef struct tn_trace tn_trace; /* tenon_trace.h */

/* All zero: the defaults. */
typedef struct tn_exec_options {
    tn_pool *pool; /* NULL: run on the calling thread, unless hooks bring a parallel_for */
    /* The caller's own functions (copied; ctx must live as long as the exec), each may be NULL.
     * parallel_for takes the place of the pool, custom that of the functions registered with
     * the ops. Kernel hooks are called on the thread that runs. */
    const tn_hooks *hooks;
    int32_t workers;      /* with hooks->parallel_for: worker ids are in [0, workers); 0: 1 */
    bool flush_denormals; /* read and write denormals as zero; else IEEE. The caller's own
                            * floating-point mode is set aside during a run either way */
    tn_profile *profile;  /* or NULL; must live as long as the exec */
    tn_trace *trace;      /* likewise: gets an event for each run, kernel and chunk */
} tn_exec_options;

/* An exec for `program`, which it keeps alive. Options may be NULL. NULL: no memory, or an
 * option is out of range. */
TN_API tn_exec *tn_exec_new(tn_program *program, const tn_exec_options *options);
TN_API void tn_exec_free(tn_exec *exec); /* NULL is allowed */

/* Runs the program. `inputs` has one tensor for each input, in order; or is NULL with n_inputs 0,
 * then inputs set by name count. Inputs may be strided (they are then copied first). Shapes bind
 * the program's symbols; everything is checked before anything runs.
 *
 * `outputs` has one tensor for each output, or is NULL with n_outputs 0: then those set by name
 * count, the others are as if data were NULL. An output with data is written there (dtype
 * and shape must fit; it may be strided, with distinct elements); it must not overlap an input
 * or another output. One with data NULL is filled in: dtype, shape, and a contiguous buffer of the
 * exec's, valid until its next run or its end.
 * An output that is paired with an input as state takes that input's buffer: with data NULL, or
 * the input's own, the input is overwritten; with other data the input is copied there first
 * and kept.
 *
 * Each run uses the weights that are set when it starts. While sizes stay the same a run allocates
 * nothing. Errors: TN_ERR_ARGUMENT, TN_ERR_SHAPE, TN_ERR_DTYPE, TN_ERR_CONSTRAINT, TN_ERR_LIMIT
 * or TN_ERR_MEMORY before anything ran; TN_ERR_INDEX, TN_ERR_ASSERT, TN_ERR_CUSTOM or TN_ERR_NAN when
 * an op failed (outputs are written, an index out of range read a clamped element; state is unspecified);
 * the text is in tn_exec_error. */
TN_API tn_status tn_exec_run(tn_exec *exec, const tn_tensor *inputs, int n_inputs, tn_tensor *outputs, int n_outputs);

/* Sets an input or output for the runs to come, until set again; NULL takes it back. The struct
 * is copied, what it points to must stay. TN_ERR_ARGUMENT: no such name. */
TN_API tn_status tn_exec_set_input(tn_exec *exec, const char *name, const tn_tensor *tensor);
TN_API tn_status tn_exec_set_output(tn_exec *exec, const char *name, const tn_tensor *tensor);

/* Sets a symbol for the runs to come; -1 takes it back. Needed only for symbols that are not the
 * size of an axis of an input; others are checked against it. TN_ERR_ARGUMENT: no such name. */
TN_API tn_status tn_exec_set_symbol(tn_exec *exec, const char *name, int64_t value);

/* All of tn_exec_run but the running: checks inputs (their data may be NULL), binds symbols, makes room,
 * so that tn_exec_output tells shapes (with data NULL) and the first run neither allocates an arena nor waits for
 * the pages of it. */
TN_API tn_status tn_exec_bind(tn_exec *exec, const tn_tensor *inputs, int n_inputs);

/* Output i of the last run or bind, or NULL when there is none or it failed before running. Valid until the next. */
TN_API const tn_tensor *tn_exec_output(const tn_exec *exec, int i);
TN_API const tn_tensor *tn_exec_output_named(const tn_exec *exec, const char *name);

/* Value of symbol i in the last run or bind, -1 when not bound. */
TN_API int64_t tn_exec_symbol(const tn_exec *exec, int i);

/* Arena and scratch for the sizes of the last run or bind. */
TN_API size_t tn_exec_arena_bytes(const tn_exec *exec);

/* Those of them that are scratch, which each worker has for itself. */
TN_API size_t tn_exec_scratch_bytes(const tn_exec *exec);

/* What was wrong in the last call on this exec, or NULL. Valid until the next. */
TN_API const tn_diag *tn_exec_error(const tn_exec *exec);

/* Runs the program with an exec that it keeps for the purpose: one for each call at a time. All
 * inputs, all outputs; outputs must have data (an exec's buffers would be another call's next),
 * but for those paired as state. Pool: tn_program_set_pool. */
TN_API tn_status tn_run(tn_program *program, const tn_tensor *inputs, tn_tensor *outputs);

/* Copies what was wrong in the last tn_run of any thread that failed; TN_OK when none did.
 * Returns diag->status. */
TN_API tn_status tn_program_error(tn_program *program, tn_diag *diag);

/* ---- Timing of kernels ------------------------------------------------------------------------ */

/* Counts calls and nanoseconds of each kernel of a program. Several execs, on several threads,
 * may share one. */
TN_API tn_profile *tn_profile_new(const tn_program *program); /* NULL: no memory */
TN_API void tn_profile_free(tn_profile *profile);             /* NULL is allowed */
TN_API void tn_profile_reset(tn_profile *profile);
TN_API uint64_t tn_profile_calls(const tn_profile *profile, int kernel); /* 0: no such kernel */
TN_API uint64_t tn_profile_ns(const tn_profile *profile, int kernel);

#ifdef __cplusplus
}
#endif

#endif
