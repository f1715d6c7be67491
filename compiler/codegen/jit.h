/* Objects into this process.
 *
 * in:  object files as buffers, the same bytes that ahead-of-time compilation writes
 * out: callable addresses
 * law: undefined symbols may be memcpy, memset and memmove, nothing else; a unit's memory goes
 *      back to the system with jit_unit_free; a jit and its units belong to one thread at a time
 */
#ifndef TN_COMPILER_CODEGEN_JIT_H
#define TN_COMPILER_CODEGEN_JIT_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/tenon_rt.h"

typedef struct jit jit;
typedef struct jit_unit jit_unit;

typedef struct jit_options {
    bool perf_map; /* add symbols to /tmp/perf-PID.map, for `perf` */
} jit_options;

/* NULL and `diag` filled on failure. `options` NULL: defaults. */
jit *jit_new(const jit_options *options, tn_diag *diag);
void jit_free(jit *j); /* all units must have been freed */

/* Links a copy of the object's bytes. NULL and `diag` filled on failure: no object file, one for
 * another machine, one that needs a symbol that is not provided (the message names it). Two
 * units may define the same names; they don't see each other. */
jit_unit *jit_add_object(jit *j, const void *bytes, size_t size, tn_diag *diag);
void jit_unit_free(jit_unit *u); /* NULL is allowed; its code must not be running */

/* Address of a function of the unit, or NULL with `diag` filled. */
void *jit_lookup(jit_unit *u, const char *symbol, tn_diag *diag);

#endif
