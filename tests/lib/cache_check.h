/* A cache of a test's own, and what came of a compilation with it. */
#ifndef TN_TESTS_CACHE_CHECK_H
#define TN_TESTS_CACHE_CHECK_H

#include "tenon_compile.h"

typedef struct cached_compilation {
    tn_compile_options options; /* to be changed as needed */
    int n_hits, n_stores, n_warnings;
    tn_status warned; /* the last status */
    char warning[TN_DIAG_MESSAGE_BYTES];
} cached_compilation;

/* A new, empty folder, which TENON_CACHE_DIR names from here on. */
void cache_folder_make(char path[64]);
/* Removes the folder with all that is in it, and TENON_CACHE_DIR. */
void cache_folder_drop(const char *path);

/* Names of the files in it, in order; returns how many. */
enum { CACHE_FILES = 64, CACHE_NAME = 64 };
int cache_folder_files(const char *path, char names[CACHE_FILES][CACHE_NAME]);

/* Default options but for the cache, which is on and watched. */
void cached_compilation_begin(cached_compilation *c);

#endif
