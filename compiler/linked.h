/* A program's code in this process, and all that lives as long as it. */
#ifndef TN_COMPILER_LINKED_H
#define TN_COMPILER_LINKED_H

#include "compiler/blas.h"
#include "compiler/cache_folder.h"
#include "compiler/codegen/jit.h"
#include "runtime/program.h"

typedef struct linked_code {
    jit *jit;
    jit_unit *unit;
    tn_module *module; /* its constants are read in place; or NULL */
    blas *blas;        /* or NULL */
    cache_map map;     /* an entry of the cache that is read in place, or none */
} linked_code;

/* What program->destroy calls. */
void linked_code_free(void *linked);

/* With `perf_map`, functions get names for `perf`, and kernels the titles they have in `p`, which is described. */
bool linked_code_link(linked_code *linked, const object_file *objects, size_t n, bool perf_map, tn_program *p,
                      tn_diag *diag);

/* Fills in the entries called <prefix>bind and <prefix>run. */
bool linked_code_find(const linked_code *linked, const char *prefix, tn_program *p, tn_diag *diag);

/* A program with such code, of which nothing is filled in. NULL: out of memory. */
tn_program *linked_code_program(const char *name, linked_code **linked);

#endif
