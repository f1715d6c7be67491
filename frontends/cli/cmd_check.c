/* tenon check: what a model is, what it costs, and whether it is sound. */
#include "frontends/cli/commands.h"
#include "frontends/cli/json.h"
#include "frontends/cli/model.h"
#include "ir/flops.h"
#include "ir/op.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>

/* ---- Costs ---- */

typedef struct costs {
    tn_dim flops;
    int64_t parameters, parameter_bytes;
    int counts[TN_OP_COUNT];
} costs;

static void add_weight(costs *c, const tn_type *type, size_t bytes) {
    int64_t elements = (int64_t)(bytes / (tn_dtype_bits((tn_dtype)type->dtype) / 8));
    c->parameters += elements;
    c->parameter_bytes += (int64_t)bytes;
}

/* False: out of memory. */
static bool count(tn_module *m, costs *c) {
    *c = (costs){.flops = module_flops(m)};
    if (c->flops == DIM_INVALID && dim_table_status(m->dims) == TN_ERR_MEMORY) return false;
    for (size_t i = 0; i < m->n_graphs; i++) {
        tn_graph *g = m->graphs[i];
        for (size_t k = 0; k < g->n_nodes; k++) {
            const node *n = &g->nodes[k];
            if (n->op != TN_OP_param) c->counts[n->op]++;
            if (n->op == TN_OP_constant && attr_find(&n->attrs, ATTR_value)->data->type.rank > 0)
                add_weight(c, &attr_find(&n->attrs, ATTR_value)->data->type,
                           attr_find(&n->attrs, ATTR_value)->data->bytes);
        }
    }
    tn_graph *g = tn_module_main(m);
    for (size_t i = 0; i < g->n_params; i++) {
        size_t bytes;
        const tn_type *type = graph_type(g, g->params[i].value);
        if (g->params[i].binding == BINDING_LOAD && type_static_bytes(m->dims, type, &bytes))
            add_weight(c, type, bytes);
    }
    return true;
}

/* ---- Texts ---- */

static const char *type_text(const tn_graph *g, value_id v, char *text, size_t bytes) {
    type_print(g->module->dims, graph_type(g, v), text, bytes);
    return text;
}

static void print_sizes(const tn_graph *g, const tn_exec *exec) {
    for (size_t i = 0; i < g->n_symbols; i++)
        printf("%s%s = %lld", i ? ", " : " at ", dim_symbol_name(g->module->dims, g->symbols[i].dim),
               (long long)tn_exec_symbol(exec, (int)i));
}

static int print_text(const session *s, const costs *c, bool is_bound) {
    const tn_graph *g = s->data.main;
    char text[400];
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].binding != BINDING_LOAD)
            printf("input   %s: %s\n", g->params[i].name, type_text(g, g->params[i].value, text, sizeof text));
    for (size_t i = 0; i < g->n_results; i++)
        printf("output  %s: %s\n", g->results[i].name, type_text(g, g->results[i].value, text, sizeof text));
    for (size_t i = 0; i < g->n_symbols; i++) {
        const symbol *y = &g->symbols[i];
        printf("symbol  %s", dim_symbol_name(g->module->dims, y->dim));
        if (y->low > 0 || y->high < INT64_MAX) printf(" in [%lld, %lld]", (long long)y->low, (long long)y->high);
        if (y->divisor > 1) printf(", %lld divides it", (long long)y->divisor);
        printf("\n");
    }
    printf("ops    ");
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (c->counts[op]) printf(" %s:%d", op_name((tn_op)op), c->counts[op]);
    dim_print(g->module->dims, c->flops, text, sizeof text);
    printf("\nparameters  %lld (%lld bytes)\nflops       %s\n", (long long)c->parameters, (long long)c->parameter_bytes,
           text);
    printf("kernels     %d\n", tn_program_n_kernels(s->program));
    if (is_bound) {
        printf("arena       %zu bytes", tn_exec_arena_bytes(s->exec));
        print_sizes(g, s->exec);
        printf("\n");
    } else
        printf("arena       unknown for these sizes (see --set): %s\n", tn_exec_error(s->exec)->message);
    printf("sound: every op is supported\n");
    return EXIT_DONE;
}

static json_t *tensors_json(const tn_graph *g, bool inputs) {
    json_t *list = json_array();
    char text[400];
    size_t n = inputs ? g->n_params : g->n_results;
    for (size_t i = 0; i < n; i++) {
        if (inputs && g->params[i].binding == BINDING_LOAD) continue;
        value_id v = inputs ? g->params[i].value : g->results[i].value;
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", inputs ? g->params[i].name : g->results[i].name,
                                              "type", type_text(g, v, text, sizeof text)));
    }
    return list;
}

static int write_json(const session *s, const costs *c, bool is_bound) {
    const tn_graph *g = s->data.main;
    json_t *ops = json_object(), *symbols = json_array();
    char flops[400];
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (c->counts[op]) json_object_set_new(ops, op_name((tn_op)op), json_integer(c->counts[op]));
    for (size_t i = 0; i < g->n_symbols; i++)
        json_array_append_new(symbols, json_string(dim_symbol_name(g->module->dims, g->symbols[i].dim)));
    dim_print(g->module->dims, c->flops, flops, sizeof flops);
    json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:i}", "inputs", tensors_json(g, true), "outputs",
                            tensors_json(g, false), "symbols", symbols, "ops", ops, "parameters",
                            (json_int_t)c->parameters, "parameter_bytes", (json_int_t)c->parameter_bytes, "flops",
                            flops, "kernels", tn_program_n_kernels(s->program));
    json_object_set_new(all, "arena_bytes",
                        is_bound ? json_integer((json_int_t)tn_exec_arena_bytes(s->exec)) : json_null());
    return print_json(all);
}

/* ---- The command ---- */

/* Binds sizes as a run would, for the arena's; *is_bound: the sizes are legal. */
static int bind_sizes(session *s, bool *is_bound) {
    int n;
    tn_tensor *inputs = run_data_tensors(&s->data, &n);
    tn_status status = inputs ? tn_exec_bind(s->exec, inputs, n) : TN_ERR_MEMORY;
    tn_free(inputs);
    *is_bound = status == TN_OK;
    return inputs && (*is_bound || tn_exec_error(s->exec)) ? EXIT_DONE : report_text(s->path, "out of memory");
}

int command_check(const arguments *a) {
    session s;
    costs c;
    bool is_bound;
    int status = session_load(&s, a, FILL_NONE);
    if (!status) status = session_compile(&s, false);
    if (!status) status = bind_sizes(&s, &is_bound);
    if (!status) {
        status = !count(s.module, &c) ? report_text(s.path, "out of memory")
                                      : (GIVEN(a, json) ? write_json : print_text)(&s, &c, is_bound);
    }
    session_close(&s);
    return status;
}
