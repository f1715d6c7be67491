/* Exporting ONNX models (see tenon_onnx.h).
 *
 * in:  a module
 * out: a model whose graph has the inputs, outputs and names of the module's main function
 * law: the module is not changed: what has no op of its own in ONNX is said by others in a copy of it (export_lower.c),
 *      which is then written node by node
 */
#include "frontends/onnx/export.h"

#include "frontends/onnx/import.h"

#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_OPSET = 21, MOST_DEPTH = 400, MOST_INSIDE_BYTES = 1500000000 };

/* ---- Functions -------------------------------------------------------------------------------------- */

/* Written when somebody asks for it (value_label). */
static bool is_put_off(const node *n) { return op_table[n->op].loop_class == CLASS_LEAF || n->op == TN_OP_broadcast; }

tn_dtype work_dtype(const export_row *row, tn_dtype dtype) {
    static const tn_dtype wider[TN_DTYPE_COUNT] = {
        [TN_BOOL] = TN_U8, [TN_I8] = TN_I16,  [TN_U8] = TN_I16,  [TN_I16] = TN_I32,  [TN_U16] = TN_I32,
        [TN_I32] = TN_I64, [TN_U32] = TN_I64, [TN_F16] = TN_F32, [TN_BF16] = TN_F32, [TN_F32] = TN_F64,
    };
    if (dtype_in(row->runs, dtype)) return dtype;
    for (tn_dtype wide = wider[dtype]; wide != TN_BOOL; wide = wider[wide])
        if (dtype_in(row->runs, wide)) return wide;
    return dtype_in(row->says, dtype) ? dtype : TN_DTYPE_INVALID;
}

static void write_node(writing *w) {
    if (!w->row->write) {
        write_error(w, TN_ERR_UNSUPPORTED, "ONNX cannot say it: %s", w->row->why ? w->row->why : "it has no such op");
        return;
    }
    w->dtype = w->work = TN_DTYPE_INVALID;
    if (w->row->typed >= 0 && (uint32_t)w->row->typed < w->n->n_operands) {
        w->dtype = (tn_dtype)operand_type(w, (uint32_t)w->row->typed)->dtype;
        w->work = work_dtype(w->row, w->dtype);
        if (w->work == TN_DTYPE_INVALID) {
            write_error(w, TN_ERR_UNSUPPORTED, "ONNX's %s does not take %s", w->row->onnx, tn_dtype_name(w->dtype));
            return;
        }
    }
    w->row->write(w);
}

static const uint32_t *count_uses(exporter *x, const tn_graph *g) {
    uint32_t *counted = graph_count_uses(g), *uses = ARENA_ARRAY(&x->memory, uint32_t, g->n_values + 1);
    if (counted && uses) memcpy(uses, counted, g->n_values * sizeof *uses);
    if (!counted || !uses) export_no_memory(x);
    tn_free(counted);
    return uses;
}

inlined *export_function(exporter *x, block *b, const tn_graph *g, label *const *arguments, const inlined *caller,
                         const tn_dim *symbols) {
    inlined *f = ARENA_NEW(&x->memory, inlined);
    label **values = ARENA_ARRAY(&x->memory, label *, g->n_values + 1);
    const uint32_t *uses = count_uses(x, g);
    if (!f || !values || !uses) {
        export_no_memory(x);
        return NULL;
    }
    *f = (inlined){.caller = caller, .g = g, .b = b, .values = values, .uses = uses, .symbols = symbols};
    f->depth = caller ? caller->depth + 1 : 0;
    if (f->depth > MOST_DEPTH) {
        module_error(x->module, TN_ERR_LIMIT, LOCATION_NONE, "functions call each other more than %d deep", MOST_DEPTH);
        return NULL;
    }
    for (size_t i = 0; i < g->n_params; i++) values[g->params[i].value] = arguments[i];
    for (size_t i = 0; i < g->n_nodes && !export_failed(x); i++) {
        const node *n = &g->nodes[i];
        if (is_put_off(n)) continue;
        write_node(&(writing){.x = x, .b = b, .f = f, .n = n, .row = &export_rows[n->op]});
    }
    return export_failed(x) ? NULL : f;
}

