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
    weight_format weights;
    machine machine;           /* that kernels are built for */
    fusion_notes fusion_notes; /* with goal.keeps_notes */
    program_plan plan;
    loop_parts parts;         /* of its kernels */
    tn_graph *main, *prepare; /* prepare: NULL when no work depends on weights alone */
    emitted_tables tables, prepare_tables;
    codegen *codegen;
    bool owns_codegen;
    const object_file *objects; /* owned by codegen; NULL: not so far */
    size_t n_objects;
    blas *blas; /* NULL: Tenon's own products */
    tn_diag diag;
} compilation;

/* What is wanted of the stages. */
typedef struct compilation_goal {
    const char *prefix;    /* of the entries' names */
    const char *last;      /* stage to run up to; NULL: up to the objects */
    bool one_object;       /* not several that are linked with each other */
    bool is_version;       /* ends when main is emitted: the caller goes on (aot.c) */
    codegen *into;         /* likewise, what main is emitted with, which stays the caller's; NULL: a new one */
    char **text;           /* gets the text of the last stage; or NULL */
    const char *data_path; /* for that text, as tn_compile_text has it */
    /* Called after each stage but "object", while what the compilation has come to stands: to look at, not to change.
     * After "llvm" c->codegen has a text, and after "loops" there is a plan. False: the stages end there, with a
     * diagnostic in c->diag or without. */
    bool (*inspect)(void *ctx, compilation *c, const char *stage);
    void *inspect_ctx;
    bool keeps_notes; /* kernels are to tell why they are built as they are */
} compilation_goal;

/* False: c->diag. The caller calls compilation_end either way. */
bool compilation_run(compilation *c, tn_module *m, const tn_compile_options *options, const compilation_goal *goal);
/* The text of the stage that has just ended (goal->inspect), to be freed with tn_text_free; NULL: no memory, or large
 * constants could not be written to `data_path`. */
char *compilation_text(compilation *c, const char *stage, const char *data_path);
/* What only served to make objects, and the objects; compilation_end does it where the caller has not. */
void compilation_drop_code(compilation *c);
void compilation_end(compilation *c);

#endif
