/* A compilation described for the runtime (see describe.h). */
#include "compiler/describe.h"

#include "compiler/kernel_title.h"
#include "compiler/loops/nan_looks.h"
#include "ir/flops.h"

#include <stdio.h>
#include <string.h>

void diag_copy(tn_diag *to, const tn_diag *from) {
    *to = *from;
    to->file = NULL;
    to->line = to->column = 0;
    if (from->file && from->line)
        snprintf(to->message, sizeof to->message, "%s:%d: %.900s", from->file, from->line, from->message);
    else if (from->file)
        snprintf(to->message, sizeof to->message, "%s: %.900s", from->file, from->message);
}

/* ---- Tensors ---- */

static tn_dim_info describe_dim(tn_program *p, const tn_graph *g, tn_dim d) {
    dim_table *t = g->module->dims;
    char text[256];
    dim_print(t, d, text, sizeof text);
    tn_dim_info info = {.kind = TN_DIM_EXPRESSION, .text = arena_strdup(&p->memory, text)};
    if (dim_is_const(t, d, &info.value)) info.kind = TN_DIM_CONSTANT;
    for (size_t i = 0; i < g->n_symbols; i++)
        if (g->symbols[i].dim == d) {
            info.kind = TN_DIM_SYMBOL;
            info.value = (int64_t)i;
        }
    return info;
}

static bool describe_tensor(tn_program *p, const tn_graph *g, value_id v, const char *name, tn_tensor_info *info) {
    const tn_type *type = graph_type(g, v);
    *info = (tn_tensor_info){.name = arena_strdup(&p->memory, name ? name : "value"),
                             .dtype = (tn_dtype)type->dtype,
                             .rank = type->rank,
                             .state_input = -1};
    for (int i = 0; i < type->rank; i++) {
        info->dims[i] = describe_dim(p, g, type->dims[i]);
        if (!info->dims[i].text) return false;
    }
    return info->name != NULL;
}

/* ---- Where things come from ---- */

static const char *describe_locations(tn_program *p, const tn_module *m, location_id set) {
    tn_location items[LOCATION_MAX];
    size_t n = location_items(m, set, LOCATION_MAX, items), length = 0;
    char text[1024] = "";
    for (size_t i = 0; i < n && i < LOCATION_MAX && length < sizeof text; i++) {
        const char *space = i ? " " : "";
        const char *file = items[i].file ? items[i].file : "?";
        int more = items[i].line ? snprintf(text + length, sizeof text - length, "%s%s:%d", space, file, items[i].line)
                                 : snprintf(text + length, sizeof text - length, "%s%s", space, file);
        length += more > 0 ? (size_t)more : 0;
    }
    return arena_strdup(&p->memory, text);
}

/* Where a kernel's work comes from; its constants say nothing of that. */
static location_id all_locations(const tn_graph *g) {
    location_id all = LOCATION_NONE;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (op_table[g->nodes[i].op].loop_class != CLASS_LEAF)
            all = location_union(g->module, all, g->nodes[i].locations);
    return all;
}

static bool describe_symbols(tn_program *p, const tn_graph *g) {
    p->n_symbols = (uint32_t)g->n_symbols;
    p->symbols = ARENA_ARRAY(&p->memory, tn_symbol_info, g->n_symbols + 1);
    for (size_t i = 0; p->symbols && i < g->n_symbols; i++) {
        const symbol *s = &g->symbols[i];
        p->symbols[i] = (tn_symbol_info){arena_strdup(&p->memory, dim_symbol_name(g->module->dims, s->dim)), s->low,
                                         s->high, s->divisor};
        if (!p->symbols[i].name) return false;
    }
    return p->symbols != NULL;
}

void describe_constraint(const dim_table *t, const constraint *c, char *text, size_t bytes) {
    static const char *const forms[] = {
        [RELATION_EQ] = "%s: %s = %s", [RELATION_LE] = "%s: %s <= %s", [RELATION_DIVIDES] = "%s: %s must divide %s"};
    char a[200], b[200];
    dim_print(t, c->a, a, sizeof a);
    dim_print(t, c->b, b, sizeof b);
    snprintf(text, bytes, forms[c->relation], op_name((tn_op)c->op), a, b);
}

static bool describe_constraints(tn_program *p, const tn_graph *g, const emitted_tables *t) {
    p->n_constraints = (uint32_t)t->n_constraints;
    p->constraints = ARENA_ARRAY(&p->memory, program_constraint, t->n_constraints + 1);
    for (size_t i = 0; p->constraints && i < t->n_constraints; i++) {
        const constraint *c = &t->constraints[i];
        char text[DESCRIBED_CONSTRAINT];
        describe_constraint(g->module->dims, c, text, sizeof text);
        const char *where = describe_locations(p, g->module, c->locations);
        if (!where) return false;
        p->constraints[i].message = arena_printf(&p->memory, "%s%s%s", where, *where ? ": " : "", text);
        if (!p->constraints[i].message) return false;
    }
    return p->constraints != NULL;
}

