/* What a program is made of.
 *
 * in:  the compiler fills a tn_program: program_new, then tables in `memory`, entries, code
 * out: program_seal checks the description, packs the weights and makes the program ready
 * law: after program_seal nothing changes but what stands under `lock`
 *
 * `prepare` is described by a program of its own: its inputs are the raw weights in order, its
 * outputs the packed weights that it makes; it has its own bind, sites and arena, and is sealed with
 * the program that owns it.
 */
#ifndef TN_RUNTIME_PROGRAM_H
#define TN_RUNTIME_PROGRAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/alloc.h"
#include "runtime/tenon_rt.h"

/* What a checking site of compiled code looks for (status words, tenon_rt.h). */
typedef enum site_kind {
    SITE_INDEX,
    SITE_ASSERT,
    SITE_CUSTOM,
    SITE_NAN,
    SITE_NAN_HINT, /* may turn out not to be used; else a SITE_NAN of the same group tells */
    SITE_KIND_COUNT
} site_kind;

typedef struct program_site {
    site_kind kind;
    const char *op;       /* "gather"; for SITE_CUSTOM the user's name of it */
    const char *location; /* "mlp.c:14", or NULL */
    const char *message;  /* SITE_ASSERT: the assertion's text; or NULL */
    /* SITE_NAN, SITE_NAN_HINT: */
    const char *type;        /* of the op's result: "f32[n, 64]" */
    const char *kernel;      /* that does it */
    const char *gradient_of; /* op whose gradient this is a part of, or NULL */
    int32_t group;           /* -1: none */
} program_site;

typedef struct program_constraint {
    const char *message; /* who asks for what: "mlp.c:14: reshape: 4 must divide n" */
} program_constraint;

/* A user's own op: what tn_hooks.custom calls with its number. */
typedef struct program_custom {
    const char *name;
    int32_t (*call)(void *ctx, void *const *operands, void *const *results, const int64_t *dims);
    void *ctx;
} program_custom;

/* A raw weight: dims are constants. */
typedef struct program_weight {
    tn_tensor_info info;
    const void *data;   /* initial values, contiguous; NULL: the caller gives them (or no elements) */
    bool looks_for_nan; /* one in it is an error */
} program_weight;

/* Where frame->weights[i] comes from. */
typedef enum packed_kind {
    PACKED_RAW,      /* raw weight `index` as it is */
    PACKED_PREPARED, /* output `index` of prepare */
    PACKED_CONSTANT, /* `data`, which lives as long as the program */
} packed_kind;

typedef struct program_packed {
    packed_kind kind;
    uint32_t index;
    const void *data;
} program_packed;

struct weight_set;

struct tn_program {
    arena memory; /* of all names and tables below */
    const char *name;
    tn_bind_fn bind; /* NULL: no symbols, no arena, dims are all constants */
    tn_run_fn run;

    uint32_t n_inputs, n_outputs, n_symbols, n_constraints, n_sites, n_kernels, n_customs, n_weights, n_packed;
    tn_tensor_info *inputs;
    tn_tensor_info *outputs;
    tn_symbol_info *symbols;
    program_constraint *constraints;
    program_site *sites;
    tn_kernel_info *kernels;
    program_custom *customs;
    program_weight *weights;
    program_packed *packed;

    uint32_t n_nan_inputs; /* in which a NaN is an error before the run */
    uint32_t *nan_inputs;

    size_t cached_bytes; /* of packed weights that are PACKED_CONSTANT because prepare has run before; 0: none */

    int64_t live_bytes; /* in the arena at once, at most; -1: not known */

    tn_program *prepare; /* owned; NULL: no packed weight is PACKED_PREPARED */

    /* Called once when nothing will read the weights' initial data again, at the latest when the
     * program ends; NULL: they outlive the program. */
    void (*release_weights)(void *ctx);
    void *release_weights_ctx;

    /* Called while `prepare` runs, after each kernel: gives back memory of raw weights that can be had again
     * from a file. NULL: there is none. */
    void (*drop_pages)(void *ctx);
    void *drop_pages_ctx;

    /* Called when the program ends: the compiler's resources (code). May be NULL. */
    void (*destroy)(void *ctx);
    void *destroy_ctx;

    /* ---- Filled by the runtime ---- */
    atomic_int references;
    bool raw_released; /* set by program_seal: initial data are gone */
    pthread_mutex_t lock;
    struct weight_set *set;   /* under lock: the current weights, or NULL */
    tn_pool *pool;            /* under lock */
    struct tn_exec *idle;     /* under lock: execs of tn_run that nobody uses */
    uint64_t pool_generation; /* under lock: idle execs with an older one are dropped */
    tn_diag error;            /* under lock: of the last tn_run that failed */
};

/* A program with one reference and nothing in it but its name. NULL: no memory. */
tn_program *program_new(const char *name);

/* Checks the tables (TN_ERR_INTERNAL: the compiler's bug) and packs the initial weights when
 * they are all there. On an error the program is still to be freed by tn_program_free. */
tn_status program_seal(tn_program *program, tn_diag *diag);

/* The pool that the program's own runs use, one more reference to it; or NULL. */
tn_pool *program_retain_pool(tn_program *program);

/* TN_ERR_ARGUMENT: none of n things of the program (`role` is the word for one: "input") has that name; tells those that
 * there are. */
typedef const char *program_name(const tn_program *p, uint32_t i);
tn_status program_unknown_name(const tn_program *p, const char *role, const char *name, program_name *name_of,
                               uint32_t n, tn_diag *diag);

#endif
