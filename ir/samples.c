/* Random legal applications of ops: the sampler's numbers, shapes and inputs.
 *
 * law: all follows from the seed; what is built is legal for the symbols' values in the
 *      sampler, which also satisfy the constraints that were recorded
 */
#include "ir/samples_shape.h"

#include <stdio.h>
#include <string.h>

/* ---- Numbers (SplitMix64, Steele, Lea, Flood 2014) --------------------------------------------- */

uint64_t sampler_next(sampler *s) {
    uint64_t z = s->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t sampler_range(sampler *s, int64_t low, int64_t high) {
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;
    uint64_t offset = span == 0 ? sampler_next(s) : sampler_next(s) % span;
    return (int64_t)((uint64_t)low + offset);
}

double sampler_unit(sampler *s) { return (double)(sampler_next(s) >> 11) * 0x1p-53; }

void sampler_shuffle(sampler *s, int64_t *items, int n) {
    for (int i = n - 1; i > 0; i--) {
        int64_t j = sampler_range(s, 0, i), swapped = items[i];
        items[i] = items[j];
        items[j] = swapped;
    }
}

int sampler_axes(sampler *s, int rank, int64_t *axes) {
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (sampler_chance(s, 50)) axes[n++] = i;
    return n;
}

/* ---- Shapes ------------------------------------------------------------------------------------ */

tn_dim_arg sampler_extent(sampler *s, int64_t low, int64_t high, int64_t *extent) {
    static const char *const names[] = {"n",  "m",  "k",  "h",  "w",  "n1", "m1", "k1",
                                        "h1", "w1", "n2", "m2", "k2", "h2", "w2", "n3"};
    *extent = sampler_range(s, low, high);
    if (!s->symbolic || sampler_chance(s, 50)) return TN_SIZE(*extent);
    for (int i = 0; i < s->n_symbols; i++)
        if (s->values[i] == *extent) return TN_DIM(s->symbols[i]);
    if (s->n_symbols == 16) return TN_SIZE(*extent);
    s->symbols[s->n_symbols] = names[s->n_symbols];
    s->values[s->n_symbols] = *extent;
    return TN_DIM(s->symbols[s->n_symbols++]);
}

void sampler_append(sampler *s, sample_shape *shape, int64_t low, int64_t high) {
    shape->args[shape->rank] = sampler_extent(s, low, high, &shape->values[shape->rank]);
    shape->rank++;
}

sample_shape sampler_shape(sampler *s, int least_rank, int most_rank, int64_t least) {
    sample_shape shape = {0};
    int rank = (int)sampler_range(s, least_rank, most_rank);
    while (shape.rank < rank) {
        int64_t draw = sampler_range(s, 0, 19);
        if (draw == 0)
            sampler_append(s, &shape, least, least);
        else if (draw <= 2)
            sampler_append(s, &shape, 1, 1);
        else if (draw >= 17 && rank <= 2)
            sampler_append(s, &shape, 7, 40);
        else
            sampler_append(s, &shape, 2, rank > 4 ? 2 : 6);
    }
    return shape;
}

typedef struct value_look {
    const sampler *s;
    const dim_table *t;
} value_look;

static bool look_up(void *ctx, tn_dim leaf, int64_t *number) {
    value_look *look = ctx;
    const char *name = dim_symbol_name(look->t, leaf);
    for (int i = 0; name && i < look->s->n_symbols; i++) {
        if (strcmp(look->s->symbols[i], name) != 0) continue;
        *number = look->s->values[i];
        return true;
    }
    return false;
}

int64_t sampler_value(const sampler *s, const tn_graph *g, tn_dim d) {
    value_look look = {s, g->module->dims};
    int64_t number;
    return dim_eval(g->module->dims, d, look_up, &look, &number) ? number : -1;
}

/* ---- Inputs and outputs ------------------------------------------------------------------------ */

tn_val sampler_input(sampler *s, tn_graph *g, tn_dtype dtype, const sample_shape *shape) {
    (void)s;
    char name[32];
    tn_shape given = {.rank = shape->rank};
    memcpy(given.dims, shape->args, sizeof given.dims);
    snprintf(name, sizeof name, "x%zu", g->n_params);
    return tn_input(g, name, dtype, given);
}

bool sampler_done(tn_graph *g, tn_val v) {
    if (!tn_is_valid(v)) return false;
    uint32_t n = graph_node_of(g, v.id)->n_results;
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        if (tn_type_of(tn_result(v, (int)i)).dtype == TN_TOKEN) continue;
        snprintf(name, sizeof name, "y%zu", g->n_results);
        tn_output(g, name, tn_result(v, (int)i));
    }
    return !tn_graph_error(g);
}

bool sampler_refuse(tn_graph *g, tn_op op, const sampler *s) {
    return module_error(g->module, TN_ERR_UNSUPPORTED, LOCATION_NONE, "%s: has no sample in %s", op_name(op),
                        tn_dtype_name(s->dtype));
}

/* ---- The table --------------------------------------------------------------------------------- */

bool sample_op(sampler *s, tn_graph *g, tn_op op) {
    return op_table[op].sample(s, g, op) && g->n_results > 0 && !tn_graph_error(g);
}

/* Asks the rules, by trying: shapes that a sample draws are always legal, so that an error is the
 * dtype's. */
bool sample_supports(tn_op op, tn_dtype dtype) {
    sampler s = {.state = 1, .dtype = dtype};
    tn_graph *g = tn_graph_new("sample");
    bool is_legal = g && sample_op(&s, g, op);
    tn_graph_free(g);
    return is_legal;
}
