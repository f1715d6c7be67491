/* The cache of programs as a compilation sees it.
 *
 * in:  a module and options
 * out: the program that was cached for them; or, when there is none, an entry of the one that is then compiled
 * law: a program from the cache is the one that would be compiled: same bits, descriptions and messages. An entry
 *      that is damaged is reported, removed, and compiled again; no trouble with the cache fails a compilation
 */
#ifndef TN_COMPILER_CACHE_H
#define TN_COMPILER_CACHE_H

#include "compiler/image.h"

typedef struct program_cache {
    bool is_on; /* when not, the calls below do nothing */
    const tn_compile_options *options;
    cache_folder folder;
    uint64_t limit;
    double begin_ms;
    digest key;
    module_data data;
    image image; /* of the program that is being compiled */
} program_cache;

void program_cache_open(program_cache *k, const tn_module *m, const tn_compile_options *options);
void program_cache_close(program_cache *k);

/* The program for m; NULL: it has to be compiled. */
tn_program *program_cache_load(program_cache *k, tn_module *m);

/* Takes up what is compiled: p is described, and c still has the objects. */
void program_cache_take(program_cache *k, tn_program *p, const compilation *c);
/* Writes the entry of what was taken up: p is sealed. */
void program_cache_store(program_cache *k, const tn_program *p);

#endif
