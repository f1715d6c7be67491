/* Where compiled results leave the interpreter's: the first stage, the first value, and a small graph that shows it. */
#ifndef TENON_BISECT_H
#define TENON_BISECT_H

#include "tenon_compile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: the defaults. */
typedef struct tn_bisect_options {
    /* How the module is compiled; NULL: defaults. The pool and the cache are not used, gemm must not be "blas". */
    const tn_compile_options *compile;
    int threads;    /* the most that runs are compared with, beside 1; 0: 4 */
    long long seed; /* of inputs that are not given */
    double seconds; /* that looking for a smaller graph may take; 0: 120 */
    bool no_reproducer;
    /* Told what is being done, in words; may be NULL. `what` lives as long as the call. */
    void (*progress)(void *ctx, const char *what);
    void *ctx;
} tn_bisect_options;

typedef struct tn_bisect_result {
    bool leaves; /* false: nothing does, and of what follows only `checked` is set */
    char stage
        [32]; /* the first that does: a pass by name, "loops" (a kernel's loop tree), "llvm" (its code), "plan" (the
                     * program around kernels), "prepare" (packing of weights), "threads" (one thread against several) */
    /* The first value: its name, the op that makes it (of a kernel: its ops), where that is in the source, the index of
     * the element that is furthest off ("[2, 17]"), what it is, what the interpreter says, and how far apart they may be
     * (0: not at all). */
    char value[200], op[200], location[300], index[200];
    double got, want, bound;
    char note[200];        /* what else there is to say, "": nothing */
    tn_module *reproducer; /* a small module that leaves at the same stage, NULL: none was found. The caller frees it */
    size_t nodes;          /* that it has */
    char needs[200];       /* options of `tenon bisect` that it needs besides, "": none */
    char checked[400];     /* what was compared, in words */
} tn_bisect_result;

/* Compares, stage by stage, what the interpreter makes of the main function of m: as it is; after each pass; after fuse with
 * each kernel's loop tree and code on the same operands; the whole program; with 1 thread and several, bit for bit.
 * Floats are compared by what rounding can do: in parts of the sum of absolute terms that went into them, everything else
 * exactly. A result that is wrong by less is not seen. `inputs` has one tensor for each parameter of main, contiguous, those
 * with data NULL (or inputs NULL) being random, by name and seed, as `tenon run` makes them, with its sizes; weights with
 * values have those then. TN_OK also when nothing leaves; else *diag (may be NULL) says why there is no answer: the
 * module does not compile, the interpreter stops, memory is out. *result is to be given to tn_bisect_free in any case. */
TN_API tn_status tn_bisect(tn_module *m, const tn_tensor *inputs, const tn_symbol_value *sizes, int n_sizes,
                           const tn_bisect_options *options, tn_bisect_result *result, tn_diag *diag);
TN_API void tn_bisect_free(tn_bisect_result *result);

#ifdef __cplusplus
}
#endif

#endif
