/* An explanation while it is made. Private to compiler/explain*.c. */
#ifndef TN_COMPILER_EXPLAIN_STATE_H
#define TN_COMPILER_EXPLAIN_STATE_H

#include "compiler/stages.h"
#include "ir/flops.h"
#include "tenon_explain.h"

/* Lists that grow are heap arrays until all is known; everything else is in `memory`. */
typedef struct explanation {
    tn_explanation all; /* what users see: first, so that one pointer is the other */
    arena memory;
    tn_program *program;
    tn_explained_kernel *kernels;
    tn_explained_value *values;
    tn_explained_edge *edges;
    tn_explained_block *blocks;
    tn_explained_stage *stages;
    size_t kernels_capacity, values_capacity, edges_capacity, blocks_capacity, stages_capacity;
    struct kernel_cost *costs; /* of each kernel */
    size_t costs_capacity;
    double *sizes; /* of all symbols of main, in its order */
    bool failed;   /* out of memory */
} explanation;

/* What a kernel's predicted time is made of. */
typedef struct kernel_cost {
    double products_done, others; /* operations that are done: fewer than it is said to have, by Winograd's algorithm */
    bool is_wide;                 /* products of f64 */
    double working_set;           /* bytes that it touches, weights excepted */
} kernel_cost;

/* A graph whose sizes are known, as far as they are. */
typedef struct sized {
    const tn_graph *graph;
    const int64_t *symbols; /* values of the graph's, in its order; SIZE_UNKNOWN: a run decides */
} sized;
#define SIZE_UNKNOWN INT64_MIN

static inline double known_sum(double a, double b) { return a < 0 || b < 0 ? TN_UNKNOWN : a + b; }

/* ---- explain_cost.c ---- */

double sized_value(const sized *s, tn_dim d);              /* TN_UNKNOWN: a symbol has no value */
double sized_bytes(const sized *s, value_id v);            /* likewise */
bool sized_symbol(void *ctx, tn_dim leaf, int64_t *value); /* for dim_eval; ctx is a sized */
/* What one call of a kernel costs: operations, and bytes but for those of operands. */
void explain_cost(const sized *kernel, tn_explained_kernel *k, kernel_cost *cost);
/* Bytes that it reads of operand i: all of it, or what a slice or a gather takes. */
double explain_bytes_read(const sized *kernel, uint32_t i);

/* ---- explain_walk.c: kernels, values, edges, blocks of the arena ---- */

/* Of an entry: main or prepare; `tables` has its calls. False: they are numbered otherwise. */
bool explain_entry(explanation *e, const compilation *c, tn_graph *entry, const emitted_tables *tables,
                   const int64_t *sizes);

/* ---- explain_names.c: texts ---- */

const char *explain_text(explanation *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *explain_type(explanation *e, const sized *s, const tn_type *type);
const char *const *explain_locations(explanation *e, const tn_module *m, location_id set, int *n);
/* Nodes of a kernel, and the title that their ops make. */
void explain_nodes(explanation *e, const sized *kernel, tn_explained_kernel *k);

/* ---- explain_predict.c ---- */

/* Fills in predicted times, shares and totals. */
void explain_predict(explanation *e);

#endif
