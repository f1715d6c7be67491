/* From a module to objects: the stages in order, private to compiler/. */
#ifndef TN_COMPILER_STAGES_H
#define TN_COMPILER_STAGES_H

#include "compiler/blas.h"
#include "compiler/codegen/codegen.h"
#include "compiler/loops/plan.h"
#include "compiler/passes/passes.h"
#include "tenon_compile.h"

/* What the stages make of one module, as far as they got. */
typedef struct compilation {
    const tn_compile_options *options;
    tn_module *module; /* a copy of the user's: passes work on it */
    program_plan plan;
    tn_graph *main, *prepare; /* prepare: NULL when no work depends on weights alone */
    emitted_tables tables, prepare_tables;
    codegen *codegen;
    blas *blas;   /* NULL: Tenon's own products */
    char *object; /* from tn_malloc */
    size_t object_bytes;
    tn_diag diag;
} compilation;

/* Runs the stages up to `last` (NULL: up to the object). *text gets the text of the last stage
 * when it is asked for. False: c->diag. The caller calls compilation_end either way. */
bool compilation_run(compilation *c, tn_module *m, const tn_compile_options *options, const char *prefix,
                     const char *last, const char *data_path, char **text);
void compilation_end(compilation *c);

#endif
