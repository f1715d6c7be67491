/* Where the first number that is not finite comes from, after a step that was not made because of one.
 *
 * in:  a trainer whose step has just failed: guarded, so that its states are what they were
 * out: the op, its place in the source, and what of it is not finite
 * law: the step is run once more, as another program that asks of each result whether it has an infinity or a NaN.
 *      To blame is the first node in order that makes an infinity of finite operands, or a NaN of operands without one: a mask
 *      of -inf is a constant, and no fault
 */
#include "frontends/nn/trainer.h"

#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/expand.h"

#include <stdio.h>
#include <string.h>

typedef struct blame {
    const tn_trainer *t;
    tn_module *module;
    const tn_graph *main; /* the step */
    tn_graph *asking;     /* its nodes, and what is asked of them */
    size_t *first_flag;   /* of each value of main: the result that says whether it has an infinity, the next a NaN */
} blame;

/* ---- Asking ------------------------------------------------------------------------------------------------ */

static void ask(tn_val v, tn_op op) {
    tn_val flags = tn_unary_at(TN_HERE, op, v);
    int64_t axes[TN_MAX_RANK];
    int n = expand_axes_from(flags, 0, axes);
    char name[32];
    snprintf(name, sizeof name, "f%zu", v.graph->n_results);
    tn_output(v.graph, name, n > 0 ? tn_reduce("or", flags, ((tn_ints){n, axes}), false) : flags);
}

static bool is_asked(const blame *b, value_id v) { return dtype_is_float((tn_dtype)graph_type(b->main, v)->dtype); }

static bool copy_and_ask(blame *b, value_id *map) {
    for (size_t i = 0; i < b->main->n_params; i++) {
        const param *p = &b->main->params[i];
        map[p->value] = graph_add_param(b->asking, p->name, &p->type, BINDING_RUN);
        if (map[p->value] == VALUE_NONE) return false;
    }
    for (size_t i = 0; i < b->main->n_nodes; i++) {
        const node *n = &b->main->nodes[i];
        if (n->op != TN_OP_param && !graph_copy_node(b->asking, b->main, n, map)) return false;
    }
    for (value_id v = 0; v < b->main->n_values; v++) {
        b->first_flag[v] = b->asking->n_results;
        if (!is_asked(b, v)) continue;
        ask((tn_val){b->asking, map[v]}, TN_OP_is_inf);
        ask((tn_val){b->asking, map[v]}, TN_OP_is_nan);
    }
    return b->module->error.status == TN_OK;
}

static bool build_asking(blame *b) {
    value_id *map = tn_malloc((b->main->n_values + 1) * sizeof *map);
    b->first_flag = tn_malloc((b->main->n_values + 1) * sizeof *b->first_flag);
    b->asking = module_add_graph(b->module, "asking");
    bool ok = map && b->first_flag && b->asking && graph_copy_symbols(b->asking, b->main);
    if (ok) memset(map, 0xff, (b->main->n_values + 1) * sizeof *map);
    ok = ok && copy_and_ask(b, map);
    tn_free(map);
    return ok;
}

/* ---- Running ------------------------------------------------------------------------------------------------ */

/* The flags, from tn_malloc; NULL when there is no memory or the program fails. */
static uint8_t *run_asking(blame *b, const tn_tensor *inputs, int n_inputs) {
    size_t n = b->asking->n_results;
    tn_module *own = tn_function_module(b->asking);
    tn_program *p = own ? tn_compile_module(own, &(tn_compile_options){.pool = b->t->o.pool}) : NULL;
    tn_exec *exec = p ? tn_exec_new(p, &(tn_exec_options){.pool = b->t->o.pool}) : NULL;
    tn_tensor *results = tn_calloc(n + 1, sizeof *results);
    uint8_t *flags = tn_calloc(n + 1, 1);
    bool ok = exec && results && flags && tn_exec_run(exec, inputs, n_inputs, results, (int)n) == TN_OK;
    for (size_t i = 0; ok && i < n; i++) flags[i] = *(const uint8_t *)results[i].data;
    tn_free(results);
    tn_exec_free(exec);
    tn_program_free(p);
    tn_module_free(own);
    if (ok) return flags;
    tn_free(flags);
    return NULL;
}

