/* Inside the samplers: random shapes and fresh inputs. */
#ifndef TN_IR_SAMPLES_SHAPE_H
#define TN_IR_SAMPLES_SHAPE_H

#include "ir/columns.h"
#include "ir/samples.h"

/* A shape, and the extents its symbols have in this sample. */
typedef struct sample_shape {
    int rank;
    tn_dim_arg args[TN_MAX_RANK];
    int64_t values[TN_MAX_RANK];
} sample_shape;

static inline bool sampler_chance(sampler *s, int percent) { return sampler_range(s, 0, 99) < percent; }

/* An extent within [low, high], as a symbol now and then when s->symbolic. */
tn_dim_arg sampler_extent(sampler *s, int64_t low, int64_t high, int64_t *value);
void sampler_append(sampler *s, sample_shape *shape, int64_t low, int64_t high);
/* A shape with some axes of extent 1, large ones when there are few, and 0 when `least` allows. */
sample_shape sampler_shape(sampler *s, int least_rank, int most_rank, int64_t least);
void sampler_shuffle(sampler *s, int64_t *items, int n);
/* A random subset of [0, rank), ascending; returns how many. */
int sampler_axes(sampler *s, int rank, int64_t *axes);

tn_val sampler_input(sampler *s, tn_graph *g, tn_dtype dtype, const sample_shape *shape);
/* What a dim of the graph comes to in this sample; -1 when it cannot be told. */
int64_t sampler_value(const sampler *s, const tn_graph *g, tn_dim d);

/* Marks all results of v's op but tokens as outputs. */
bool sampler_done(tn_graph *g, tn_val v);
/* Records that the op has no sample in this dtype; always false. */
bool sampler_refuse(tn_graph *g, tn_op op, const sampler *s);

#endif
