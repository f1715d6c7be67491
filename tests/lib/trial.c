/* Trials: see trial.h. */
#include "tests/lib/trial.h"

#include "compiler/passes/passes.h"
#include "ir/dtype.h"
#include "ir/samples_shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t bytes_of(const eval_tensor *t) { return (size_t)t->n * (tn_dtype_bits(t->dtype) / 8); }

/* ---- Inputs, reference ---- */

bool trial_fill(trial *t, char *message) {
    eval_tensor *in = tn_realloc(t->in, (t->g->n_params + 1) * sizeof *in);
    if (!in) return false;
    t->in = in;
    for (size_t i = t->n_filled; i < t->g->n_params; i++) {
        bool ok = tensor_sampled(t->s, t->g, i, &in[i]);
        t->n_filled = i + 1;
        if (!ok) {
            snprintf(message, TRIAL_MESSAGE, "no input %zu", i);
            return false;
        }
    }
    return true;
}

bool trial_expect(trial *t, char *message) {
    eval_options options = {.magnitudes = true, .max_elements = 1 << 26, .max_steps = 1 << 22};
    tn_diag diag;
    t->want = tn_calloc(t->g->n_results + 1, sizeof *t->want);
    if (t->want && eval_graph(t->g, t->in, t->want, &options, &diag) == TN_OK) return true;
    snprintf(message, TRIAL_MESSAGE, "the interpreter: %.900s", t->want ? diag.message : "out of memory");
    return false;
}

void trial_free_results(const trial *t, eval_tensor *results) {
    for (size_t r = 0; results && r < t->g->n_results; r++) eval_tensor_free(&results[r]);
    tn_free(results);
}

void trial_close(trial *t) {
    for (size_t i = 0; i < t->n_filled; i++) eval_tensor_free(&t->in[i]);
    tn_free(t->in);
    trial_free_results(t, t->want);
    *t = (trial){0};
}

/* ---- Compiled code ---- */

static bool set_symbols(const trial *t, tn_exec *exec, const tn_program *p) {
    for (int i = 0; i < t->s->n_symbols; i++)
        if (tn_program_find_symbol(p, t->s->symbols[i]) >= 0 &&
            tn_exec_set_symbol(exec, t->s->symbols[i], t->s->values[i]) != TN_OK)
            return false;
    return true;
}

/* Zeros. */
static bool make_room(eval_tensor *to, tn_dtype dtype, int rank, const int64_t *dims) {
    *to = tensor_view(dtype, rank, dims, NULL);
    to->borrowed = false;
    to->data = tn_calloc((size_t)to->n + 1, 8);
    return to->data != NULL;
}

static bool copy_result(eval_tensor *to, const tn_tensor *from) {
    if (!make_room(to, from->dtype, from->rank, from->shape)) return false;
    if (to->n > 0) memcpy(to->data, from->data, bytes_of(to));
    return true;
}

eval_tensor *trial_run(const trial *t, tn_program *p, const tn_exec_options *options, char *message) {
    size_t n = t->g->n_params;
    tn_exec *exec = tn_exec_new(p, options);
    tn_tensor *inputs = tn_calloc(n + 1, sizeof *inputs);
    eval_tensor *results = tn_calloc(t->g->n_results + 1, sizeof *results);
    bool ok = exec && inputs && results && set_symbols(t, exec, p);
    snprintf(message, TRIAL_MESSAGE, "no exec");
    for (size_t i = 0; ok && i < n; i++)
        inputs[i] = tn_tensor_of(t->in[i].dtype, t->in[i].data, t->in[i].rank, t->in[i].dims);
    if (ok && tn_exec_run(exec, inputs, (int)n, NULL, 0) != TN_OK) {
        snprintf(message, TRIAL_MESSAGE, "run: %.900s", tn_exec_error(exec)->message);
        ok = false;
    }
    for (size_t r = 0; ok && r < t->g->n_results; r++) ok = copy_result(&results[r], tn_exec_output(exec, (int)r));
    tn_exec_free(exec);
    tn_free(inputs);
    if (ok) return results;
    trial_free_results(t, results);
    return NULL;
}

eval_tensor *trial_run_elsewhere(const trial *t, object_run *on, const tn_compile_options *options, char *message) {
    eval_tensor *results = tn_calloc(t->g->n_results + 1, sizeof *results);
    snprintf(message, TRIAL_MESSAGE, "out of memory");
    bool ok = results != NULL;
    for (size_t r = 0; ok && r < t->g->n_results; r++)
        ok = make_room(&results[r], t->want[r].dtype, t->want[r].rank, t->want[r].dims);
    object_call call = {t->in, results, t->s->n_symbols, t->s->symbols, t->s->values};
    if (ok && object_run_module(on, t->g->module, options, &call, message)) return results;
    trial_free_results(t, results);
    return NULL;
}

comparison trial_compare(const trial *t, size_t r, const eval_tensor *got, double factor) {
    return compare_tensors(got, &t->want[r], factor);
}

