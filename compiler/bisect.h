/* Inside bisect (tenon_bisect.h): a case, what is found, and the ways to run it.
 *
 * bisect.c            the public call: finds the stage, then a small graph
 * bisect_case.c       inputs of a module; running it by the interpreter and compiled
 * bisect_compare.c    how far apart tensors may be
 * bisect_stages.c     the first stage and value
 * bisect_kernels.c    kernels alone: loop tree and code on the operands that the interpreter gives them
 * bisect_reproduce.c  the small graph
 */
#ifndef TN_COMPILER_BISECT_H
#define TN_COMPILER_BISECT_H

#include "compiler/stages.h"
#include "ir/eval.h"
#include "tenon_bisect.h"

/* Stages that are no passes, numbered behind those. */
enum { BISECT_LOOPS, BISECT_LLVM, BISECT_PLAN, BISECT_PREPARE, BISECT_THREADS, BISECT_OTHERS };
#define BISECT_NONE (-1)
int bisect_stage_of(int other); /* its number */
const char *bisect_stage_name(int stage);

/* A module with what it is run on. */
typedef struct bisect_case {
    tn_module *module; /* as it is given; the caller's */
    tn_compile_options options;
    eval_tensor *inputs; /* one for each parameter of main; data NULL: the module has it */
    bool *is_given;      /* those that the user gave */
    int64_t *sizes;      /* of main's symbols */
    int threads;
    double narrow; /* what narrow weights may change, in parts of the sum of absolute terms; 0: they are not narrow */
    const tn_bisect_options *how;
    const struct bisect_case *original; /* that inputs of the same name and type are taken from; NULL: none */
    bool takes_none;                    /* cases made from this one take none of the inputs that were given */
} bisect_case;

/* ---- bisect_compare.c ---- */

typedef struct departure {
    bool leaves;
    int64_t at; /* the element that is furthest off */
    double got, want, bound;
} departure;

/* `want` has magnitudes. Within a program of many layers the tolerance, in parts of the sum of absolute terms, is
 * BISECT_WHOLE; for one kernel on the same operands BISECT_KERNEL. Other dtypes than f32: in proportion. */
#define BISECT_WHOLE 1e-5
#define BISECT_KERNEL 4e-6
departure bisect_compare(const eval_tensor *got, const eval_tensor *want, double tolerance);

/* ---- bisect_case.c ---- */

/* Makes what is not given. False: *diag. The module must live as long as the case. */
bool bisect_case_open(bisect_case *c, tn_module *m, const bisect_case *original, tn_diag *diag);
void bisect_case_close(bisect_case *c);

/* Tensors by name, of a function's parameters or results. */
typedef struct tensor_set {
    const tn_graph *graph;
    eval_tensor *items;
    size_t n;
} tensor_set;
void tensor_set_free(tensor_set *s);

/* The outputs of main of `m`, which is the case's module after some stage, by the interpreter: prepare first, when there
 * is one. What prepare made is left in *packed when that is not NULL. */
tn_status bisect_interpret(const bisect_case *c, const tn_module *m, const eval_options *options, tensor_set *outputs,
                           tensor_set *packed, tn_diag *diag);
/* For each parameter of main of m: the case's input of that name, borrowed, else what prepare made, else nothing. */
bool bisect_inputs_of(const bisect_case *c, const tn_module *m, const tensor_set *packed, tensor_set *inputs);

/* A compiled program and the outputs of a run of it. */
tn_program *bisect_compile(tn_module *m, const tn_compile_options *options, tn_diag *diag);
tn_status bisect_run(tn_program *p, const tn_graph *g, const eval_tensor *inputs, const int64_t *sizes, int threads,
                     tensor_set *outputs, tn_diag *diag);

/* ---- What is found ---- */

typedef struct bisect_finding {
    int stage; /* BISECT_NONE: nothing leaves */
    char value[200], op[200], index[200], note[200];
    departure apart;
    tn_location locations[LOCATION_MAX]; /* texts of the case's module, or of none */
    size_t n_locations;
} bisect_finding;

/* Value v of g is what leaves. */
void bisect_name_value(bisect_finding *f, const bisect_case *c, const tn_graph *g, value_id v, const eval_tensor *got,
                       const departure *apart);
void bisect_add_locations(bisect_finding *f, const bisect_case *c, const tn_graph *g, location_id set);

/* ---- bisect_stages.c ---- */

/* The first stage of the case that leaves, and with `with_value` the first value. `only` (a number; BISECT_NONE: any)
 * is the one that is asked for: others may be left out. False: *diag, there is no answer. */
bool bisect_find(const bisect_case *c, int only, bool with_value, bisect_finding *f, tn_diag *diag);

/* ---- bisect_kernels.c ---- */

/* Interprets main and prepare of c->module as it is after fuse, and checks each kernel on the way. f->stage is BISECT_NONE
 * when all are right; packed and outputs as bisect_interpret has them. */
bool bisect_check_kernels(const bisect_case *c, compilation *made, bool with_code, bisect_finding *f,
                          tensor_set *packed, tn_diag *diag);

/* ---- bisect_reproduce.c ---- */

/* A small module that leaves at the same stage, NULL: none was found. *note (of 200 bytes) says what it needs. */
tn_module *bisect_reproduce(const bisect_case *c, const bisect_finding *f, char *note);

void bisect_tell(const bisect_case *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
