/* Graph passes: graph to graph, one file each, one table of them (passes.def).
 *
 * A pass replaces functions of the module by new ones (graph_rebuild) and leaves the module
 * as valid as it was: the verifier holds after each. It keeps the results of every function
 * bit for bit, unless its first comment states under which law it does not.
 */
#ifndef TN_PASSES_PASSES_H
#define TN_PASSES_PASSES_H

#include "ir/dtype.h"
#include "ir/graph.h"
#include "ir/op.h"

/* A product by weights. */
typedef struct weight_use {
    tn_dtype dtype;
    int64_t rows, columns, depth; /* rows -1: unknown */
    bool is_conv;                 /* rows are positions, columns output channels */
    bool is_pointwise;            /* of one tap, over the input as it is */
    int64_t lines;                /* with several taps: rows of the result that have `rows` positions each; else 0 */
} weight_use;

/* How the weights of products are stored. */
typedef enum weight_format { WEIGHTS_F32, WEIGHTS_BF16, WEIGHTS_INT8 } weight_format;

/* Why an operand of a kernel, which another kernel makes, was not fused into it. */
typedef struct fusion_note {
    const tn_graph *kernel;
    uint32_t operand;
    const char *why; /* a sentence that goes on after "because" */
} fusion_note;

/* To be freed with tn_free(items). */
typedef struct fusion_notes {
    fusion_note *items;
    size_t n, capacity;
} fusion_notes;

typedef struct pass_options {
    size_t fold_limit_bytes; /* results larger than this are not folded; 0: 1 MiB */
    size_t inline_bytes;     /* larger constants become weights of main; 0: 4 KiB */
    double hoist_growth;     /* packed weights may have this many times the raw bytes; 0: 4 */
    bool calls_blas;         /* products go to a BLAS library (blas.c) */
    bool no_winograd;        /* convolutions stay as they are */
    bool strassen;           /* for products that it suits */
    weight_format weights;   /* of products of f32 */
    /* Columns of a panel of weights for that use; 0: they are not to be packed. NULL: none are. */
    int64_t (*panel_columns)(const void *ctx, const weight_use *use);
    const void *panel_ctx;
    bool no_remake;                    /* what a kernel makes for others it stores, cheap or not */
    bool no_fusion;                    /* every node its own kernel: for finding faults */
    bool nan_check;                    /* what would be folded to a NaN stays, to be found in the run */
    struct fusion_notes *fusion_notes; /* gets what was not fused, and why; NULL: nobody asks */
} pass_options;

/* False: the diagnostic is in the module. */
typedef bool pass_function(tn_module *m, const pass_options *o);

#define PASS(name, needs, gives, doc) pass_function pass_##name;
#include "compiler/passes/passes.def"
#undef PASS

typedef struct pass_info {
    const char *name;
    pass_function *run;
    const char *needs, *gives, *doc;
} pass_info;

extern const pass_info pass_table[];
extern const size_t n_passes;

/* docs/PASSES.md, from tn_malloc; NULL: no memory. */
char *doc_passes(void);

/* A conversion of narrow numbers to f32: the kernel of a product does it as it reads (loops/pack.c). */
static inline bool is_widening(const tn_graph *g, const node *n) {
    return n->op == TN_OP_convert && graph_type(g, n->first_result)->dtype == TN_F32 &&
           dtype_in(DTYPES_NARROW, graph_type(g, n->operands[0])->dtype);
}

/* ---- load_time.c: what depends on weights and constants alone ---- */

/* Of each node of a function. */
typedef struct load_time {
    bool *known;    /* at load time */
    bool *asked;    /* what is not, or a result, reads it, if only through views */
    bool *moves;    /* it is known, and work: to be done once for each set of weights */
    double *origin; /* bytes of the weights and constants that it is made from, shared ones counted each time, at most
                     * all there are; packed weights may be `hoist_growth` times that */
} load_time;

/* `params`: which parameters are known; NULL: main's weights. False: no memory (recorded), and nothing to free. */
bool load_time_find(load_time *w, const tn_graph *g, const bool *params, const pass_options *o);
void load_time_free(load_time *w);
/* What v widens behind a barrier: a pass put it there (quantise.c), so that kernels read fewer bytes and convert for
 * themselves; VALUE_NONE: v is no such conversion. */
value_id narrow_weight(const tn_graph *g, value_id v);
/* Whether a known value of so many bytes that is made from `origin` bytes moves. */
bool load_time_accepts(const pass_options *o, double bytes, double origin);
/* What moves, the largest results first: weights that are read, and what becomes of them, are both in memory for a
 * while, which is best over while there is little else. Freed by the caller; NULL: no memory. */
typedef struct load_time_move {
    size_t node;
    double bytes;
} load_time_move;
load_time_move *load_time_moves(const load_time *w, const tn_graph *g, size_t *n);
/* Copies what moves, in that order, and all that it needs, but for parameters, which map[] has already. */
bool load_time_copy_moves(const load_time *w, tn_graph *to, const tn_graph *from, value_id *map);

typedef struct function_load_time {
    bool *params; /* which are known */
    size_t n_sites;
    bool is_reached; /* from main, by one way: what is known in it can be moved there (lift.c) */
} function_load_time;

/* Of each function of a module, by its number. */
typedef struct module_load_time {
    tn_module *m;
    function_load_time *of;
    size_t n, *order; /* callees first */
} module_load_time;

bool module_load_time_find(module_load_time *w, tn_module *m);
void module_load_time_free(module_load_time *w);

/* The operand of n that parameter `index` of a function it names is given; UINT32_MAX: a part of one. */
uint32_t callee_operand(const node *n, uint32_t index);

/* ---- rebuild.c: a new function from an old one ---- */

/* What a pass does with node i of the old function: appends its replacement to `to` and
 * enters the new ids of its results in map[first_result + k]. Return false after an error.
 * graph_copy_node(to, from, n, map) is the identity. */
typedef bool rebuild_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map);

/* What the visitor of load_time_rebuild is given. */
typedef struct load_time_visit {
    const pass_options *options;
    load_time what; /* of the function */
} load_time_visit;

/* load_time.c: graph_rebuild of all functions, callees first; `visit` sees the nodes of those that main reaches by one
 * way, the others are copied. */
bool load_time_rebuild(tn_module *m, const pass_options *o, rebuild_node *visit);

/* Builds the successor of g: same name, parameters, symbols, results, constraints; each node through `visit`
 * (parameters are made beforehand). Nodes that no result needs are left out when `live_only`.
 * The successor takes g's place in the module, also as a callee of other functions once
 * those are rebuilt or by redirect_callees. NULL: the diagnostic is in the module. */
tn_graph *graph_rebuild(tn_graph *g, bool live_only, rebuild_node *visit, void *ctx);

/* Symbols, parameters (entered in map[]) and constraints; or parts of that, for passes that change the rest. */
bool graph_copy_signature(tn_graph *to, const tn_graph *from, value_id *map);
bool graph_copy_constraints(tn_graph *to, const tn_graph *from);

/* graph_rebuild of every function, callees first: a call records what its callee has come to require. */
bool module_rebuild(tn_module *m, bool live_only, rebuild_node *visit, void *ctx);

#endif
