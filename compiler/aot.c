/* Ahead of time, the way as a whole (see tenon_aot.h):
 *
 *   fix sizes -> compile main for each target -> describe what callers see -> pack weights -> entries -> object, header
 */
#include "compiler/aot.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir/flops.h"
#include "ir/near.h"
#include "ir/sizes.h"
#include "runtime/diag.h"

bool aot_fail(aot_object *o, tn_status status, const char *format, ...) {
    char message[TN_DIAG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (o->diag->status == TN_OK) diag_fail(o->diag, status, "%s", message);
    return false;
}

bool aot_no_memory(aot_object *o) { return aot_fail(o, TN_ERR_MEMORY, "out of memory"); }

/* ---- What is compiled ---- */

static bool take_error(aot_object *o, const tn_module *m) {
    const tn_diag *error = tn_module_error(m);
    if (!error) return aot_no_memory(o);
    if (o->diag->status == TN_OK) diag_copy(o->diag, error);
    return false;
}

/* Weights that nobody has given values are inputs. */
static void ask_for_weights(tn_graph *g) {
    for (size_t i = 0; i < g->n_params; i++) {
        size_t bytes;
        param *p = &g->params[i];
        bool is_empty = type_static_bytes(g->module->dims, &p->type, &bytes) && bytes == 0;
        if (p->binding == BINDING_LOAD && !p->initial && !is_empty) p->binding = BINDING_RUN;
    }
}

static bool complain_of_function(aot_object *o, const tn_module *m) {
    near_names near = {.wanted = o->options->function};
    char text[200];
    for (size_t i = 0; i < m->n_graphs; i++) near_offer(&near, m->graphs[i]->name);
    return aot_fail(o, TN_ERR_ARGUMENT, "there is no function @%s%s", near.wanted, near_text(&near, text, sizeof text));
}

/* The user's module is not touched: what is compiled is a copy of the function asked for. */
static bool take_module(aot_object *o, tn_module *m) {
    const tn_aot_options *options = o->options;
    if (m->error.status != TN_OK) return take_error(o, m);
    if (options->compile && options->compile->gemm && strcmp(options->compile->gemm, "blas") == 0)
        return aot_fail(o, TN_ERR_UNSUPPORTED, "gemm is \"blas\": an object calls no library");
    tn_graph *wanted = options->function ? module_find(m, options->function) : NULL;
    if (options->function && !wanted) return complain_of_function(o, m);
    o->module = wanted ? tn_function_module(wanted) : module_clone_called(m);
    if (!o->module) return aot_no_memory(o);
    sizes_fixed sizes = {.n = 0};
    bool ok = o->module->error.status == TN_OK;
    for (int i = 0; ok && i < options->n_sizes; i++)
        ok = sizes_fix(&sizes, o->module, options->sizes[i].symbol, options->sizes[i].value);
    ok = ok && graph_fix_sizes(module_main(o->module), &sizes);
    if (!ok) return take_error(o, o->module);
    ask_for_weights(module_main(o->module));
    o->flops = module_flops(o->module);
    return o->flops != DIM_INVALID || dim_table_status(o->module->dims) != TN_ERR_MEMORY || aot_no_memory(o);
}

static bool choose_names(aot_object *o) {
    const tn_aot_options *options = o->options;
    o->model = o->module->name && *o->module->name ? o->module->name : "model";
    o->name = aot_identifier(&o->memory, options->name ? options->name : o->model, "model");
    o->verb = aot_identifier(&o->memory, options->verb ? options->verb : "run", "run");
    o->entry.name = o->name;
    o->entry.verb = o->verb;
    return (o->name && o->verb) || aot_no_memory(o);
}

/* ---- Targets ---- */

/* Loop trees go by the target: each has a text, "mlp.loops.tn", then "mlp.loops.x86-64-v3.tn". */
static bool choose_debug_text(aot_object *o, aot_compiled *v) {
    const char *path = v->options.debug_info, *end = path ? strrchr(path, '.') : NULL;
    if (!path || o->n_versions == 1) return true;
    if (!end || strchr(end, '/')) end = path + strlen(path);
    return (v->options.debug_info = arena_printf(&o->memory, "%.*s.%s%s", (int)(end - path), path, v->target, end));
}

/* "x86-64-v2,v3": each the whole name, or the end of one that begins as the first does. */
static bool list_targets(aot_object *o) {
    const char *list = o->options->compile ? o->options->compile->target : NULL, *first = NULL;
    o->n_versions = 0;
    while (!first || *list) {
        if (o->n_versions == AOT_MOST_VERSIONS)
            return aot_fail(o, TN_ERR_LIMIT, "at most %d targets", AOT_MOST_VERSIONS);
        size_t length = list ? strcspn(list, ",") : 0;
        const char *name = list ? arena_strndup(&o->memory, list, length) : "native";
        const char *end = first ? strrchr(first, '-') : NULL;
        if (name && end && name[0] == 'v')
            name = arena_printf(&o->memory, "%.*s%s", (int)(end + 1 - first), first, name);
        if (!name) return aot_no_memory(o);
        if (!first) first = name;
        aot_compiled *v = &o->versions[o->n_versions++];
        v->target = name;
        v->options = o->options->compile ? *o->options->compile : (tn_compile_options){0};
        v->options.target = list ? name : NULL;
        if (!choose_debug_text(o, v)) return aot_no_memory(o);
        if (!list) break;
        list += length + (list[length] == ',');
    }
    const tn_compile_options *all = &o->versions[0].options;
    if (o->n_versions > 1 && (all->cpu || all->features))
        return aot_fail(o, TN_ERR_ARGUMENT, "cpu and features go with one target: several targets have their own each");
    return true;
}

/* In the header's words: where the name does not say all, the CPU and what it has beyond, or less. */
static bool name_target(aot_object *o, aot_compiled *v) {
    const tn_compile_options *c = &v->options;
    if (!c->target || c->cpu || c->features)
        v->target = arena_printf(&o->memory, "%s, %s%s%s", v->target, codegen_cpu(o->codegen), c->features ? ", " : "",
                                 c->features ? c->features : "");
    return v->target != NULL;
}

static bool compile_version(aot_object *o, size_t number) {
    aot_compiled *v = &o->versions[number];
    aot_version *version = &o->entry.versions[number];
    version->prefix = arena_printf(&o->memory, "%s.%zu.", o->name, number);
    if (!version->prefix) return aot_no_memory(o);
    if (number > 0 && !codegen_add_version(o->codegen, v->options.target)) return false;
    compilation_goal goal = {.prefix = version->prefix, .is_version = true, .into = o->codegen};
    bool ok = compilation_run(&v->compiled, o->module, &v->options, &goal);
    if (v->compiled.owns_codegen) {
        o->codegen = v->compiled.codegen;
        v->compiled.owns_codegen = false;
        codegen_report_to(o->codegen, o->diag);
    }
    if (!ok) {
        if (o->diag->status == TN_OK) diag_copy(o->diag, &v->compiled.diag);
        return false;
    }
    if (!name_target(o, v)) return aot_no_memory(o);
    v->runs_here = codegen_runs_here(o->codegen);
    version->needs = codegen_needs(o->codegen);
    return true;
}

static bool compile_versions(aot_object *o) {
    if (!list_targets(o)) return false;
    o->entry.n_versions = o->n_versions;
    o->entry.versions = ARENA_ARRAY(&o->memory, aot_version, o->n_versions);
    if (!o->entry.versions) return aot_no_memory(o);
    for (size_t v = 0; v < o->n_versions; v++)
        if (!compile_version(o, v)) return false;
    return true;
}

/* ---- What comes of it ---- */

static bool take_code(aot_object *o, tn_aot *out) {
    static const codegen_form forms[] = {[TN_AOT_ASSEMBLY] = CODEGEN_ASSEMBLY, [TN_AOT_LLVM] = CODEGEN_LLVM};
    if (o->options->form != TN_AOT_OBJECT) {
        out->code = codegen_text(o->codegen, forms[o->options->form]);
        out->code_bytes = out->code ? strlen(out->code) : 0;
        return out->code != NULL;
    }
    size_t n;
    const object_file *object = codegen_build(o->codegen, NULL, &n);
    if (!object) return false;
    out->code = tn_malloc(object->size);
    if (!out->code) return aot_no_memory(o);
    memcpy(out->code, object->bytes, out->code_bytes = object->size);
    o->needs = codegen_undefined_symbols(out->code, out->code_bytes, o->diag);
    return o->needs && codegen_fill_weights(o->codegen, &o->entry, out->code, out->code_bytes);
}

static bool take_all(aot_object *o, tn_aot *out) {
    if (!take_code(o, out)) return false;
    out->header = aot_header(o);
    out->program = aot_program(o);
    out->name = tn_malloc(strlen(o->name) + 1);
    if (!out->header || !out->program || !out->name) return aot_no_memory(o);
    memcpy(out->name, o->name, strlen(o->name) + 1);
    if (!o->entry.block.is_in_file) return true;
    out->weights = o->block;
    out->weights_bytes = AOT_FILE_HEADER + o->entry.block.bytes;
    o->block = NULL;
    return true;
}

static void close_object(aot_object *o) {
    for (size_t v = 0; v < o->n_versions; v++) {
        tn_program_free(o->versions[v].described);
        compilation_end(&o->versions[v].compiled);
    }
    codegen_free(o->codegen);
    tn_module_free(o->module);
    tn_free(o->messages);
    tn_free(o->needs);
    tn_free(o->block);
    arena_free(&o->memory);
}

tn_status tn_compile_aot(tn_module *m, const tn_aot_options *options, tn_aot *out, tn_diag *diag) {
    static const tn_aot_options defaults;
    tn_diag unread, *where = diag ? diag : &unread;
    *where = (tn_diag){.status = TN_OK};
    *out = (tn_aot){0};
    if (!m) return diag_fail(where, TN_ERR_ARGUMENT, "tn_compile_aot: there is no module");
    aot_object o = {.options = options ? options : &defaults, .diag = where};
    bool ok = take_module(&o, m) && choose_names(&o) && compile_versions(&o) && aot_describe(&o) && aot_pack(&o) &&
              codegen_emit_entry(o.codegen, &o.entry) && codegen_verify(o.codegen) && take_all(&o, out);
    close_object(&o);
    if (ok) return TN_OK;
    tn_aot_free(out);
    return where->status != TN_OK ? where->status : diag_fail(where, TN_ERR_INTERNAL, "no object came of it");
}

void tn_aot_free(tn_aot *aot) {
    tn_free(aot->name);
    tn_free(aot->code);
    tn_free(aot->header);
    tn_free(aot->program);
    tn_free(aot->weights);
    *aot = (tn_aot){0};
}
