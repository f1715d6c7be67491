/* Walks over dims: leaves, substitution, import, evaluation, linear parts.
 *
 * law: the size of an expression written out as a tree is limited (DIM_MAX_WEIGHT), so plain
 *      recursion is bounded in time and depth
 */
#include "ir/dim_poly.h"

bool dim_visit_leaves(const dim_table *t, tn_dim d, bool (*visit)(void *ctx, tn_dim leaf), void *ctx) {
    if (!dim_valid(t, d)) return true;
    poly p = dim_poly(t, d);
    for (uint32_t i = 0; i < p.n; i++)
        for (uint32_t k = 0; k < p.terms[i].n_atoms; k++) {
            tn_dim atom = p.terms[i].atoms[k];
            const dim_entry *e = dim_at(t, atom);
            bool go_on = dim_is_compound(e)
                             ? dim_visit_leaves(t, e->a, visit, ctx) && dim_visit_leaves(t, e->b, visit, ctx)
                             : visit(ctx, atom);
            if (!go_on) return false;
        }
    return true;
}

bool dim_contains(const dim_table *t, tn_dim d, tn_dim atom) {
    if (!dim_valid(t, d)) return false;
    poly p = dim_poly(t, d);
    for (uint32_t i = 0; i < p.n; i++)
        for (uint32_t k = 0; k < p.terms[i].n_atoms; k++) {
            const dim_entry *e = dim_at(t, p.terms[i].atoms[k]);
            if (e->self == atom) return true;
            if (dim_is_compound(e) && (dim_contains(t, e->a, atom) || dim_contains(t, e->b, atom))) return true;
        }
    return false;
}

bool dim_split_linear(dim_table *t, tn_dim d, tn_dim atom, tn_dim *coefficient, tn_dim *rest) {
    if (!dim_valid(t, d) || !dim_valid(t, atom)) return false;
    scratch_mark mark = scratch_begin(t);
    poly c, r;
    t->quiet++;
    bool linear = poly_split(t, dim_poly(t, d), atom, &c, &r);
    if (linear) {
        *coefficient = dim_from_poly(t, c);
        *rest = dim_from_poly(t, r);
        linear = *coefficient != DIM_INVALID && *rest != DIM_INVALID && !dim_contains(t, *coefficient, atom) &&
                 !dim_contains(t, *rest, atom);
    }
    t->quiet--;
    scratch_end(t, mark);
    return linear;
}

/* ---- Rebuilding ------------------------------------------------------------------------------ */

/* Each leaf goes through `leaf`, everything above is built again in `to`. */
typedef struct rebuild {
    dim_table *to;
    const dim_table *from;
    const tn_dim *old, *new;
    int n;
    tn_dim (*leaf)(const struct rebuild *r, const dim_entry *e);
} rebuild;

static tn_dim (*const build_compound[])(dim_table *, tn_dim, tn_dim) = {
    [DIM_FLOORDIV] = dim_floordiv, [DIM_CEILDIV] = dim_ceildiv, [DIM_MOD] = dim_mod,
    [DIM_MIN] = dim_min,           [DIM_MAX] = dim_max,
};

static tn_dim rebuild_dim(const rebuild *r, tn_dim d) {
    poly p = dim_poly(r->from, d);
    tn_dim sum = dim_const(r->to, 0);
    for (uint32_t i = 0; i < p.n && sum != DIM_INVALID; i++) {
        tn_dim product = dim_const(r->to, p.terms[i].coefficient);
        for (uint32_t k = 0; k < p.terms[i].n_atoms && product != DIM_INVALID; k++) {
            const dim_entry *e = dim_at(r->from, p.terms[i].atoms[k]);
            tn_dim atom;
            if (dim_is_compound(e)) {
                tn_dim a = rebuild_dim(r, e->a);
                atom = a == DIM_INVALID ? a : build_compound[e->kind](r->to, a, rebuild_dim(r, e->b));
            } else {
                atom = r->leaf(r, e);
            }
            product = dim_mul(r->to, product, atom);
        }
        sum = dim_add(r->to, sum, product);
    }
    return sum;
}

static tn_dim substituted_leaf(const rebuild *r, const dim_entry *e) {
    for (int i = 0; i < r->n; i++)
        if (r->old[i] == e->self) return r->new[i];
    return e->self;
}

typedef struct leaf_set {
    const tn_dim *items;
    int n;
} leaf_set;

static bool is_outside(void *ctx, tn_dim leaf) {
    const leaf_set *set = ctx;
    for (int i = 0; i < set->n; i++)
        if (set->items[i] == leaf) return false;
    return true;
}

tn_dim dim_substitute(dim_table *t, tn_dim d, const tn_dim *from, const tn_dim *to, int n) {
    if (!dim_valid(t, d)) return DIM_INVALID;
    if (dim_visit_leaves(t, d, is_outside, &(leaf_set){from, n})) return d;
    return rebuild_dim(&(rebuild){t, t, from, to, n, substituted_leaf}, d);
}

static tn_dim imported_leaf(const rebuild *r, const dim_entry *e) {
    return e->kind == DIM_SYMBOL ? dim_symbol(r->to, e->name) : dim_variable(r->to, e->number);
}

tn_dim dim_import(dim_table *to, const dim_table *from, tn_dim d) {
    if (to == from || !dim_valid(from, d)) return d;
    return rebuild_dim(&(rebuild){.to = to, .from = from, .leaf = imported_leaf}, d);
}

/* ---- Evaluation -------------------------------------------------------------------------------- */

static bool eval_atom(const dim_table *t, const dim_entry *e, bool (*look)(void *, tn_dim, int64_t *), void *ctx,
                      int64_t *value) {
    int64_t a, b;
    if (!dim_is_compound(e)) return look(ctx, e->self, value) && *value != INT64_MIN;
    if (!dim_eval(t, e->a, look, ctx, &a) || !dim_eval(t, e->b, look, ctx, &b)) return false;
    switch ((dim_kind)e->kind) {
    case DIM_MIN: *value = a < b ? a : b; return true;
    case DIM_MAX: *value = a > b ? a : b; return true;
    default:
        if (b <= 0) return false;
        *value = int_floordiv(a, b);
        return true;
    }
}

bool dim_eval(const dim_table *t, tn_dim d, bool (*look)(void *ctx, tn_dim leaf, int64_t *value), void *ctx,
              int64_t *value) {
    if (!dim_valid(t, d)) return false;
    poly p = dim_poly(t, d);
    int64_t sum = 0;
    for (uint32_t i = 0; i < p.n; i++) {
        int64_t product = p.terms[i].coefficient;
        for (uint32_t k = 0; k < p.terms[i].n_atoms; k++) {
            int64_t atom;
            if (!eval_atom(t, dim_at(t, p.terms[i].atoms[k]), look, ctx, &atom) || !int_mul(product, atom, &product))
                return false;
        }
        if (!int_add(sum, product, &sum)) return false;
    }
    *value = sum;
    return true;
}
