/* What the compiler made of a model, and what that costs: kernels, the nodes that each came from and why it is built as
 * it is, operations, bytes, the time that the machine needs for these at least, the time that was measured; where every
 * value lies in the arena and for how long; how long each stage of the compilation took.
 *
 *     tn_explanation *e = tn_explain(model, &(tn_explain_options){.symbols = &(tn_symbol_value){"n", 8}, .n_symbols = 1}, &diag);
 *     tn_explain_measure(e, inputs, n_inputs, NULL, 0.5, &diag);
 *     char *text = tn_explain_text(e, TN_EXPLAIN_BY_TIME);  // tenon_explain_report.h
 *
 * All figures are for one run with the sizes that were given. Numbers are doubles; TN_UNKNOWN stands for what is not known
 * before a run (sizes that a run decides) or was not measured.
 */
#ifndef TENON_EXPLAIN_H
#define TENON_EXPLAIN_H

#include "tenon_compile.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TN_UNKNOWN (-1.0)

/* ---- The machine ---- */

/* What loops reach whose data are that many bytes and stay where they are. */
typedef struct tn_machine_level {
    double bytes;            /* that a thread works on */
    double bytes_per_second; /* read and written, of all threads together */
} tn_machine_level;

enum { TN_MACHINE_LEVELS = 5 };

/* The limits that times are compared with. */
typedef struct tn_machine_limits {
    int threads;
    double flops_per_second; /* multiply-adds of f32 in registers, two operations each, of all threads together */
    tn_machine_level levels[TN_MACHINE_LEVELS]; /* from the smallest to the largest */
} tn_machine_limits;

/* Measures this machine for that many threads, some tens of milliseconds. `pool` has the threads; NULL: the calling one.
 * TN_ERR_MEMORY: 100 MiB are wanted for a moment,
 * at least half of one; levels that do not fit are 0. */
TN_API tn_status tn_machine_measure(tn_pool *pool, tn_machine_limits *limits, tn_diag *diag);

/* ---- What is explained ---- */

/* A node of the graph that was fused into a kernel. */
typedef struct tn_explained_node {
    const char *op;
    const char *type;             /* of its (first) result: "f32[1, 64, 56, 56]" */
    const char *const *locations; /* in the model's source: "mlp.c:14", or the name of an ONNX node */
    int n_locations;
    bool is_view; /* an index map, a constant: nothing to compute */
} tn_explained_node;

typedef enum tn_explained_place {
    TN_PLACE_INPUT,
    TN_PLACE_WEIGHT,   /* given or packed when the program is loaded */
    TN_PLACE_CONSTANT, /* in the program itself */
    TN_PLACE_ARENA,
    TN_PLACE_OUTPUT, /* in the caller's buffer */
} tn_explained_place;

/* A value that kernels read or write, in a buffer. */
typedef struct tn_explained_value {
    const char *name; /* as in the graph after fusion: "probs", "%12" */
    const char *type;
    double bytes;
    tn_explained_place place;
    bool is_prepare; /* of the function that packs weights */
} tn_explained_value;

/* A part of the arena, in use from one kernel to another, both inclusive. */
typedef struct tn_explained_block {
    const char *what; /* a value's name, or what else it is for */
    int value;        /* its number; -1: none */
    bool is_prepare;
    double offset, bytes;
    int first, last; /* kernels, by their place in `kernels` */
} tn_explained_block;

/* A value on its way between kernels. */
typedef struct tn_explained_edge {
    int from, to; /* kernels, by their place in `kernels`; -1: the caller */
    int value;
} tn_explained_edge;

/* What keeps a kernel from being faster. */
typedef enum tn_explained_bound { TN_BOUND_BY_COMPUTE, TN_BOUND_BY_MEMORY, TN_BOUND_UNKNOWN } tn_explained_bound;