static site_kind kind_of_site(const emitted_site *s) {
    if (s->kernel) return s->is_hint ? SITE_NAN_HINT : SITE_NAN;
    return s->op == TN_OP_assert ? SITE_ASSERT : s->op == TN_OP_custom ? SITE_CUSTOM : SITE_INDEX;
}

static bool describe_nan_site(tn_program *p, const tn_module *m, const emitted_site *s, program_site *site) {
    char text[256];
    tn_op gradient_of = location_gradient_of(m, s->locations);
    type_print(m->dims, &s->type, text, sizeof text);
    site->type = arena_strdup(&p->memory, text);
    site->kernel = arena_strdup(&p->memory, s->kernel);
    if (gradient_of != TN_OP_COUNT) site->gradient_of = op_name(gradient_of);
    if (s->group != NAN_NO_GROUP) site->group = (int32_t)s->group;
    return site->type && site->kernel;
}

static bool describe_sites(tn_program *p, const tn_graph *g, const emitted_tables *t) {
    p->n_sites = (uint32_t)t->n_sites;
    p->sites = ARENA_ARRAY(&p->memory, program_site, t->n_sites + 1);
    for (size_t i = 0; p->sites && i < t->n_sites; i++) {
        const emitted_site *s = &t->sites[i];
        program_site *site = &p->sites[i];
        *site = (program_site){.kind = kind_of_site(s),
                               .group = -1,
                               .op = op_name(s->op),
                               .location = describe_locations(p, g->module, s->locations)};
        if (s->message) site->message = arena_strdup(&p->memory, s->message);
        if (!site->location || (s->message && !site->message)) return false;
        if (s->kernel && !describe_nan_site(p, g->module, s, site)) return false;
        if (site->kind == SITE_CUSTOM) {
            site->op = site->message;
            site->message = NULL;
        }
    }
    return p->sites != NULL;
}

static const tn_custom_op *find_op(const tn_custom_op *ops, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (ops[i].name && strcmp(ops[i].name, name) == 0) return &ops[i];
    return NULL;
}

void describe_custom_calls(tn_program *p, const tn_compile_options *options, const blas *products) {
    int n_blas;
    const tn_custom_op *all = blas_ops(products, &n_blas);
    for (uint32_t i = 0; i < p->n_customs; i++) {
        const tn_custom_op *op = find_op(options->customs, options->n_customs, p->customs[i].name);
        if (!op) op = find_op(all, n_blas, p->customs[i].name);
        p->customs[i].call = op ? op->call : NULL;
        p->customs[i].ctx = op ? op->ctx : NULL;
    }
}

static bool describe_customs(tn_program *p, const compilation *c) {
    const emitted_tables *t = &c->tables;
    p->n_customs = (uint32_t)t->n_customs;
    p->customs = ARENA_ARRAY(&p->memory, program_custom, t->n_customs + 1);
    for (size_t i = 0; p->customs && i < t->n_customs; i++) {
        p->customs[i] = (program_custom){.name = arena_strdup(&p->memory, t->customs[i])};
        if (!p->customs[i].name) return false;
    }
    if (p->customs) describe_custom_calls(p, c->options, c->blas);
    return p->customs != NULL;
}

static bool no_symbol(void *ctx, tn_dim leaf, int64_t *value) {
    (void)ctx, (void)leaf, (void)value;
    return false;
}

/* As tn_kernel_info has it. */
static double flops_of(const tn_graph *fused) {
    double sum = 0;
    for (size_t i = 0; i < fused->n_nodes; i++) {
        operations o;
        if (!node_count_operations(fused, &fused->nodes[i], no_symbol, NULL, &o)) return -1;
        sum += o.products + o.others;
    }
    return sum;
}

static bool describe_kernels(tn_program *p, const compilation *c, const emitted_tables *t) {
    p->n_kernels = (uint32_t)t->n_calls;
    p->kernels = ARENA_ARRAY(&p->memory, tn_kernel_info, t->n_calls + 1);
    for (size_t i = 0; p->kernels && i < t->n_calls; i++) {
        const lt_kernel *k = plan_kernel_of(&c->plan, t->calls[i])->loops;
        tn_kernel_info *info = &p->kernels[i];
        char title[KERNEL_TITLE];
        kernel_title(t->calls[i], title, sizeof title);
        *info = (tn_kernel_info){.name = arena_strdup(&p->memory, k->name),
                                 .class_name = arena_strdup(&p->memory, k->class_name),
                                 .locations = describe_locations(p, c->module, all_locations(t->calls[i])),
                                 .title = arena_strdup(&p->memory, title),
                                 .flops = flops_of(t->calls[i])};
        if (!info->name || !info->class_name || !info->locations || !info->title) return false;
    }
    return p->kernels != NULL && c->module->error.status == TN_OK; /* uniting locations may want memory */
}

/* ---- Signatures ---- */

