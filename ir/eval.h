/* The reference interpreter.
 *
 * The oracle that compiled code is compared with: plain loops written from each op's
 * definition, accumulating in f64 (integers in 64 bits), bounds-checked, sharing nothing
 * with the compiler. Composites are evaluated through their decomposition.
 */
#ifndef TN_IR_EVAL_H
#define TN_IR_EVAL_H

#include "ir/op.h"

/* A tensor of the interpreter: contiguous, row-major, sizes known. */
typedef struct eval_tensor {
    tn_dtype dtype;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t n;  /* elements */
    void *data; /* from tn_malloc; NULL only when n is 0 or the dtype is token */
    /* With magnitudes on, for each element of a float tensor: m such that the element is known
     * to within about u * m, u the unit roundoff of its dtype (the sum of absolute terms that
     * went into it). NULL: the elements' absolute values. */
    double *magnitude;
    bool borrowed; /* data and magnitude belong to someone else: eval_tensor_free leaves them */
} eval_tensor;

/* One function being evaluated. */
typedef struct eval_frame {
    const tn_graph *graph;
    const node *node; /* being evaluated; NULL before the first and after the last */
    const eval_tensor *const *inputs;
    int64_t *symbols;                /* values of graph->symbols */
    bool *is_bound;                  /* for each of them */
    eval_tensor *values;             /* those not there yet, or no more, have data NULL */
    uint32_t *uses;                  /* of each value, still to come */
    const struct eval_frame *caller; /* whose node called it; NULL: the first */
} eval_frame;

typedef struct eval_options {
    bool magnitudes;        /* track eval_tensor.magnitude through every op */
    bool keep_values;       /* of a function until it returns; else each goes after its last reader */
    const int64_t *symbols; /* of all symbols of the function; NULL: the inputs tell them */
    uint64_t max_elements;  /* of all live tensors; 0: 2^31 */
    uint64_t max_steps;     /* of loops and function calls together; 0: 2^31 */
    bool (*custom)(void *ctx, const char *name, const eval_tensor *in, int n_in, eval_tensor *out, int n_out);
    void (*print)(void *ctx, const char *message, const eval_tensor *value);
    /* Called before and after each node that is evaluated, in all functions but the decompositions of composites:
     * frame->node, whose results are there when `is_done`. An error or fault of the node is in the run's diagnostic
     * by then; after an error it is called once more, for the node that has it. False ends the run with
     * TN_ERR_ARGUMENT. */
    bool (*observe)(void *ctx, const eval_frame *frame, bool is_done);
    void *ctx;
} eval_options;

typedef struct eval_args {
    const tn_graph *graph;
    const node *node;
    uint32_t n_operands;
    const eval_tensor *const *operands;
    /* dtype and dims are set up by the caller; zeroed data too, but for ops that hand tensors
     * on: param, constant, composites and those of class CONTROL. */
    eval_tensor *results;
    struct eval_state *state; /* symbol values, options, error; opaque to op files */
} eval_args;

/* Runs `g` on inputs (one for each parameter, in order; parameters with initial data
 * may be given with data NULL). Symbols are bound from the inputs' dims. Fills outputs
 * (n_results of them), to be freed with eval_tensor_free. Errors in *diag: shapes that do not
 * match, constraints, an index out of range (TN_ERR_INDEX; outputs are filled all the same
 * with the clamped reading), a failed assert, no memory. */
tn_status eval_graph(const tn_graph *g, const eval_tensor *inputs, eval_tensor *outputs, const eval_options *options,
                     tn_diag *diag);

/* Frees what the tensor owns and zeroes it. */
void eval_tensor_free(eval_tensor *t);

/* Whether dtype, rank and dims are the same. */
bool eval_same_type(const eval_tensor *a, const eval_tensor *b);

/* The index of element `at` in words: "[2, 17]". Returns out, which is cut to its size. */
const char *eval_index_text(const eval_tensor *t, int64_t at, char *out, size_t bytes);

/* The largest finite absolute value of a tensor, 0 when there is none. */
double eval_greatest(const eval_tensor *t);
/* What an element's magnitude says of its error, in a tensor whose largest element is `greatest`. The sum of absolute terms
 * grows with each layer of a deep network until it says nothing any more: it counts for at most a thousand times
 * the largest element, unless all of the tensor cancels out. */
double eval_trusted_magnitude(double magnitude, double greatest);

/* Element access with conversion: floats as double, integers and bool as int64 (u64 as its
 * bits). Stores round to nearest even and wrap. */
double eval_load_float(const eval_tensor *t, int64_t i);
int64_t eval_load_int(const eval_tensor *t, int64_t i);
double eval_load_number(const eval_tensor *t, int64_t i); /* of any dtype */
void eval_store_float(eval_tensor *t, int64_t i, double value);
void eval_store_int(eval_tensor *t, int64_t i, int64_t value);

#endif
