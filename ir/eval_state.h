/* Inside the interpreter: its state and what the op files (ir/eval_*.c) share.
 *
 * An op file reads operands in bulk into `wide` elements, computes there, and writes back in
 * bulk; rounding and wrapping to the dtype happen in the write and nowhere else. Two kinds
 * of error exist: an error ends the run (eval_error, always false, to be returned); a fault
 * (index out of range, failed assert) is noted and the run goes on to its end.
 */
#ifndef TN_IR_EVAL_STATE_H
#define TN_IR_EVAL_STATE_H

#include "ir/dtype.h"
#include "ir/eval.h"

enum {
    EVAL_CHUNK = 256,     /* elements that elementwise ops take at a time */
    EVAL_MAX_DEPTH = 500, /* of nested calls */
};

/* One element in computation: floats in `f`, all others in `i` (bool 0 or 1, u64 as its bits). */
typedef union wide {
    double f;
    int64_t i;
} wide;

/* What integer arithmetic needs to know of a dtype. */
typedef struct int_type {
    unsigned bits; /* bool: 1 */
    bool is_signed;
} int_type;

typedef struct eval_state {
    const eval_options *options;
    uint64_t max_elements, live_elements;
    uint64_t max_steps, steps;
    int depth;
    eval_frame *frame;
    /* Inside a composite's decomposition: the outermost composite, which errors are told of. */
    const tn_graph *blame_graph;
    const node *blame_node;
    bool failed;     /* an error; else diag may hold a fault */
    bool is_stopped; /* by the observer, who is not called again */
    tn_diag *diag;
} eval_state;

/* ---- Errors ------------------------------------------------------------------------------ */

