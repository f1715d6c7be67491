/* Dims as values: sizes that are known when the model runs.
 *
 * in:  a dim of a function, and the block that wants it
 * out: an i64 vector of it, computed from the shapes of the model's inputs
 * law: what a block has computed it does not compute again, and sees what the blocks around it have. A symbol of a
 *      function that was written where it is called means what its caller says.
 */
#include "frontends/onnx/export.h"

typedef struct dim_writer {
    exporter *x;
    block *b;
    const inlined *f;
} dim_writer;

static label *one(dim_writer *w, int64_t n) { return numbers_label(w->x, &n, 1); }

static label *node_of(dim_writer *w, const char *op, label *left, label *right) {
    return node_new(w->x, w->b, op, (label *[]){left, right}, 2, 1)->outputs[0];
}

/* Axis of a parameter that the symbol is the size of. */
static label *symbol_size(dim_writer *w, tn_dim symbol) {
    const tn_graph *g = w->f->g;
    for (size_t i = 0; i < g->n_symbols && w->f->caller; i++)
        if (g->symbols[i].dim == symbol) return dim_label(w->x, w->b, w->f->caller, w->f->symbols[i]);
    for (size_t i = 0; i < g->n_params; i++)
        for (int k = 0; k < g->params[i].type.rank; k++) {
            if (g->params[i].type.dims[k] != symbol) continue;
            label *source = w->f->values[g->params[i].value];
            made_node *n = node_new(w->x, w->b, "Shape", &source, 1, 1);
            set_int(w->x, n, "start", k);
            set_int(w->x, n, "end", k + 1);
            return n->outputs[0];
        }
    module_error(w->x->module, TN_ERR_UNSUPPORTED, LOCATION_NONE,
                 "the size %s is not that of an axis of an input, which ONNX could ask for",
                 dim_symbol_name(export_dims(w->x), symbol));
    return &w->x->spare_label;
}

/* ONNX divides to zero, dims to minus infinity: they differ where the dividend may be negative. */
static label *floor_division(dim_writer *w, tn_dim a, tn_dim b) {
    int64_t low, high;
    label *dividend = dim_label(w->x, w->b, w->f, a), *divisor = dim_label(w->x, w->b, w->f, b);
    dim_bounds(export_dims(w->x), a, NULL, 0, &low, &high);
    if (low < 0) dividend = node_of(w, "Sub", dividend, node_of(w, "Mod", dividend, divisor));
    return node_of(w, "Div", dividend, divisor);
}

static label *atom_label(dim_writer *w, tn_dim atom) {
    tn_dim a, b;
    switch (dim_kind_of(export_dims(w->x), atom)) {
    case DIM_SYMBOL: return symbol_size(w, atom);
    case DIM_FLOORDIV: dim_operands(export_dims(w->x), atom, &a, &b); return floor_division(w, a, b);
    case DIM_MIN:
    case DIM_MAX:
        dim_operands(export_dims(w->x), atom, &a, &b);
        return node_of(w, dim_kind_of(export_dims(w->x), atom) == DIM_MIN ? "Min" : "Max",
                       dim_label(w->x, w->b, w->f, a), dim_label(w->x, w->b, w->f, b));
    default: return &w->x->spare_label;
    }
}

/* coefficient * product of atoms; the sign is left to the caller where another term stands before. */
static label *term_label(dim_writer *w, const dim_term *term, int64_t coefficient) {
    label *product = term->n_atoms == 0 || coefficient != 1 ? one(w, coefficient) : NULL;
    for (uint32_t i = 0; i < term->n_atoms; i++) {
        label *atom = dim_label(w->x, w->b, w->f, term->atoms[i]);
        product = product ? node_of(w, "Mul", atom, product) : atom;
    }
    return product;
}

static label *sum_label(dim_writer *w, tn_dim d) {
    uint32_t n = dim_term_count(export_dims(w->x), d);
    dim_term *terms = ARENA_ARRAY(&w->x->memory, dim_term, n + 1);
    label *sum = NULL;
    if (!terms) {
        export_no_memory(w->x);
        return &w->x->spare_label;
    }
    dim_terms(export_dims(w->x), d, n, terms);
    /* The constant comes first: it is added last, so that n - 1 is a subtraction. */
    for (uint32_t i = n; i-- > 0 && !export_failed(w->x);) {
        bool is_less = sum && terms[i].coefficient < 0 && terms[i].coefficient != INT64_MIN;
        label *term = term_label(w, &terms[i], is_less ? -terms[i].coefficient : terms[i].coefficient);
        sum = sum ? node_of(w, is_less ? "Sub" : "Add", sum, term) : term;
    }
    return sum ? sum : one(w, 0);
}

static const dim_memo *find_memo(const block *b, const inlined *f, tn_dim d) {
    for (; b; b = b->parent)
        for (const dim_memo *m = b->dims; m; m = m->next)
            if (m->dim == d && m->f == f) return m;
    return NULL;
}

bool dim_label_set(exporter *x, block *b, const inlined *f, tn_dim d, label *l) {
    dim_memo *m = ARENA_NEW(&x->memory, dim_memo);
    if (!m) return export_no_memory(x);
    *m = (dim_memo){b->dims, f, d, l};
    b->dims = m;
    return true;
}

label *dim_label(exporter *x, block *b, const inlined *f, tn_dim d) {
    dim_writer w = {x, b, f};
    int64_t n;
    if (dim_is_const(export_dims(x), d, &n)) return one(&w, n);
    const dim_memo *known = find_memo(b, f, d);
    if (known) return known->l;
    bool is_atom = dim_kind_of(export_dims(x), d) != DIM_SUM;
    label *l = export_failed(x) ? &x->spare_label : is_atom ? atom_label(&w, d) : sum_label(&w, d);
    return dim_label_set(x, b, f, d, l) ? l : &x->spare_label;
}

label *dims_label(exporter *x, block *b, const inlined *f, const tn_dim *dims, int n) {
    int64_t numbers[2 * TN_MAX_RANK];
    label *parts[2 * TN_MAX_RANK];
    int n_parts = 0, run = 0;
    for (int i = 0; i <= n; i++) {
        bool is_number = i < n && dim_is_const(export_dims(x), dims[i], &numbers[run]);
        run += is_number;
        if (is_number) continue;
        if (run > 0 || n == 0) parts[n_parts++] = numbers_label(x, numbers, run);
        run = 0;
        if (i < n) parts[n_parts++] = dim_label(x, b, f, dims[i]);
    }
    if (n_parts == 1) return parts[0];
    made_node *concat = node_new(x, b, "Concat", parts, n_parts, 1);
    set_int(x, concat, "axis", 0);
    return concat->outputs[0];
}