bool trial_same_bits(const eval_tensor *a, const eval_tensor *b) {
    if (a->dtype != b->dtype || a->n != b->n) return false;
    if (a->n == 0 || memcmp(a->data, b->data, bytes_of(a)) == 0) return true;
    size_t bytes = tn_dtype_bits(a->dtype) / 8;
    for (int64_t k = 0; k < a->n; k++) {
        if (memcmp((char *)a->data + (size_t)k * bytes, (char *)b->data + (size_t)k * bytes, bytes) == 0) continue;
        if (!dtype_is_float(a->dtype) || !isnan(eval_load_float(a, k)) || !isnan(eval_load_float(b, k))) return false;
    }
    return true;
}

/* ---- Numbers for symbols ---- */

typedef struct fixing {
    tn_module *m;
    tn_dim from[16], to[16];
    int n;
} fixing;

static tn_dim fix_dim(const fixing *f, tn_dim d) { return dim_substitute(f->m->dims, d, f->from, f->to, f->n); }

static bool fix_node(const fixing *f, const tn_graph *g, tn_graph *to, const node *n, value_id *map) {
    attr attrs[OP_MAX_ATTRS];
    value_id first, *operands = ARENA_ARRAY(&f->m->memory, value_id, n->n_operands + 1);
    if (!operands) return false;
    for (uint32_t i = 0; i < n->n_operands; i++) operands[i] = map[n->operands[i]];
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        attrs[i] = n->attrs.items[i];
        attr_kind kind = attr_kind_of((attr_name)attrs[i].name);
        if (kind == ATTR_KIND_DIM) attrs[i].dim = fix_dim(f, attrs[i].dim);
        if (kind != ATTR_KIND_DIMS) continue;
        tn_dim *dims = ARENA_ARRAY(&f->m->memory, tn_dim, attrs[i].dims.n + 1);
        if (!dims) return false;
        for (uint32_t k = 0; k < attrs[i].dims.n; k++) dims[k] = fix_dim(f, attrs[i].dims.items[k]);
        attrs[i].dims.items = dims;
    }
    (void)g;
    if (!graph_apply(to, n->locations, (tn_op)n->op, operands, n->n_operands, attrs, n->attrs.n, &first, 1, NULL))
        return false;
    for (uint32_t i = 0; i < n->n_results; i++) map[n->first_result + i] = first + i;
    return true;
}

static bool fix_graph(const fixing *f, tn_graph *g, tn_graph *to) {
    value_id *map = ARENA_ARRAY(&f->m->memory, value_id, g->n_values + 1);
    if (!map) return false;
    for (size_t i = 0; i < g->n_params; i++) {
        tn_type type = g->params[i].type;
        for (int axis = 0; axis < type.rank; axis++) type.dims[axis] = fix_dim(f, type.dims[axis]);
        map[g->params[i].value] = graph_add_param(to, g->params[i].name, &type, g->params[i].binding);
        if (map[g->params[i].value] == VALUE_NONE) return false;
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op != TN_OP_param && !fix_node(f, g, to, &g->nodes[i], map)) return false;
    for (size_t r = 0; r < g->n_results; r++)
        if (!graph_add_result(to, g->results[r].name, map[g->results[r].value], g->results[r].state_param))
            return false;
    return true;
}

tn_module *trial_fixed(const trial *t, char *message) {
    tn_module *m = module_clone(t->g->module);
    if (!m) return NULL;
    fixing f = {.m = m, .n = t->s->n_symbols};
    for (int i = 0; i < f.n; i++) {
        f.from[i] = dim_symbol(m->dims, t->s->symbols[i]);
        f.to[i] = dim_const(m->dims, t->s->values[i]);
    }
    tn_graph *g = module_main(m), *to = module_add_graph(m, "fixed");
    if (to && fix_graph(&f, g, to)) {
        graph_take_content(g, to);
        return m;
    }
    snprintf(message, TRIAL_MESSAGE, "with numbers for symbols: %.900s", m->error.message);
    tn_module_free(m);
    return NULL;
}

/* ---- Text ---- */

/* The first line that differs, of both. */
static void describe_difference(const char *text, const char *second, char *message) {
    size_t line = 0, i = 0;
    for (; text[i] && text[i] == second[i]; i++)
        if (text[i] == '\n') line = i + 1;
    int first_length = (int)strcspn(text + line, "\n"), second_length = (int)strcspn(second + line, "\n");
    snprintf(message, TRIAL_MESSAGE, "its text, parsed and printed again, differs:\n  %.*s\n  %.*s",
             first_length < 400 ? first_length : 400, text + line, second_length < 400 ? second_length : 400,
             second + line);
}

bool trial_round_trip(const tn_module *m, char *message) {
    char *text = tn_module_print(m, NULL);
    tn_module *again = text ? tn_module_parse(text, strlen(text), "again") : NULL;
    char *second = again && !tn_module_error(again) ? tn_module_print(again, NULL) : NULL;
    bool same = second && strcmp(text, second) == 0;
    if (again && tn_module_error(again))
        snprintf(message, TRIAL_MESSAGE, "its text does not parse: %.900s", tn_module_error(again)->message);
    else if (!second)
        snprintf(message, TRIAL_MESSAGE, "no memory for its text");
    else if (!same)
        describe_difference(text, second, message);
    tn_text_free(second);
    if (again) tn_module_free(again);
    tn_text_free(text);
    return same;
}