/* ---- The main function ----------------------------------------------------------------------------------- */

static label *add_parameter(exporter *x, const param *p) {
    if (p->type.dtype == TN_TOKEN) return NULL;
    const char *name = name_take(x, p->name);
    if (p->initial) return weight_label(x, p->initial, name);
    label *l = label_new(x, x->blocks);
    l->text = name;
    block_declare(x, &x->blocks->inputs, l, &p->type);
    return l;
}

static const char *result_name(exporter *x, const char *wanted) {
    char other[300];
    const char *name = name_reserve(x, wanted);
    if (name) return name;
    snprintf(other, sizeof other, "%.200s_out", wanted);
    return name_take(x, other);
}

static label **add_parameters(exporter *x, const tn_graph *g) {
    label **labels = ARENA_ARRAY(&x->memory, label *, g->n_params + 1);
    if (!labels) export_no_memory(x);
    for (size_t i = 0; labels && i < g->n_params; i++) labels[i] = add_parameter(x, &g->params[i]);
    return labels;
}

/* The weights of main by name, after the pass hoist: what the function prepare makes of its own, and those of its own
 * that it passes by. */
typedef struct prepared {
    const tn_graph *g; /* NULL: there is none */
    label **parameters;
    inlined *f;
} prepared;

static bool export_prepare(exporter *x, block *b, prepared *p) {
    p->parameters = add_parameters(x, p->g);
    p->f = export_failed(x) ? NULL : export_function(x, b, p->g, p->parameters, NULL, NULL);
    return p->f != NULL;
}

static bool is_prepared(const prepared *p, const param *wanted) {
    return p->g && wanted->binding == BINDING_LOAD && !wanted->initial;
}

static label *prepared_weight(exporter *x, const prepared *p, const param *wanted) {
    for (size_t r = 0; r < p->g->n_results; r++)
        if (strcmp(p->g->results[r].name, wanted->name) == 0) return value_label(x, p->f, p->g->results[r].value);
    for (size_t i = 0; i < p->g->n_params; i++)
        if (strcmp(p->g->params[i].name, wanted->name) == 0) return p->parameters[i];
    return add_parameter(x, wanted);
}

/* Inputs come before the weights that prepare takes. */
static bool add_arguments(exporter *x, block *b, const tn_graph *g, label **arguments) {
    prepared p = {.g = module_find(x->module, "prepare")};
    if (p.g == g) p.g = NULL;
    for (size_t i = 0; i < g->n_params; i++)
        if (!is_prepared(&p, &g->params[i])) arguments[i] = add_parameter(x, &g->params[i]);
    if (p.g && !export_prepare(x, b, &p)) return false;
    for (size_t i = 0; i < g->n_params && !export_failed(x); i++)
        if (is_prepared(&p, &g->params[i])) arguments[i] = prepared_weight(x, &p, &g->params[i]);
    return !export_failed(x);
}

static bool export_main(exporter *x) {
    tn_graph *g = module_main(x->module);
    block *b = block_new(x, NULL, x->module->name && *x->module->name ? x->module->name : "main");
    label **arguments = ARENA_ARRAY(&x->memory, label *, g->n_params + 1);
    const char **names = ARENA_ARRAY(&x->memory, const char *, g->n_results + 1);
    if (!b || !arguments || !names) return export_no_memory(x);
    if (!add_arguments(x, b, g, arguments)) return false;
    for (size_t i = 0; i < g->n_results; i++) names[i] = result_name(x, g->results[i].name);
    inlined *f = export_failed(x) ? NULL : export_function(x, b, g, arguments, NULL, NULL);
    for (size_t i = 0; f && i < g->n_results && !export_failed(x); i++) {
        const tn_type *type = graph_type(g, g->results[i].value);
        if (type->dtype == TN_TOKEN) continue;
        label *l = block_own(x, b, value_label(x, f, g->results[i].value), &b->outputs);
        l->text = names[i];
        block_declare(x, &b->outputs, l, type);
    }
    return !export_failed(x);
}

/* ---- The model ---------------------------------------------------------------------------------------------- */

/* The version of the format that came with an opset: what readers of their time take. */
static int64_t format_version(int opset) { return opset <= 18 ? 8 : opset <= 20 ? 9 : opset <= 22 ? 10 : 11; }