/* Records an error of the node that is being evaluated, or of the run; always false. */
bool eval_error(eval_state *s, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* An error of the function being evaluated, with a location of its module. */
bool eval_error_at(eval_state *s, tn_status status, location_id where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Records a fault unless there is one already. */
void eval_fault(eval_state *s, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool eval_no_memory(eval_state *s);

/* ---- Dtypes ------------------------------------------------------------------------------- */

int_type eval_int_type(tn_dtype dtype); /* bits 0: not bool or integer */
size_t eval_dtype_bytes(tn_dtype dtype);
double eval_unit_roundoff(tn_dtype dtype); /* 2^-24 for f32; 0 when not a float */

/* Conversions by the rules of `convert`. */
int64_t eval_float_to_int(double value, tn_dtype to); /* saturates, NaN to 0; bool: not zero */
/* A double that rounds to `to` as the integer itself does. */
double eval_int_to_float(int64_t value, bool is_unsigned, tn_dtype to);
int64_t eval_wrap(int64_t value, tn_dtype to); /* sign- or zero-extended from `to`'s width */

/* ---- Tensors ------------------------------------------------------------------------------- */

/* Sets n from dims; false: a negative extent, or the product overflows. */
bool eval_tensor_count(eval_tensor *t);
/* Allocates zeroed data (and magnitudes, when they are on and t is a float) for t's n. */
bool eval_tensor_alloc(eval_state *s, eval_tensor *t);
/* As eval_tensor_free, within the run's limit on live elements. */
void eval_tensor_release(eval_state *s, eval_tensor *t);
bool eval_tensor_copy(eval_state *s, eval_tensor *to, const eval_tensor *from);
/* Moves n elements from x[from] to y[to], magnitudes with them. Same dtype. */
void eval_move(const eval_tensor *x, int64_t from, eval_tensor *y, int64_t to, int64_t n);
/* Hands `from` on as result i after checking it against the type that result was given; takes
 * it over, also on error. */
bool eval_hand_on(eval_args *c, uint32_t i, eval_tensor *from);

void eval_read(const eval_tensor *t, int64_t first, int64_t n, wide *out);
void eval_write(eval_tensor *t, int64_t first, int64_t n, const wide *in);
void eval_read_magnitudes(const eval_tensor *t, int64_t first, int64_t n, double *out);

/* All elements in memory from tn_malloc; NULL: no memory (recorded). */
wide *eval_read_all(eval_state *s, const eval_tensor *t);
double *eval_read_all_magnitudes(eval_state *s, const eval_tensor *t);

/* An integer element as an index: u64 beyond INT64_MAX saturates. */
int64_t eval_load_index(const eval_tensor *t, int64_t i);

/* ---- Walking over elements ------------------------------------------------------------------ */

/* Row-major walk over `dims`; `offset` follows `strides` (in elements, any sign, 0 repeats). */
typedef struct eval_walk {
    int rank;
    int64_t dims[TN_MAX_RANK], strides[TN_MAX_RANK], at[TN_MAX_RANK];
    int64_t offset;
} eval_walk;

static inline void eval_walk_next(eval_walk *w) {
    for (int axis = w->rank; axis-- > 0;) {
        w->offset += w->strides[axis];
        if (++w->at[axis] < w->dims[axis]) return;
        w->offset -= w->strides[axis] * w->dims[axis];
        w->at[axis] = 0;
    }
}

void eval_strides(int rank, const int64_t *dims, int64_t *strides); /* row-major */

/* ---- Attributes -------------------------------------------------------------------------------- */

/* Value of a dim in the frame; false with an error. */
bool eval_dim_value(eval_args *c, tn_dim dim, int64_t *value);
/* Entries of an INTS attribute, or `otherwise` for each where it is absent. */
bool eval_ints(eval_args *c, attr_name name, int n, int64_t otherwise, int64_t *out);
bool eval_dims(eval_args *c, attr_name name, int n, int64_t otherwise, int64_t *out);

/* ---- Binary ops as data: also what reductions and scatter combine with ------------------------ */

typedef struct binary_row {
    double (*f)(double a, double b);
    int64_t (*i)(int64_t a, int64_t b, int_type type);
    /* Magnitude of y = f(a, b), ma and mb those of a and b; NULL: |y|. */
    double (*magnitude)(double a, double ma, double b, double mb, double y);
} binary_row;

const binary_row *eval_binary_row(tn_op op);

/* ---- Windows ------------------------------------------------------------------------------------ */

/* The taps t in [0, taps) with 0 <= at + t * dilation < extent are those from *first to below *end. */
void eval_taps(int64_t at, int64_t dilation, int64_t extent, int64_t taps, int64_t *first, int64_t *end);

/* ---- Contractions -------------------------------------------------------------------------------- */

/* acc[k] += x[k * step] * w for k < n, in f64 or wrapping integers. */
typedef void eval_axpy(wide *acc, const wide *x, int64_t step, wide w, int64_t n);

/* How a contraction is computed: both operands are read whole, in the order of walks a and b,
 * and `loops` adds the sums of products into y. */
typedef struct contraction {
    eval_walk a, b;
    void (*loops)(const void *plan, const wide *a, const wide *b, wide *y, eval_axpy *axpy);
    const void *plan;
    const void *magnitude_plan; /* for the loops on magnitudes; NULL: the same */
} contraction;

/* Row-major, as the tensor lies. */
eval_walk eval_natural_order(const eval_tensor *t);

/* Runs the loops and writes result 0: on the values, then, with magnitudes on, on magnitudes
 * times absolute values both ways round. */
bool eval_contract(eval_args *c, const contraction *how);

/* ---- Folds ----------------------------------------------------------------------------------------- */

/* How a reduction combines: the op and its neutral element for a dtype. False: `kind` is argmax or argmin. */
typedef struct eval_fold {
    const binary_row *row;
    wide neutral;
    bool is_float;
    int_type type;
} eval_fold;
bool eval_fold_of(reduce_kind kind, tn_dtype dtype, eval_fold *fold);

/* *acc = *acc combined with x; the magnitude too when m is not NULL. */
static inline void eval_fold_in(const eval_fold *fold, wide *acc, double *m, wide x, double mx) {
    if (!fold->is_float) {
        acc->i = fold->row->i(acc->i, x.i, fold->type);
        return;
    }
    double y = fold->row->f(acc->f, x.f);
    if (m) *m = fold->row->magnitude(acc->f, *m, x.f, mx, y);
    acc->f = y;
}

/* By how much a result's magnitude grows because sums are kept in `acc`, when that is
 * narrower than the result. */
double eval_acc_growth(const eval_args *c);
/* The magnitude of a folded result y from what its elements gave: at least |y|, also where there were none. */
double eval_folded_magnitude(double growth, double m, double y);

/* ---- Functions ------------------------------------------------------------------------------------ */

/* Runs g on inputs (one a parameter). `symbols` are values of g's first n_symbols symbols; the
 * others are bound from the inputs' dims. Outputs (zeroed before) own their data. */
bool eval_function(eval_state *s, const tn_graph *g, const int64_t *symbols, uint32_t n_symbols,
                   const eval_tensor *const *inputs, eval_tensor *outputs);

/* Binds the frame's symbols and checks inputs and constraints (ir/eval_bind.c). */
bool eval_bind(eval_state *s, eval_frame *f, const int64_t *symbols, uint32_t n_symbols);
/* Value of a dim of the frame's function; false: a symbol is unbound, or overflow. */
bool eval_dim_in(const eval_frame *f, tn_dim dim, int64_t *value);

/* Four random words of a 128-bit counter and a key (ir/eval_random.c). */
void eval_philox_block(uint64_t key, uint64_t low, uint64_t high, uint32_t out[4]);
/* The blocks low, low + 1, ... of high 0: word w of block i in out[w][i]. */
enum { EVAL_PHILOX_BLOCKS = 64 };
void eval_philox_blocks(uint64_t key, uint64_t low, uint32_t out[4][EVAL_PHILOX_BLOCKS]);

/* Evaluates a composite through its decomposition (ir/eval_composite.c). */
op_eval eval_composite;

#endif
