/* Graph passes: graph to graph, one file each, one table of them (passes.def).
 *
 * A pass replaces functions of the module by new ones (graph_rebuild) and leaves the module
 * as valid as it was: the verifier holds after each. It keeps the results of every function
 * bit for bit, unless its first comment states under which law it does not.
 */
#ifndef TN_PASSES_PASSES_H
#define TN_PASSES_PASSES_H

#include "ir/graph.h"
#include "ir/op.h"

typedef struct pass_options {
    size_t fold_limit_bytes; /* results larger than this are not folded; 0: 1 MiB */
    size_t inline_bytes;     /* larger constants become weights of main; 0: 4 KiB */
    double hoist_growth;     /* packed weights may have this many times the raw bytes; 0: 4 */
    bool calls_blas;         /* products go to a BLAS library (blas.c) */
    bool no_winograd;        /* convolutions stay as they are */
    /* Columns of a panel of B in a product of those sizes (rows -1: unknown), 0: it is not to be packed. NULL: nothing is. */
    int64_t (*panel_columns)(const void *ctx, tn_dtype dtype, int64_t rows, int64_t columns, int64_t depth);
    const void *panel_ctx;
    bool no_fusion; /* every node its own kernel: for finding faults */
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

/* Of each node of g: whether its results depend on weights and constants alone (hoist.c). */
void find_known_at_load(const tn_graph *g, bool *known);
/* Of each node: bytes of the weights and constants that it is made from, shared ones counted each time, at most all
 * there are; packed weights may be `hoist_growth` times that. From tn_calloc; NULL: no memory. */
double *find_origin_bytes(const tn_graph *g);
/* Whether hoist moves a known value of so many bytes that is made from `origin` bytes. */
bool hoist_accepts(const pass_options *o, double bytes, double origin);

/* ---- rebuild.c: a new function from an old one ---- */

/* What a pass does with node i of the old function: appends its replacement to `to` and
 * enters the new ids of its results in map[first_result + k]. Return false after an error.
 * graph_copy_node(to, from, n, map) is the identity. */
typedef bool rebuild_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map);

/* Builds the successor of g: same name, parameters, symbols, results, constraints; each node through `visit`
 * (parameters are made beforehand). Nodes that no result needs are left out when `live_only`.
 * The successor takes g's place in the module, also as a callee of other functions once
 * those are rebuilt or by redirect_callees. NULL: the diagnostic is in the module. */
tn_graph *graph_rebuild(tn_graph *g, bool live_only, rebuild_node *visit, void *ctx);

/* graph_rebuild of every function, callees first: a call records what its callee has come to require. */
bool module_rebuild(tn_module *m, bool live_only, rebuild_node *visit, void *ctx);

/* Moves the content of `from` into the struct of g, so that callers of g keep their callee;
 * `from`, emptied, leaves the module. */
void graph_take_content(tn_graph *g, tn_graph *from);

#endif