/* A call of a kernel. */
typedef struct tn_explained_kernel {
    int number;             /* in the program's table of kernels (tn_program_kernel), as profiles have it */
    bool is_prepare;        /* it packs weights, once for each set of them; its number is among those of that part */
    const char *name;       /* of the compiled function; kernels that differ in numbers alone share one */
    const char *class_name; /* how it is computed: map, reduce, contract, conv, ... */
    const char *function;   /* of the graph that calls it: "main", the body of a loop */
    const char *title;      /* the ops that it does, the dearest first: "conv + add + max" */
    const tn_explained_node *nodes;
    int n_nodes;
    const char *const *notes; /* why it is built as it is, a sentence each */
    int n_notes;
    const int *reads, *writes; /* values, by number */
    int n_reads, n_writes;
    double calls; /* in one run; TN_UNKNOWN: in a loop or branch whose steps a run decides */
    double flops; /* of one call: two for each product of contractions and convolutions, one for each other element */
    double bytes_read;   /* operands but weights, each once */
    double weight_bytes; /* operands known when the program is loaded */
    double bytes_written;
    double temporary_bytes; /* of its own in the arena: packed operands, partial sums */
    double intensity;       /* flops / (bytes_read + weight_bytes + bytes_written) */
    double predicted_ms;    /* of one call: the least that the limits of the machine allow */
    tn_explained_bound bound;
    double measured_ms;   /* of one call */
    double share_of_peak; /* flops / measured time / the machine's: 0 to 1, above where an algorithm saves products */
    double share_of_time; /* of all kernels' measured time in a run; predicted where nothing was measured */
} tn_explained_kernel;

typedef struct tn_explained_stage {
    const char *name; /* of the compilation, as in tn_stage_report */
    double milliseconds;
} tn_explained_stage;

typedef struct tn_explained_symbol {
    const char *name;
    int64_t value; /* that figures are for */
    int64_t lower, upper, divisor;
} tn_explained_symbol;

/* Everything. Arrays and strings belong to the explanation. */
typedef struct tn_explanation {
    const char *name;    /* of the module */
    const char *version; /* of Tenon, LLVM, and the CPU: tn_version_text */
    const char *target;  /* "native", or as options say */
    tn_machine_limits machine;
    const tn_explained_kernel
        *kernels; /* those of prepare first, then the program's; each in the order in which they run */
    int n_kernels;
    const tn_explained_value *values;
    int n_values;
    const tn_explained_edge *edges;
    int n_edges;
    const tn_explained_block *blocks;
    int n_blocks;
    const tn_explained_stage *stages;
    int n_stages;
    const tn_explained_symbol *symbols;
    int n_symbols;
    const char *const *constraints; /* what sizes have to fulfil: "dot: n = m", with the place that asked for it */
    int n_constraints;
    const tn_explained_value *inputs, *outputs; /* of the program, as its caller knows them */
    int n_inputs, n_outputs;
    double arena_bytes, scratch_bytes; /* scratch: of each thread */
    double live_bytes;                 /* of the values in the arena at once, at most */
    double raw_weight_bytes, packed_weight_bytes;
    double code_bytes; /* of the objects */
    double flops;      /* of a run; loops and branches whose steps are not known count once */
    double bytes;
    double predicted_ms;
    double measured_ms; /* of a run: the sum of its kernels and of what is between them; TN_UNKNOWN: none was made */
    double kernels_ms;  /* of its kernels */
    int runs;           /* that were measured */
    bool is_cut; /* functions that are called from several places are not shown again: there are too many kernels */
} tn_explanation;

/* All zero: the defaults. */
typedef struct tn_explain_options {
    const tn_compile_options *compile; /* how it is compiled (the cache is not used); NULL: the defaults */
    const tn_symbol_value
        *symbols; /* sizes that are not fixed; those that are not given have the least allowed, from 1 on */
    int n_symbols;
    const tn_machine_limits *machine; /* NULL: measured, with the threads of compile->pool */
    bool no_program;                  /* no program is made: nothing can be measured */
} tn_explain_options;

/* Compiles the main function of m, which is not changed, and tells all about it but times of runs. Data given to tn_weight
 * must live as long as the explanation. NULL: *diag (may be NULL) says why. The caller frees it with tn_explanation_free. */
TN_API tn_explanation *tn_explain(tn_module *m, const tn_explain_options *options, tn_diag *diag);
TN_API void tn_explanation_free(tn_explanation *e); /* NULL is allowed */

/* The program that was explained, to set weights, say; the explanation's own. NULL: none was made, or it is for another
 * machine. */
TN_API tn_program *tn_explanation_program(const tn_explanation *e);

/* Runs the program for about so many seconds and takes the lower quartile of each kernel's times: what else
 * the machine does only adds to them. `inputs` are those of tn_exec_run,
 * with the sizes that figures are for (TN_ERR_SHAPE: others); states are overwritten. `pool` NULL: the calling thread.
 * TN_ERR_ARGUMENT: there is no program; else what running comes to. */
TN_API tn_status tn_explain_measure(tn_explanation *e, const tn_tensor *inputs, int n_inputs, tn_pool *pool,
                                    double seconds, tn_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
