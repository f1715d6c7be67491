/* From a compiled object to a program: linked into this process, described, sealed. */
#include "compiler/compile.h"

#include "compiler/describe.h"
#include "compiler/linked.h"
#include "compiler/watch.h"
#include "runtime/alloc.h"
#include "runtime/program.h"

#include <stdio.h>
#include <string.h>

static bool no_memory(compilation *c) {
    if (c->diag.status == TN_OK) {
        c->diag.status = TN_ERR_MEMORY;
        snprintf(c->diag.message, sizeof c->diag.message, "out of memory");
    }
    return false;
}

static void drop_pages(void *ctx) { module_drop_pages(ctx); }

/* Bytes of the weights and large constants that runs read. */
static size_t weight_bytes(const compilation *c) {
    size_t all = 0, bytes;
    for (size_t i = 0; i < c->main->n_params; i++)
        if (c->main->params[i].binding == BINDING_LOAD &&
            type_static_bytes(c->module->dims, &c->main->params[i].type, &bytes))
            all += bytes;
    for (size_t i = 0; i < c->tables.n_constants; i++) all += c->tables.constants[i]->bytes;
    return all;
}

/* By now the code is linked, and all of it described; while weights are packed, a program needs most memory. */
static void make_room(compilation *c) {
    enum { MANY_WEIGHTS = 8 << 20 }; /* of fewer, a program needs most while it is compiled */
    bool has_many = weight_bytes(c) >= MANY_WEIGHTS;
    compilation_drop_code(c);
    module_keep_data(c->module);
    tn_return_freed();
    if (has_many) codegen_return_pages();
}

static bool describe(const compilation *c, tn_program *p) {
    if (!describe_program(p, c)) return false;
    if (!c->prepare) return true;
    p->prepare = program_new("prepare");
    return p->prepare && describe_prepare(p->prepare, c);
}

static bool link_program(compilation *c, linked_code *linked, tn_program *p) {
    double begin = watch_now_ms();
    if (!linked_code_link(linked, c->objects, c->n_objects, c->options->perf_map, p, &c->diag)) return false;
    watch_tell(c->options, "link", begin);
    return linked_code_find(linked, "", p, &c->diag) &&
           (!p->prepare || linked_code_find(linked, "prepare_", p->prepare, &c->diag));
}

static bool make_program(compilation *c, program_cache *cache, linked_code *linked, tn_program *p) {
    if (!describe(c, p) || !link_program(c, linked, p)) return no_memory(c);
    p->drop_pages = drop_pages;
    p->drop_pages_ctx = linked->module;
    program_cache_take(cache, p, c);
    make_room(c);
    tn_program_set_pool(p, c->options->pool); /* sealing packs the weights, on the pool too */
    double begin = watch_now_ms();
    if (program_seal(p, &c->diag) != TN_OK) return false;
    watch_tell(c->options, "prepare", begin);
    program_cache_store(cache, p);
    return true;
}

tn_program *compile_program(compilation *c, program_cache *cache) {
    linked_code *linked;
    tn_program *p = linked_code_program(c->module->name, &linked);
    if (!p) {
        no_memory(c);
        return NULL;
    }
    linked->module = module_retain(c->module);
    if (!make_program(c, cache, linked, p)) {
        tn_program_free(p);
        return NULL;
    }
    linked->blas = c->blas;
    c->blas = NULL;
    return p;
}

/* An error that the next compilation does not meet: it may have other options. */
static void tell_module(tn_module *m, const tn_diag *error) {
    m->error_is_passing |= m->error.status == TN_OK;
    module_error_at(m, error->status, error->file, error->line, error->column, "%s", error->message);
}

static bool is_sound(tn_module *m) {
    module_end_passing_error(m);
    return m->error.status == TN_OK;
}

/* When the cache has none. */
static tn_program *compile(tn_module *m, const tn_compile_options *options, program_cache *cache) {
    compilation c;
    tn_program *p = NULL;
    if (compilation_run(&c, m, options, &(compilation_goal){.prefix = ""}) && codegen_runs_here(c.codegen))
        p = compile_program(&c, cache);
    else if (c.diag.status == TN_OK) {
        const tn_compile_options *o = c.options;
        c.diag.status = TN_ERR_ARGUMENT;
        snprintf(c.diag.message, sizeof c.diag.message, "code for %.80s%s%.80s%s%.200s cannot run on this machine",
                 o->target ? o->target : "native", o->cpu ? " " : "", o->cpu ? o->cpu : "", o->features ? " " : "",
                 o->features ? o->features : "");
    }
    if (!p) tell_module(m, &c.diag);
    compilation_end(&c);
    return p;
}

tn_program *tn_compile_module(tn_module *m, const tn_compile_options *options) {
    static const tn_compile_options defaults;
    program_cache cache;
    if (!m) return NULL;
    if (!options) options = &defaults;
    if (!is_sound(m)) return NULL;
    program_cache_open(&cache, m, options);
    tn_program *p = program_cache_load(&cache, m);
    if (!p) p = compile(m, options, &cache);
    program_cache_close(&cache);
    return p;
}

/* Any function but main is compiled as the main function of a module of its own. */
tn_program *tn_compile(tn_graph *g, const tn_compile_options *options) {
    tn_module *m = tn_graph_module(g);
    if (!m || g == module_main(m)) return tn_compile_module(m, options);
    if (!is_sound(m)) return NULL;
    tn_module *own = tn_function_module(g);
    tn_program *p = tn_compile_module(own, options);
    const tn_diag *error = tn_module_error(own);
    if (error) tell_module(m, error);
    if (!own) module_no_memory(m);
    tn_module_free(own);
    return p;
}

tn_status tn_compile_object(tn_module *m, const tn_compile_options *options, const char *prefix, void **object,
                            size_t *bytes, tn_diag *diag) {
    compilation c;
    *object = NULL;
    *bytes = 0;
    if (compilation_run(&c, m, options, &(compilation_goal){.prefix = prefix ? prefix : "", .one_object = true})) {
        *object = tn_malloc(c.objects->size);
        if (*object)
            memcpy(*object, c.objects->bytes, *bytes = c.objects->size);
        else
            no_memory(&c);
    }
    tn_status status = c.diag.status;
    if (diag) diag_copy(diag, &c.diag);
    compilation_end(&c);
    return status;
}

char *tn_compile_text(tn_module *m, const tn_compile_options *options, const char *stage, const char *data_path,
                      tn_diag *diag) {
    compilation c;
    char *text = NULL;
    bool is_stage = false;
    for (const char *const *name = tn_stage_names(); *name; name++)
        is_stage |= strcmp(*name, stage) == 0 && strcmp(stage, "object") != 0;
    if (!is_stage) {
        if (diag) {
            *diag = (tn_diag){.status = TN_ERR_ARGUMENT};
            snprintf(diag->message, sizeof diag->message, "there is no stage \"%s\"", stage);
        }
        return NULL;
    }
    compilation_goal goal = {.prefix = "", .last = stage, .text = &text, .data_path = data_path};
    if (compilation_run(&c, m, options, &goal) && !text) no_memory(&c);
    if (diag) diag_copy(diag, &c.diag);
    compilation_end(&c);
    return text;
}
