/* The JIT: units of linked objects, which share nothing, so that they may be freed in any order (see jit.h). */
#include "compiler/codegen/jit.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/alloc.h"
#include "runtime/diag.h"

struct jit {
    jit_options options;
};

struct jit_unit {
    linked_objects *code;
};

void *jit_lookup(jit_unit *u, const char *symbol, tn_diag *diag) {
    void *address = link_find(u->code, symbol);
    if (!address) diag_fail(diag, TN_ERR_INTERNAL, "the JIT did not find a function: %.200s", symbol);
    return address;
}

/* ---- For `perf` ------------------------------------------------------------------------- */

typedef struct perf_map {
    const jit_options *options;
    FILE *file;
} perf_map;

static void write_perf_line(void *ctx, const char *name, const void *address, size_t bytes) {
    const perf_map *map = ctx;
    char title[JIT_TITLE] = "";
    if (!bytes) return;
    if (map->options->title) map->options->title(map->options->title_ctx, name, title, sizeof title);
    fprintf(map->file, "%" PRIxPTR " %zx %s%s\n", (uintptr_t)address, bytes, name, title);
}

static void write_perf_map(const jit *j, const jit_unit *u) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
    perf_map map = {&j->options, fopen(path, "a")};
    if (!map.file) return; /* profiling is a convenience: the program runs without */
    link_each_function(u->code, write_perf_line, &map);
    fclose(map.file);
}

/* ---- Life ------------------------------------------------------------------------------- */

jit *jit_new(const jit_options *options, tn_diag *diag) {
    jit *j = tn_calloc(1, sizeof *j);
    if (!j)
        diag_fail(diag, TN_ERR_MEMORY, "out of memory while starting the JIT");
    else if (options)
        j->options = *options;
    return j;
}

void jit_free(jit *j) { tn_free(j); }

jit_unit *jit_add_objects(jit *j, const object_file *files, size_t n, tn_diag *diag) {
    jit_unit *u = tn_calloc(1, sizeof *u);
    if (!u) {
        diag_fail(diag, TN_ERR_MEMORY, "out of memory while linking");
        return NULL;
    }
    u->code = link_objects(files, n, diag);
    if (!u->code) {
        tn_free(u);
        return NULL;
    }
    if (j->options.perf_map) write_perf_map(j, u);
    return u;
}

void jit_unit_free(jit_unit *u) {
    if (!u) return;
    link_free(u->code);
    tn_free(u);
}
