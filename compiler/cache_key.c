/* Keys of the cache (see cache_key.h): a module and options as one sequence of bytes, digested.
 *
 * Texts go in with their length and lists with their number, so that no two modules give the same sequence.
 */
#include "compiler/cache_key.h"

#include "compiler/version.h"
#include "ir/op.h"
#include "tenon_sources.h"

#include <stdio.h>
#include <string.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

typedef struct key_writer {
    digester content;
    const tn_module *m;
    module_data *data;
    bool *reached; /* functions of m that are compiled */
    bool ok;
} key_writer;

/* ---- Pieces ------------------------------------------------------------------------------------------------- */

static void add_number(key_writer *k, uint64_t number) { digest_add(&k->content, &number, sizeof number); }

static void add_text(key_writer *k, const char *text) {
    add_number(k, text ? strlen(text) : UINT64_MAX);
    if (text) digest_add(&k->content, text, strlen(text));
}

static void add_real(key_writer *k, double real) { digest_add(&k->content, &real, sizeof real); }

static void add_dim(key_writer *k, tn_dim d) {
    char text[512], *all = text;
    int64_t value;
    bool is_const = dim_is_const(k->m->dims, d, &value);
    add_number(k, is_const);
    if (is_const) {
        add_number(k, (uint64_t)value);
        return;
    }
    size_t length = dim_print(k->m->dims, d, text, sizeof text);
    if (length >= sizeof text) {
        all = tn_malloc(length + 1);
        k->ok &= all != NULL;
        if (all) dim_print(k->m->dims, d, all, length + 1);
    }
    add_text(k, all);
    if (all != text) tn_free(all);
}

static void add_dims(key_writer *k, const tn_dim *dims, size_t n) {
    add_number(k, n);
    for (size_t i = 0; i < n; i++) add_dim(k, dims[i]);
}

static void add_type(key_writer *k, const tn_type *type) {
    add_number(k, type->dtype);
    add_dims(k, type->dims, type->rank);
}

static void add_locations(key_writer *k, location_id set) {
    tn_location items[LOCATION_MAX];
    size_t n = location_items(k->m, set, LOCATION_MAX, items);
    add_number(k, n);
    for (size_t i = 0; i < n && i < LOCATION_MAX; i++) {
        add_text(k, items[i].file);
        add_number(k, (uint64_t)items[i].line);
    }
    add_number(k, location_gradient_of(k->m, set));
}

static void add_function(key_writer *k, const tn_graph *g) { add_number(k, module_number_of(k->m, g)); }

/* Large ones by a digest of their own, which reads them in one go. */
static void add_constant(key_writer *k, const tensor_data *data) {
    module_data *all = k->data;
    digest bytes = digest_of(data->data, data->bytes);
    add_type(k, &data->type);
    add_number(k, data->bytes);
    digest_add(&k->content, &bytes, sizeof bytes);
    if (array_reserve((void **)&all->constants, &all->constants_capacity, all->n_constants + 1, sizeof *all->constants))
        all->constants[all->n_constants++] = data;
    else
        k->ok = false;
}

/* ---- Functions ----------------------------------------------------------------------------------------------- */

static void add_attr(key_writer *k, const attr *a) {
    add_number(k, a->name);
    switch (attr_kind_of((attr_name)a->name)) {
    case ATTR_KIND_FLOAT: add_real(k, a->f); break;
    case ATTR_KIND_DIM: add_dim(k, a->dim); break;
    case ATTR_KIND_DIMS: add_dims(k, a->dims.items, a->dims.n); break;
    case ATTR_KIND_TEXT: add_text(k, a->text); break;
    case ATTR_KIND_FUNC: add_function(k, a->func); break;
    case ATTR_KIND_DATA: add_constant(k, a->data); break;
    case ATTR_KIND_INTS:
    case ATTR_KIND_PAIR:
        add_number(k, a->ints.n);
        add_number(k, attr_kind_of((attr_name)a->name) == ATTR_KIND_PAIR ? a->split : 0);
        digest_add(&k->content, a->ints.items, a->ints.n * sizeof *a->ints.items);
        break;
    default: add_number(k, (uint64_t)a->i);
    }
}

static void add_node(key_writer *k, const tn_graph *g, const node *n) {
    add_number(k, n->op);
    add_number(k, n->n_operands);
    digest_add(&k->content, n->operands, n->n_operands * sizeof *n->operands);
    add_number(k, n->attrs.n);
    for (uint32_t i = 0; i < n->attrs.n; i++) add_attr(k, &n->attrs.items[i]);
    add_locations(k, n->locations);
    add_number(k, n->n_results);
    add_number(k, n->first_result);
    for (uint32_t i = 0; i < n->n_results; i++) {
        const value *v = &g->values[n->first_result + i];
        add_type(k, &v->type);
        add_text(k, v->name);
    }
}

