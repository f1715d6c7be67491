/* Compiling ahead of time: an object, a C header that declares it, and where asked for a file of weights.
 *
 * The object needs nothing of Tenon, and of libc nothing but memcpy, memmove and memset. It has no state: callers own
 * all memory. docs/AOT.md is the guide. */
#ifndef TENON_AOT_H
#define TENON_AOT_H

#include "tenon_compile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* First values of an input that is paired with an output as state. */
typedef struct tn_aot_state {
    const char *name; /* of the input */
    tn_tensor value;  /* of its dtype and shape; the data are copied */
} tn_aot_state;

typedef enum tn_aot_form { TN_AOT_OBJECT, TN_AOT_ASSEMBLY, TN_AOT_LLVM } tn_aot_form;

/* All zero: the defaults. */
typedef struct tn_aot_options {
    const char
        *name; /* what identifiers begin with; what no identifier can have becomes '_'. NULL: the module's name */
    const char *source;           /* where the model is from, for the header's comment; NULL: it says nothing of that */
    const char *verb;             /* the entry is NAME_<verb>; NULL: "run" */
    const char *function;         /* of the module; NULL: main */
    const tn_symbol_value *sizes; /* numbers in place of symbols */
    int n_sizes;
    const tn_aot_state *states; /* first values, for NAME_init; of all states or of none */
    int n_states;
    bool weights_in_file; /* not in the object but in tn_aot.weights; nothing comes there when there are none */
    tn_aot_form form;
    /* How it is compiled; NULL: defaults. `target` may list several of x86-64, the one that needs least first, as
     * "x86-64-v2,x86-64-v3,x86-64-v4" or "x86-64-v2,v3,v4": the object has a version for each, and NAME_bind chooses. A
     * result is then as one of that version alone. Weights are packed once for each version that needs them otherwise.
     * Gemm "blas" and ops `custom` are refused. */
    const tn_compile_options *compile;
} tn_aot_options;

/* What comes of it: freed with tn_aot_free. */
typedef struct tn_aot {
    char *name; /* what identifiers begin with */
    void *code;
    size_t code_bytes;
    char *header;  /* text */
    char *program; /* text of a C program that includes NAME.h and runs the object on files of raw numbers */
    void *weights; /* the file that NAME_bind_weights is given, to be aligned to 64 bytes in memory; NULL: none */
    size_t weights_bytes;
} tn_aot;

/* Compiles m's function. Weights without values are inputs. The same module and options give the same bytes, on any day
 * and in any folder. On errors all of *out is zero and *diag (may be NULL) says why: those of tn_compile_module, and
 * TN_ERR_UNSUPPORTED for what no object can have. */
TN_API tn_status tn_compile_aot(tn_module *m, const tn_aot_options *options, tn_aot *out, tn_diag *diag);
TN_API void tn_aot_free(tn_aot *aot); /* frees what is in it; may be all zero */

#ifdef __cplusplus
}
#endif

#endif