static bool describe_signature(tn_program *p, const tn_graph *g) {
    p->inputs = ARENA_ARRAY(&p->memory, tn_tensor_info, g->n_params + 1);
    p->outputs = ARENA_ARRAY(&p->memory, tn_tensor_info, g->n_results + 1);
    if (!p->inputs || !p->outputs) return false;
    for (size_t r = 0; r < g->n_results; r++)
        if (!describe_tensor(p, g, g->results[r].value, g->results[r].name, &p->outputs[p->n_outputs++])) return false;
    for (size_t i = 0; i < g->n_params; i++) {
        if (g->params[i].binding == BINDING_LOAD) continue;
        for (size_t r = 0; r < g->n_results; r++)
            if (g->results[r].state_param == (int32_t)i) p->outputs[r].state_input = (int32_t)p->n_inputs;
        if (!describe_tensor(p, g, g->params[i].value, g->params[i].name, &p->inputs[p->n_inputs++])) return false;
    }
    return true;
}

/* Where runs, and `prepare`, look for NaN before they begin. */
static bool describe_nan_inputs(tn_program *p, const tn_graph *g) {
    if (!g->nan_looks) return true;
    uint32_t n = 0;
    p->nan_inputs = ARENA_ARRAY(&p->memory, uint32_t, g->n_params + 1);
    if (!p->nan_inputs) return false;
    for (size_t i = 0; i < g->n_params; i++) {
        if (g->params[i].binding == BINDING_LOAD) continue;
        if (dtype_is_float(g->params[i].type.dtype) && g->nan_looks[g->params[i].value].use == NAN_ALWAYS)
            p->nan_inputs[p->n_nan_inputs++] = n;
        n++;
    }
    return true;
}

/* Where weight `name` of main comes from: a result of prepare, or the raw weight of that name. */
static program_packed find_packed(const tn_graph *raw, bool is_prepare, const char *name) {
    for (size_t r = 0; is_prepare && r < raw->n_results; r++)
        if (strcmp(raw->results[r].name, name) == 0)
            return (program_packed){.kind = PACKED_PREPARED, .index = (uint32_t)r};
    uint32_t n = 0;
    for (size_t i = 0; i < raw->n_params; i++) {
        if (!is_prepare && raw->params[i].binding != BINDING_LOAD) continue;
        if (strcmp(raw->params[i].name, name) == 0) break;
        n++;
    }
    return (program_packed){.kind = PACKED_RAW, .index = n};
}

/* Raw weights: those of prepare when there is one, else main's own, used as they are. */
static bool describe_weights(tn_program *p, const compilation *c) {
    const tn_graph *raw = c->prepare ? c->prepare : c->main;
    const emitted_tables *t = &c->tables;
    p->weights = ARENA_ARRAY(&p->memory, program_weight, raw->n_params + 1);
    p->packed = ARENA_ARRAY(&p->memory, program_packed, c->main->n_params + t->n_constants + 1);
    if (!p->weights || !p->packed) return false;
    for (size_t i = 0; i < raw->n_params; i++) {
        const param *w = &raw->params[i];
        if (!c->prepare && w->binding != BINDING_LOAD) continue;
        program_weight *weight = &p->weights[p->n_weights++];
        weight->data = w->initial ? w->initial->data : NULL;
        weight->looks_for_nan =
            raw->nan_looks && dtype_is_float(w->type.dtype) && raw->nan_looks[w->value].use == NAN_ALWAYS;
        if (!describe_tensor(p, raw, w->value, w->name, &weight->info)) return false;
    }
    for (size_t i = 0; i < c->main->n_params; i++)
        if (c->main->params[i].binding == BINDING_LOAD)
            p->packed[p->n_packed++] = find_packed(raw, c->prepare != NULL, c->main->params[i].name);
    for (size_t i = 0; i < t->n_constants; i++)
        p->packed[p->n_packed++] = (program_packed){.kind = PACKED_CONSTANT, .data = t->constants[i]->data};
    return true;
}

/* Large constants that prepare itself reads: it has no weights that they could follow. */
static bool describe_constants(tn_program *p, const emitted_tables *t) {
    p->packed = ARENA_ARRAY(&p->memory, program_packed, t->n_constants + 1);
    for (size_t i = 0; p->packed && i < t->n_constants; i++)
        p->packed[p->n_packed++] = (program_packed){.kind = PACKED_CONSTANT, .data = t->constants[i]->data};
    return p->packed != NULL;
}

bool describe_program(tn_program *p, const compilation *c) {
    dim_is_const(c->module->dims, plan_of(&c->plan, c->main)->live_bytes, &p->live_bytes);
    return describe_signature(p, c->main) && describe_nan_inputs(p, c->main) && describe_symbols(p, c->main) &&
           describe_constraints(p, c->main, &c->tables) && describe_sites(p, c->main, &c->tables) &&
           describe_customs(p, c) && describe_kernels(p, c, &c->tables) && describe_weights(p, c);
}

bool describe_prepare(tn_program *p, const compilation *c) {
    return describe_signature(p, c->prepare) && describe_symbols(p, c->prepare) &&
           describe_constraints(p, c->prepare, &c->prepare_tables) &&
           describe_sites(p, c->prepare, &c->prepare_tables) && describe_kernels(p, c, &c->prepare_tables) &&
           describe_constants(p, &c->prepare_tables);
}
