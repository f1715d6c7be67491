/* The cache of programs (see cache.h), and what users ask of it. */
#include "compiler/cache.h"

#include "compiler/describe.h"
#include "compiler/linked.h"
#include "compiler/watch.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKED_SHARE = 4 }; /* of the cache that one program's packed weights may have: a quarter */

static void warn(const program_cache *k, tn_diag *diag) {
    diag->file = k->folder.path[0] ? k->folder.path : NULL;
    if (k->options->warn) k->options->warn(k->options->warn_ctx, diag);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------- */

/* Texts of stages, and the verifier after each, are asked for to see a compilation; debug information goes with a text. */
static bool is_asked_for(const tn_compile_options *o) {
    if (o->watch_text || o->verify_each || o->debug_info) return false;
    const char *folder = secure_getenv("TENON_CACHE_DIR");
    return o->cache ? strcmp(o->cache, "on") == 0 : folder && *folder;
}

static bool make_key(program_cache *k, const tn_module *m) {
    codegen_target target = {k->options->target, k->options->cpu, k->options->features, k->options->freestanding};
    char *machine = tn_malloc(CODEGEN_IDENTITY);
    bool ok = machine && codegen_identity(&target, machine, CODEGEN_IDENTITY) &&
              cache_key(&k->key, &k->data, m, k->options, machine);
    tn_free(machine);
    return ok;
}

/* The key has read all constants. Where an entry has them packed, runs read none: their pages go before the entry's come,
 * so that not both are in memory. */
static void drop_read_pages(const program_cache *k, const tn_module *m) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < k->data.n_constants; i++) bytes += k->data.constants[i]->bytes;
    if (bytes <= k->limit / PACKED_SHARE) module_drop_pages(m);
}

void program_cache_open(program_cache *k, const tn_module *m, const tn_compile_options *options) {
    tn_diag diag = {0};
    *k = (program_cache){.options = options, .folder.descriptor = -1, .begin_ms = watch_now_ms()};
    if (!is_asked_for(options)) return;
    k->limit = cache_limit(options->cache_bytes);
    if (cache_folder_open(&k->folder, true, &diag) != TN_OK)
        warn(k, &diag);
    else if ((k->is_on = make_key(k, m)))
        drop_read_pages(k, m);
}

void program_cache_close(program_cache *k) {
    cache_folder_close(&k->folder);
    module_data_free(&k->data);
    image_free(&k->image);
}

/* ---- Loading --------------------------------------------------------------------------------------------------------- */

static void drop_pages(void *ctx) { module_drop_pages(ctx); }

/* The program of an image that was read. */
static bool complete(const program_cache *k, tn_program *p, linked_code *linked, const image_content *content,
                     tn_module *m, tn_diag *diag) {
    const tn_compile_options *o = k->options;
    if (!linked_code_link(linked, content->objects, content->n_objects, o->perf_map, p, diag) ||
        !linked_code_find(linked, "", p, diag) ||
        (content->has_prepare && !linked_code_find(linked, "prepare_", p->prepare, diag)))
        return false;
    describe_custom_calls(p, o, linked->blas);
    if (content->reads_module || content->has_prepare) linked->module = module_retain(m);
    if (content->has_prepare) {
        p->drop_pages = drop_pages;
        p->drop_pages_ctx = m;
    }
    if (!content->reads_map) cache_map_end(&linked->map);
    tn_program_set_pool(p, o->pool);
    return program_seal(p, diag) == TN_OK;
}

/* NULL with *diag: why; one of TN_ERR_PARSE is damage. */
static tn_program *load(const program_cache *k, cache_map *map, tn_module *m, tn_diag *diag) {
    linked_code *linked;
    image_content content;
    tn_program *p = linked_code_program(m->name, &linked);
    if (!p) {
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    linked->map = *map;
    *map = (cache_map){0};
    const char *wrong = image_read(&linked->map, &k->key, &k->data, p, &content);
    if (wrong)
        diag_fail(diag, *wrong ? TN_ERR_PARSE : TN_ERR_MEMORY, "%s", wrong);
    else if (k->options->gemm && strcmp(k->options->gemm, "blas") == 0)
        linked->blas = blas_open(diag);
    bool ok = diag->status == TN_OK && complete(k, p, linked, &content, m, diag);
    tn_free(content.objects);
    if (ok) return p;
    tn_program_free(p);
    return NULL;
}

/* What a compilation would not meet must be the entry's fault. */
static bool is_damage(tn_status status) { return status == TN_ERR_PARSE || status == TN_ERR_INTERNAL; }

tn_program *program_cache_load(program_cache *k, tn_module *m) {
    tn_diag diag = {0};
    cache_map map;
    if (!k->is_on || !cache_folder_read(&k->folder, &k->key, &map)) return NULL;
    tn_program *p = load(k, &map, m, &diag);
    if (!p && is_damage(diag.status)) {
        tn_diag told;
        diag_fail(&told, diag.status, "an entry is damaged and will be made again: %.800s", diag.message);
        cache_folder_remove(&k->folder, &k->key);
        warn(k, &told);
    }
    if (p) watch_tell(k->options, "cache", k->begin_ms);
    return p;
}

/* ---- Storing ------------------------------------------------------------------------------------------------------------ */

void program_cache_take(program_cache *k, tn_program *p, const compilation *c) {
    if (k->is_on) k->is_on = image_make(&k->image, p, c, &k->data, k->limit / PACKED_SHARE);
}

void program_cache_store(program_cache *k, const tn_program *p) {
    double begin = watch_now_ms();
    tn_diag diag = {0};
    if (!k->is_on || image_bytes(&k->image) > k->limit) return;
    image_take_packed(&k->image, p);
    if (image_write(&k->image, &k->folder, &k->key, k->limit, &diag) != TN_OK) warn(k, &diag);
    watch_tell(k->options, "store", begin);
}

/* ---- Public --------------------------------------------------------------------------------------------------------------- */

tn_status tn_cache_stats(tn_cache_info *info, tn_diag *diag) {
    cache_folder folder;
    cache_totals totals = {0};
    tn_status status = cache_folder_open(&folder, false, diag);
    if (folder.descriptor >= 0 && !cache_folder_total(&folder, &totals))
        status = diag_fail(diag, TN_ERR_IO, "the folder cannot be read");
    *info = (tn_cache_info){.entries = totals.entries, .bytes = totals.bytes, .limit_bytes = cache_limit(0)};
    snprintf(info->folder, sizeof info->folder, "%s", folder.path);
    cache_folder_close(&folder);
    return status;
}

tn_status tn_cache_clear(tn_cache_info *removed, tn_diag *diag) {
    cache_folder folder;
    cache_totals totals = {0};
    tn_status status = cache_folder_open(&folder, false, diag);
    if (folder.descriptor >= 0 && !cache_folder_clear(&folder, &totals))
        status = diag_fail(diag, TN_ERR_IO, "the folder cannot be read");
    if (removed) {
        *removed = (tn_cache_info){.entries = totals.entries, .bytes = totals.bytes, .limit_bytes = cache_limit(0)};
        snprintf(removed->folder, sizeof removed->folder, "%s", folder.path);
    }
    cache_folder_close(&folder);
    return status;
}