/* The random numbers of the step that failed: it has moved on from them. */
static void step_back(const tn_trainer *t, const nn_run *r, tn_tensor *inputs, uint64_t random[4]) {
    for (int i = 0; i < r->n_inputs; i++) {
        inputs[i] = r->inputs[i];
        if (r->in[i].kind != NN_PORT_STATE || r->in[i].number != t->random) continue;
        memcpy(random, inputs[i].data, 4 * sizeof *random);
        random[2] -= (uint64_t)1 << 20;
        inputs[i].data = random;
    }
}

/* ---- Blaming ------------------------------------------------------------------------------------------------ */

static bool has(const blame *b, const uint8_t *flags, value_id v, bool nan) {
    return is_asked(b, v) && flags[b->first_flag[v] + nan];
}

static bool any_has(const blame *b, const uint8_t *flags, const value_id *values, uint32_t n, bool nan) {
    for (uint32_t i = 0; i < n; i++)
        if (has(b, flags, values[i], nan)) return true;
    return false;
}

static const node *find_first(const blame *b, const uint8_t *flags, bool *is_nan) {
    for (size_t i = 0; i < b->main->n_nodes; i++) {
        const node *n = &b->main->nodes[i];
        bool inf = false, nan = false;
        for (uint32_t k = 0; k < n->n_results; k++) {
            inf |= has(b, flags, n->first_result + k, false);
            nan |= has(b, flags, n->first_result + k, true);
        }
        bool inf_before = any_has(b, flags, n->operands, n->n_operands, false);
        bool nan_before = any_has(b, flags, n->operands, n->n_operands, true);
        bool makes_nan = nan && !nan_before, makes_inf = inf && !inf_before && !nan_before && n->op != TN_OP_constant;
        if (!makes_nan && !makes_inf) continue;
        *is_nan = makes_nan;
        return n;
    }
    return NULL;
}

static void tell(const blame *b, const node *n, bool is_nan, tn_diag *diag) {
    tn_location at = {NULL, 0};
    char type[256];
    size_t length = strlen(diag->message);
    type_print(b->module->dims, graph_type(b->main, n->first_result), type, sizeof type);
    location_items(b->module, n->locations, 1, &at);
    if (n->op == TN_OP_param)
        snprintf(diag->message + length, sizeof diag->message - length, "; %s, %s, has %s in it",
                 b->main->params[attr_int(&n->attrs, ATTR_index, 0)].name, type, is_nan ? "NaN" : "an infinity");
    else
        snprintf(diag->message + length, sizeof diag->message - length, "; the first %s comes from %s, %s",
                 is_nan ? "NaN" : "infinity", op_name((tn_op)n->op), type);
    if (!at.file) return;
    diag->file = module_intern(b->t->m->module, at.file);
    diag->line = at.line;
}

void nn_blame(const tn_trainer *t, nn_run_kind kind, tn_diag *diag) {
    const nn_run *r = &t->runs[kind];
    nn_port *in = NULL, *out = NULL;
    uint64_t random[4];
    bool is_nan = false;
    blame b = {.t = t, .module = nn_train_graph(t, kind, &in, &out, NULL)};
    tn_tensor *inputs = tn_calloc((size_t)r->n_inputs + 1, sizeof *inputs);
    if (b.module && inputs) {
        b.main = module_main(b.module);
        step_back(t, r, inputs, random);
        uint8_t *flags = build_asking(&b) ? run_asking(&b, inputs, r->n_inputs) : NULL;
        const node *first = flags ? find_first(&b, flags, &is_nan) : NULL;
        if (first) tell(&b, first, is_nan, diag);
        tn_free(flags);
    }
    tn_free(b.first_flag);
    tn_free(inputs);
    tn_free(in);
    tn_free(out);
    tn_module_free(b.module);
}
