/* The inside of an exec.
 *
 * All arrays have their final size from tn_exec_new on; only the buffers grow, and only when
 * sizes do. exec.c makes execs and answers questions, exec_bind.c turns shapes into
 * symbol values and sizes, exec_hooks.c is what compiled code calls back, exec_run.c runs, exec_status.c
 * says what went wrong.
 */
#ifndef TN_RUNTIME_EXEC_H
#define TN_RUNTIME_EXEC_H

#include "runtime/diag.h"
#include "runtime/fpmode.h"
#include "runtime/program.h"
#include "runtime/tensor.h"

/* Memory that grows and is never given back before the exec is. */
typedef struct exec_buffer {
    char *data; /* aligned to 64 */
    size_t capacity;
} exec_buffer;

/* Where a symbol's value came from: axis of input; input -1: tn_exec_set_symbol. */
typedef struct symbol_source {
    int32_t input, axis;
} symbol_source;

/* A tensor set by name. */
typedef struct set_tensor {
    bool is_set;
    tn_tensor tensor;
} set_tensor;

struct tn_exec {
    tn_program *program;
    bool holds_program; /* not so when the program holds the exec, for tn_run */
    struct tn_exec *next_idle;
    uint64_t pool_generation;

    tn_pool *pool;
    int32_t workers;
    bool flush_denormals;
    tn_hooks user;  /* the caller's, zero when there are none */
    tn_hooks hooks; /* what compiled code gets, ctx is the exec */
    bool needs_hooks;
    tn_profile *profile;
    uint64_t kernel_start_ns;
    tn_trace *trace;                                 /* or NULL */
    int32_t trace_program, trace_kernel, trace_loop; /* the program's number in it; what is running */
    uint64_t trace_kernel_ns;
    _Atomic int32_t bad_worker; /* a worker id that the caller's parallel_for made up; -1: none */

    atomic_bool in_use;
    tn_diag error; /* status TN_OK: none */
    arena memory;  /* of the arrays below */

    set_tensor *set_inputs, *set_outputs;
    int64_t *set_symbols; /* -1: not set */

    /* Of the last run or bind. */
    tn_tensor *inputs, *outputs;
    bool outputs_known;
    int64_t *symbols;
    symbol_source *sources;
    int64_t *bound;
    bool is_bound; /* `bound` holds for `bound_symbols` */
    int64_t *bound_symbols;

    void **input_pointers, **output_pointers;
    tensor_range *input_ranges, *output_ranges;
    exec_buffer *input_copies;   /* one for each input, used when it is strided */
    exec_buffer *output_buffers; /* one for each output, used when it has no data or is strided */
    exec_buffer arena, scratch;
    uint64_t *status; /* 8 words a worker, so that none share a cache line */

    /* Where the program looks for NaN, what its kernels so far told. */
    bool looks_for_nan;
    uint64_t first_word; /* of the first kernel that told of an error */
    uint64_t *hints;     /* of each group: the first hint, or TN_STATUS_CLEAR */
    int32_t n_groups;
};

enum { STATUS_STRIDE = 64 / sizeof(uint64_t) };

/* An exec that does not keep its program alive when `holds_program` is false. */
tn_exec *exec_new(tn_program *program, const tn_exec_options *options, bool holds_program);

/* exec_bind.c. Checks e->inputs, finds the symbols, fills e->bound and the shapes of e->outputs
 * (data NULL). `needs_data`: inputs with elements must have a pointer. */
tn_status exec_bind(tn_exec *e, bool needs_data);

/* Checks one tensor by itself and its dtype, rank and constant dims against `info`. `role` is the
 * word for it in messages: "input". The symbols' names are `program`'s. */
tn_status check_tensor(const tn_program *program, const char *role, const tn_tensor_info *info, const tn_tensor *t,
                       bool needs_data, tn_diag *diag);

/* "mlp: input 'x': expected f32[n, 784], got f32[7, 512] (<reason>)". */
tn_status mismatch(const tn_program *program, const char *role, const tn_tensor_info *info, const tn_tensor *t,
                   tn_status status, tn_diag *diag, const char *reason, ...) __attribute__((format(printf, 7, 8)));

/* exec_hooks.c. Sets e->hooks up. */
void exec_set_hooks(tn_exec *e);

/* exec_status.c. Status words before a run, after each kernel of a program that looks for NaN, and at the end. */
void exec_clear_status(tn_exec *e);
void exec_take_status(tn_exec *e);
tn_status exec_decode_status(tn_exec *e);
/* Whether there is a NaN in the inputs where that is an error. */
tn_status exec_check_inputs(tn_exec *e);
/* Highest number of a group of its sites, and one; sets *looks_for_nan. */
int32_t program_nan_groups(const tn_program *p, bool *looks_for_nan);
/* "input 'x' has a NaN at element [3, 17] of f32[8, 64]"; TN_OK: it has none. */
tn_status check_for_nan(const tn_program *p, const char *role, const char *name, const tn_tensor *t, tn_diag *diag);

/* Makes room for at least `bytes`; what was in it is lost when it grows. */
bool buffer_reserve(exec_buffer *b, size_t bytes);
void buffer_free(exec_buffer *b);

/* exec_run.c. The run of an exec that is not in use. `outputs` may be NULL. */
tn_status exec_run(tn_exec *e, const tn_tensor *inputs, tn_tensor *outputs, bool outputs_need_data);

/* profile.c */
uint64_t profile_now_ns(void);
void profile_add(tn_profile *profile, int32_t kernel, uint64_t ns);

#endif