static bool fill_model(exporter *x, const tn_module *m) {
    onnx_opset *opsets = ARENA_ARRAY(&x->memory, onnx_opset, 2);
    if (!opsets) return export_no_memory(x);
    opsets[0] = (onnx_opset){.domain = "", .version = x->options.opset};
    opsets[1] = (onnx_opset){.domain = TN_ONNX_KERNEL_DOMAIN, .version = 1};
    x->model.ir_version = format_version(x->options.opset);
    x->model.producer_name = "tenon";
    x->model.opset_imports.items = opsets;
    x->model.opset_imports.count = x->functions ? 2 : 1;
    x->model.metadata_props = import_metadata(m);
    x->model.graph = x->blocks->graph;
    return blocks_finish(x) && export_fill_functions(x);
}

static tn_status open_export(exporter *x, const tn_module *m, const tn_onnx_write_options *options, tn_diag *diag) {
    *x = (exporter){
        .source = m,
        .options = options ? *options : (tn_onnx_write_options){0},
    };
    if (!m) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no module to write");
    if (x->options.opset == 0) x->options.opset = DEFAULT_OPSET;
    if (x->options.most_inside_bytes == 0) x->options.most_inside_bytes = MOST_INSIDE_BYTES;
    if (x->options.opset < TN_ONNX_LEAST_OPSET || x->options.opset > TN_ONNX_MOST_OPSET)
        return diag_fail(diag, TN_ERR_ARGUMENT, "opset %d cannot be written: it must be %d to %d", x->options.opset,
                         TN_ONNX_LEAST_OPSET, TN_ONNX_MOST_OPSET);
    if (m->error.status != TN_OK) {
        if (diag) *diag = m->error;
        return m->error.status;
    }
    if (!module_main(m)) return diag_fail(diag, TN_ERR_ARGUMENT, "the module has no function to write");
    /* A copy shares the constants of its source, whose references it counts: nothing else of it changes. */
    x->module = module_clone((tn_module *)m);
    return x->module ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
}

static tn_status close_export(exporter *x, tn_status status) {
    if (x->module) tn_module_free(x->module);
    tn_free(x->weights.items);
    arena_free(&x->memory);
    return status;
}

/* A dim that could not be made for want of memory shows as an invalid size at first. */
static void blame_memory(exporter *x) {
    if (dim_table_status(export_dims(x)) != TN_ERR_MEMORY) return;
    x->module->error.status = TN_OK;
    export_no_memory(x);
}

/* What went wrong, as the caller sees it. The copy and its texts go; the file's name is one of the source's too. */
static tn_status failure(const exporter *x, const tn_module *m, tn_diag *diag) {
    if (diag) {
        *diag = x->module->error;
        diag->file = module_intern((tn_module *)m, diag->file);
    }
    return x->module->error.status;
}

static tn_status make_model(exporter *x, const tn_module *m, const tn_onnx_write_options *options, tn_diag *diag) {
    tn_status status = open_export(x, m, options, diag);
    if (status != TN_OK || !x->module) return status;
    if (!export_failed(x) && export_lower(x) && export_main(x) && fill_model(x, m)) return TN_OK;
    blame_memory(x);
    return failure(x, m, diag);
}

tn_status tn_onnx_write(const tn_module *m, const char *path, const tn_onnx_write_options *options, tn_diag *diag) {
    exporter x;
    if (!path) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no path to write to");
    tn_status status = make_model(&x, m, options, diag);
    if (status == TN_OK) status = export_to_file(&x, path, diag);
    return close_export(&x, status);
}

tn_status tn_onnx_write_memory(const tn_module *m, void **bytes, size_t *n, const tn_onnx_write_options *options,
                               tn_diag *diag) {
    exporter x;
    if (!bytes || !n) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no place for the model's bytes");
    *bytes = NULL;
    *n = 0;
    tn_status status = make_model(&x, m, options, diag);
    if (status == TN_OK) status = export_to_memory(&x, bytes, n, diag);
    return close_export(&x, status);
}

void tn_onnx_free(void *bytes) { tn_free(bytes); }