static void add_param(key_writer *k, const param *p) {
    module_data *all = k->data;
    add_text(k, p->name);
    add_type(k, &p->type);
    add_number(k, p->value);
    add_number(k, p->binding);
    add_number(k, p->initial != NULL);
    if (!p->initial) return;
    if (array_reserve((void **)&all->weights, &all->weights_capacity, all->n_weights + 1, sizeof *all->weights))
        all->weights[all->n_weights++] = p;
    else
        k->ok = false;
}

static void add_graph(key_writer *k, const tn_graph *g) {
    add_text(k, g->name);
    add_number(k, g->is_kernel);
    add_number(k, g->n_symbols);
    for (size_t i = 0; i < g->n_symbols; i++) {
        const symbol *s = &g->symbols[i];
        add_dim(k, s->dim);
        add_number(k, (uint64_t)s->low);
        add_number(k, (uint64_t)s->high);
        add_number(k, (uint64_t)s->divisor);
    }
    add_number(k, g->n_params);
    for (size_t i = 0; i < g->n_params; i++) add_param(k, &g->params[i]);
    add_number(k, g->n_constraints);
    for (size_t i = 0; i < g->n_constraints; i++) {
        const constraint *c = &g->constraints[i];
        add_number(k, c->relation);
        add_dim(k, c->a);
        add_dim(k, c->b);
        add_number(k, c->op);
        add_locations(k, c->locations);
    }
    add_number(k, g->n_nodes);
    for (size_t i = 0; i < g->n_nodes; i++) add_node(k, g, &g->nodes[i]);
    add_number(k, g->n_results);
    for (size_t i = 0; i < g->n_results; i++) {
        add_number(k, g->results[i].value);
        add_text(k, g->results[i].name);
        add_number(k, (uint64_t)(int64_t)g->results[i].state_param);
    }
}

/* What module_clone_called copies. */
static void add_module(key_writer *k) {
    const tn_module *m = k->m;
    add_text(k, m->name);
    add_function(k, module_main(m));
    module_mark_reached(m, module_main(m), false, k->reached);
    module_mark_reached(m, module_find(m, "prepare"), false, k->reached);
    for (size_t i = 0; i < m->n_graphs; i++) {
        add_number(k, k->reached[i]);
        if (k->reached[i]) add_graph(k, m->graphs[i]);
    }
    add_number(k, m->loops.text ? m->loops.length : UINT64_MAX);
    if (m->loops.text) digest_add(&k->content, m->loops.text, m->loops.length);
    add_text(k, m->loops.file);
    add_number(k, (uint64_t)m->loops.line);
}

/* ---- Options, and who compiles ---------------------------------------------------------------------------------- */

#if UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(tn_compile_options) == 184,
               "an option is new: does it change what is compiled? Then add it below");
#endif

/* All that change a program, but for debug information, with which none is looked for (cache.c); ops of the user's are
 * found by name when it is loaded. */
static void add_options(key_writer *k, const tn_compile_options *o) {
    add_number(k, (uint64_t)(o->level ? o->level : 2));
    add_number(k, o->no_fusion);
    add_number(k, o->nan_check);
    add_number(k, o->trust_loops);
    add_number(k, o->freestanding);
    add_number(k, o->fold_limit_bytes);
    add_real(k, o->hoist_growth);
    add_text(k, o->winograd ? o->winograd : "on");
    add_text(k, o->strassen ? o->strassen : "off");
    add_text(k, o->gemm ? o->gemm : "own");
    add_text(k, o->weight_type ? o->weight_type : "f32");
}

/* Folding calls the C library's mathematics. */
static const char *library_version(void) {
#ifdef __GLIBC__
    return gnu_get_libc_version();
#else
    return "";
#endif
}

bool cache_key(digest *key, module_data *data, const tn_module *m, const tn_compile_options *options,
               const char *machine) {
    key_writer k = {.m = m, .data = data, .reached = tn_calloc(m->n_graphs + 1, sizeof *k.reached), .ok = true};
    *data = (module_data){0};
    if (!k.reached) return false;
    digest_begin(&k.content);
    add_text(&k, "Tenon " TN_VERSION " " TN_SOURCES);
    add_text(&k, library_version());
    add_text(&k, machine);
    add_options(&k, options);
    add_module(&k);
    *key = digest_end(&k.content);
    tn_free(k.reached);
    return k.ok;
}

void module_data_free(module_data *data) {
    tn_free(data->constants);
    tn_free(data->weights);
    *data = (module_data){0};
}
