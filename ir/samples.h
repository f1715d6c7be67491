/* Random legal applications of ops, and random graphs, for the generated tests. */
#ifndef TN_IR_SAMPLES_H
#define TN_IR_SAMPLES_H

#include "ir/op.h"

typedef struct sampler {
    uint64_t state; /* the seed; advances */
    tn_dtype dtype; /* element type wanted of the main operand */
    bool symbolic;  /* some extents are symbols; their test values are in `values` */
    bool ordinary;  /* no NaN, infinity, zero or extreme among the floats */
    bool exact;     /* small integers in floats only, so that results compare bit for bit */
    int n_symbols;
    const char *symbols[16];
    int64_t values[16]; /* a value for each symbol used */
} sampler;

uint64_t sampler_next(sampler *s);
int64_t sampler_range(sampler *s, int64_t low, int64_t high); /* inclusive */
double sampler_unit(sampler *s);                              /* [0, 1) */

/* True when the op takes (or gives, where it takes none) this dtype. */
bool sample_supports(tn_op op, tn_dtype dtype);

/* Builds one application of op in g with fresh inputs and marks its results as outputs. */
bool sample_op(sampler *s, tn_graph *g, tn_op op);

/* Fills a parameter's data with values that its readers may legally get: indices in range,
 * logs of positive numbers most of the time with specials now and then, and so on. */
bool sample_input(sampler *s, const tn_graph *g, uint32_t param, const int64_t *dims, void *data);

/* A random graph of n_nodes nodes over the whole table. exact: see above; otherwise no op
 * that jumps (floor, sort, argmax, compare). */
bool sample_graph(sampler *s, tn_graph *g, int n_nodes);

#endif
