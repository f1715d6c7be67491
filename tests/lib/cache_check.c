/* Caches of tests (see cache_check.h). */
#include "tests/lib/cache_check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cache_folder_make(char path[64]) {
    snprintf(path, 64, "/tmp/tenon-cache-test-XXXXXX");
    if (!mkdtemp(path)) abort();
    setenv("TENON_CACHE_DIR", path, 1);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int cache_folder_files(const char *path, char names[CACHE_FILES][CACHE_NAME]) {
    DIR *folder = opendir(path);
    int n = 0;
    for (const struct dirent *d; folder && n < CACHE_FILES && (d = readdir(folder));)
        if (d->d_name[0] != '.') snprintf(names[n++], CACHE_NAME, "%.60s", d->d_name);
    if (folder) closedir(folder);
    qsort(names, (size_t)n, CACHE_NAME, by_name);
    return n;
}

void cache_folder_drop(const char *path) {
    static char names[CACHE_FILES][CACHE_NAME];
    char file[200];
    for (int n = cache_folder_files(path, names); n-- > 0;) {
        snprintf(file, sizeof file, "%s/%s", path, names[n]);
        unlink(file);
    }
    rmdir(path);
    unsetenv("TENON_CACHE_DIR");
}

static void watch(void *ctx, const tn_stage_report *report) {
    cached_compilation *c = ctx;
    c->n_hits += strcmp(report->name, "cache") == 0;
    c->n_stores += strcmp(report->name, "store") == 0;
}

static void take_warning(void *ctx, const tn_diag *what) {
    cached_compilation *c = ctx;
    c->n_warnings++;
    c->warned = what->status;
    snprintf(c->warning, sizeof c->warning, "%s", what->message);
}

void cached_compilation_begin(cached_compilation *c) {
    *c = (cached_compilation){.options = {.cache = "on"}};
    c->options.watch = watch;
    c->options.watch_ctx = c;
    c->options.warn = take_warning;
    c->options.warn_ctx = c;
}
