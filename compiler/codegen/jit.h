/* Objects into this process.
 *
 * in:  object files as buffers, one as ahead-of-time compilation writes it or several that refer to each other
 * out: callable addresses
 * law: undefined symbols may be memcpy, memset and memmove, nothing else; a unit's memory goes
 *      back to the system with jit_unit_free; a jit and its units belong to one thread at a time
 */
#ifndef TN_COMPILER_CODEGEN_JIT_H
#define TN_COMPILER_CODEGEN_JIT_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/codegen/link.h"

typedef struct jit jit;
typedef struct jit_unit jit_unit;

/* What stands behind the name of a function: written to `text`, which is empty to begin with. */
enum { JIT_TITLE = 300 };
typedef void jit_title(void *ctx, const char *symbol, char *text, size_t bytes);

typedef struct jit_options {
    bool perf_map;    /* add symbols to /tmp/perf-PID.map, for `perf` */
    jit_title *title; /* there; NULL: names alone */
    void *title_ctx;
} jit_options;

/* NULL and `diag` filled on failure. `options` NULL: defaults. */
jit *jit_new(const jit_options *options, tn_diag *diag);
void jit_free(jit *j); /* all units must have been freed */

/* Links copies of the n objects with each other. NULL and `diag` filled on failure: no object file, one for
 * another machine, one that needs a symbol that is not provided (the message names it). Two
 * units may define the same names; they don't see each other. */
jit_unit *jit_add_objects(jit *j, const object_file *objects, size_t n, tn_diag *diag);
static inline jit_unit *jit_add_object(jit *j, const void *bytes, size_t size, tn_diag *diag) {
    return jit_add_objects(j, &(object_file){bytes, size}, 1, diag);
}
void jit_unit_free(jit_unit *u); /* NULL is allowed; its code must not be running */

/* Address of a function of the unit, or NULL with `diag` filled. */
void *jit_lookup(jit_unit *u, const char *symbol, tn_diag *diag);

#endif
