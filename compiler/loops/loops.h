/* Loop trees: what a fused kernel is lowered to, and what LLVM code is made from.
 *
 * A kernel is a list of stages run one after the other; a stage is a number of chunks that
 * may run at once, in any order. Its body is a tree of loops and ifs around statements in
 * SSA form. Memory is flat: a buffer is an array of elements of one dtype, and an index is a
 * dim expression over the kernel's extents (symbols) and the variables in scope (loop
 * counters, chunk numbers, loaded indices), so index arithmetic is ir/dim.h's and simplifies
 * by itself.
 *
 *   kernel @k0 map(in x: f32[784*n], in b: f32[784], out y: f32[784*n]) extents(n) {
 *     stage $0 in n {
 *       for $1 in 0 to 784 vector 16 {
 *         %0 = load x[784*$0 + $1] : f32
 *         %1 = load b[$1] : f32
 *         %2 = add %0, %1 : f32
 *         store y[784*$0 + $1], %2
 *       }
 *     }
 *   }
 *
 * A vector loop is written as its scalar body: code generation widens the body to `width`
 * lanes and does what remains masked or as scalars. Values that do not depend on the counter stay
 * scalar. Step number i belongs to lane i mod width. Carried values of a vector loop are kept one
 * to a lane, each from the neutral element; when there was a step, lanes are combined by a fixed
 * tree (lane i with lane i + width/2, and so on), and the first value last.
 *
 * Laws: every load and store is within its buffer whenever its guard holds; stages see all
 * stores of the stages before; chunks of one stage never store to the same element; no
 * sum is carried across chunks. Elementwise ops are those of the op table with exactly its
 * meaning (ops.def), f16 and bf16 computed in f32 and rounded after each op.
 */
#ifndef TN_LOOPS_LOOPS_H
#define TN_LOOPS_LOOPS_H

#include "compiler/loops/machine.h"
#include "ir/graph.h"

typedef uint32_t lt_value; /* SSA value of a kernel */
#define LT_NONE UINT32_MAX

typedef enum lt_role {
    LT_INPUT,
    LT_OUTPUT,
    LT_TEMP,    /* in the arena, for the time of the call; shared by all workers */
    LT_SCRATCH, /* one for each worker, lives for one chunk */
    LT_LOCAL,   /* static and small: on the stack of a chunk */
} lt_role;

typedef struct lt_buffer {
    lt_role role;
    tn_dtype dtype;
    tn_dim elements; /* over the extents; static for LT_LOCAL */
    const char *name;
    bool is_streamed; /* a hint: stored elements may go past the caches, which would lose them before they are read */
} lt_buffer;

typedef enum lt_kind {
    LT_CONST, /* result = constant */
    LT_DIM,   /* result (i64) = value of a dim expression */
    LT_OP,    /* result = elementwise op of the table */
    LT_LOAD,  /* result = buffer[index]; with a guard that is false: 0, and nothing is read */
    LT_BIND,  /* variable = value clamped to [0, limit - 1]; outside, a run-time error is recorded */
    LT_CHECK, /* where value holds, a run-time error is recorded */
    LT_STORE, /* buffer[index] = value, when the guard holds */
    LT_LOOP,
    LT_IF,
    LT_TILE,      /* register tile of a contraction */
    LT_TRANSPOSE, /* copy of a small matrix, rows becoming columns */
} lt_kind;

typedef enum lt_loop_kind {
    LT_SERIAL,
    LT_VECTOR,   /* `width` lanes at a time; no vector loop inside */
    LT_UNROLLED, /* static bounds, few steps */
} lt_loop_kind;

typedef struct lt_block {
    struct lt_stmt **items;
    uint32_t n, capacity;
} lt_block;

/* A value carried from step to step. In the body it is read as `inner`; the body computes
 * `next`; after the loop `result` is the last one, or `init` when there was no step. */
typedef struct lt_carry {
    lt_value init, inner, next, result;
    tn_dtype dtype;
    tn_op combine; /* vector loops: op that merges lanes (add mul max min and or); each lane
                    * starts from its neutral element, and `init` is combined last */
} lt_carry;

/* A matrix in a buffer; its columns have stride 1. */
typedef struct lt_matrix {
    uint32_t buffer;
    tn_dim index, row; /* of element [0, 0]; stride */
} lt_matrix;

/* Steps of a tile's depth that lie within one: the strides by which a and b go on. */
typedef struct lt_inner {
    uint32_t steps;
    tn_dim a, b;
} lt_inner;

enum { LT_MAX_OPERANDS = 3, LT_MAX_INNER = 2 };

typedef struct lt_stmt {
    lt_kind kind;
    tn_dtype dtype;    /* of the result, or of the stored value */
    lt_value result;   /* LT_NONE: none */
    uint32_t line;     /* in the text that debuggers show; 0: none */
    location_id where; /* of the node that it computes; LOCATION_NONE: it serves the kernel as a whole */
    union {
        struct {
            uint64_t bits;
        } constant; /* in the low bits; f16/bf16 as their own bits */
        struct {
            tn_dim dim;
        } dim;
        struct {
            tn_op op;
            uint32_t n_operands;
            lt_value operands[LT_MAX_OPERANDS];
            int32_t compare; /* compare_kind, for TN_OP_compare */
        } op;
        struct {
            uint32_t buffer;
            tn_dim index;
            lt_value value; /* store */
            lt_value guard; /* bool, or LT_NONE */
        } access;
        struct {
            tn_dim variable;
            lt_value value; /* i64 */
            tn_dim limit;   /* clamped to [0, limit - 1]; limit is at least 1 when reached */
            tn_dim element; /* linear index that an error reports */
            uint32_t site;  /* in lt_kernel.sites; LT_NONE: clamp without an error */
        } bind;
        struct {
            lt_value value; /* bool: something is wrong */
            tn_dim element; /* linear index that the error reports */
            uint32_t site;  /* in lt_kernel.sites */
        } check;
        struct {
            lt_loop_kind kind;
            tn_dim variable;
            tn_dim begin, end; /* step 1 (also when vector); no step when end <= begin */
            uint32_t width;    /* LT_VECTOR: lanes, a power of two */
            uint32_t n_carries;
            lt_carry *carries;
            lt_block body;
        } loop;
        struct {
            lt_value condition; /* bool; uniform inside a vector loop */
            lt_block then, otherwise;
        } branch;
        /* c[r, j] (+)= sum over k of a[r, k] * b[k, j] for r < mr, j < nr, k < depth, one FMA
         * chain over k for each element, in f64 where c is f64, else in f32, to which a and b are converted first.
         * With `inner` each k is a nest of steps itself (channels, then a kernel's rows, then its columns), the last
         * one the fastest. All are floats; a and b are of one dtype, or b is of a narrow one (also an integer of 8 or
         * 16 bits) beside f32. c is usually LT_LOCAL or LT_SCRATCH. A hint: elements
         * next_index + [i * next_step, (i + 1) * next_step) of buffer `next` (LT_NONE: no hint) will be read after the
         * tile, so step i of all asks memory for them; they need not exist. */
        struct {
            uint32_t a, b, c, next;
            tn_dim a_index, b_index, c_index;      /* of element [0, 0] */
            tn_dim a_row, a_depth, b_depth, c_row; /* strides; columns of b and c have stride 1 */
            tn_dim depth, next_index, next_step;
            uint32_t mr, nr, n_inner;
            lt_inner inner[LT_MAX_INNER];
            bool accumulate;
        } tile;
        /* to[j, i] = from[i, j] for i < rows, j < columns: buffers of one dtype, not the same. */
        struct {
            lt_matrix from, to;
            uint32_t rows, columns; /* of `from` */
        } transpose;
    };
} lt_stmt;

typedef struct lt_stage {
    tn_dim variable; /* the chunk's number */
    tn_dim chunks;   /* over the extents */
    uint32_t line;   /* as a statement's */
    lt_block body;
} lt_stage;

/* What a place that can record a run-time error looks for. */
typedef enum lt_site_kind {
    LT_SITE_INDEX,
    LT_SITE_NAN,
    LT_SITE_HINT, /* a NaN that is no error, but where one begins that is found at a site of the same group */
} lt_site_kind;

/* Such a place (LT_BIND, LT_CHECK). */
typedef struct lt_site {
    tn_op op;
    lt_site_kind kind;
    location_id locations;
    const tn_type *type; /* of the value that is looked at for NaN, not in parsed kernels */
    uint32_t group;      /* likewise (nan_looks.h) */
} lt_site;

typedef struct lt_kernel {
    tn_module *module; /* dims and arena */
    const char *name;
    const char *class_name;
    location_id where;  /* of most of its work, for debuggers; not told before these are served */
    lt_buffer *buffers; /* inputs, then outputs (the order of the fused function), then the rest */
    uint32_t n_buffers, buffers_capacity, n_inputs, n_outputs;
    tn_dim *extents; /* symbols, in the order of the kernel's arguments */
    uint32_t n_extents, extents_capacity;
    lt_stage *stages;
    uint32_t n_stages, stages_capacity;
    lt_site *sites;
    uint32_t n_sites, sites_capacity;
    uint32_t n_values, n_variables; /* ids given out */
    tn_dtype *value_dtypes;         /* of each SSA value */
    size_t value_dtypes_capacity;
    const char **notes; /* why it is built as it is; none unless machine.keeps_notes */
    uint32_t n_notes, notes_capacity;
} lt_kernel;

/* ---- Building (build.c): statements are appended to the block that is open ---- */

typedef struct lt_builder {
    lt_kernel *kernel;
    lt_block *block;   /* open block */
    location_id where; /* of what is appended */
    const machine *machine;
    bool failed; /* sticky; the diagnostic is in the module */
} lt_builder;

lt_kernel *lt_kernel_new(tn_module *m, const char *name, const char *class_name);
uint32_t lt_add_buffer(lt_builder *b, lt_role role, tn_dtype dtype, tn_dim elements, const char *name);
tn_dim lt_new_variable(lt_builder *b);
uint32_t lt_add_site(lt_builder *b, lt_site site);

lt_stage *lt_open_stage(lt_builder *b, tn_dim chunks); /* its body becomes the open block */

/* Tells those who ask (tenon explain) in a sentence what was chosen, and why. Costs nothing where nobody does. */
void lt_note(lt_builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

lt_value lt_const_float(lt_builder *b, tn_dtype dtype, double value);
lt_value lt_const_int(lt_builder *b, tn_dtype dtype, int64_t value); /* also bool, floats */
lt_value lt_const_bits(lt_builder *b, tn_dtype dtype, uint64_t bits);
lt_value lt_dim_value(lt_builder *b, tn_dim d);
lt_value lt_unary(lt_builder *b, tn_op op, lt_value x);
lt_value lt_binary(lt_builder *b, tn_op op, lt_value x, lt_value y);
lt_value lt_select(lt_builder *b, lt_value condition, lt_value x, lt_value y);
lt_value lt_ternary(lt_builder *b, tn_op op, lt_value x, lt_value y, lt_value z);
lt_value lt_compare(lt_builder *b, compare_kind relation, lt_value x, lt_value y);
lt_value lt_convert(lt_builder *b, lt_value x, tn_dtype dtype); /* x itself when it has that dtype */
lt_value lt_bitcast(lt_builder *b, lt_value x, tn_dtype dtype);
lt_value lt_load(lt_builder *b, uint32_t buffer, tn_dim index, lt_value guard);
void lt_store(lt_builder *b, uint32_t buffer, tn_dim index, lt_value value, lt_value guard);
tn_dim lt_bind(lt_builder *b, lt_value value, tn_dim limit, tn_dim element, uint32_t site);
void lt_check(lt_builder *b, lt_value value, tn_dim element, uint32_t site);
tn_dtype lt_dtype(const lt_builder *b, lt_value v);

/* Loops: open, build the body reading lt_carried(...) values, set each carry's next, close. */
lt_stmt *lt_open_loop(lt_builder *b, lt_loop_kind kind, tn_dim begin, tn_dim end, uint32_t width, uint32_t n_carries);
/* Declares carry i of the loop just opened; returns `inner`. combine is for vector loops. */
lt_value lt_carry_in(lt_builder *b, lt_stmt *loop, uint32_t i, lt_value init, tn_op combine);
void lt_carry_next(lt_stmt *loop, uint32_t i, lt_value next);
void lt_close_loop(lt_builder *b, lt_stmt *loop, lt_block *outer); /* outer: the block open before */
static inline lt_value lt_carry_result(const lt_stmt *loop, uint32_t i) {
    return i < loop->loop.n_carries ? loop->loop.carries[i].result : LT_NONE;
}

lt_stmt *lt_open_if(lt_builder *b, lt_value condition); /* then is open */
void lt_else(lt_builder *b, lt_stmt *branch);
void lt_close_if(lt_builder *b, lt_stmt *branch, lt_block *outer);

/* Statement `at` of a block behind all others, which use nothing that it makes. */
void lt_move_to_end(lt_block *block, uint32_t at);

lt_stmt *lt_tile(lt_builder *b); /* appended with everything zero: the caller fills it */
void lt_transpose(lt_builder *b, lt_matrix from, lt_matrix to, int64_t rows, int64_t columns);

/* ---- Everything else one can do with a loop tree ---- */

/* print.c, parse.c: the text form. parse(print(k)) is the same kernel. */
char *lt_print(const lt_kernel *k); /* from tn_malloc; NULL: no memory */
/* The same, as a part of a text in which it begins in line `first`: its stages and statements get to know their lines. */
char *lt_print_lines(const lt_kernel *k, uint32_t first);
lt_kernel *lt_parse(tn_module *m, const char *text, size_t length, const char *name); /* NULL: diagnostic in m */

/* verify.c: {place, rule, message}: values defined before use and in scope, dtypes, roles, widths. */
bool lt_verify(const lt_kernel *k, tn_diag *diag);

/* eval.c: runs a kernel on buffers (inputs and outputs in order), every access checked. */
tn_status lt_eval(const lt_kernel *k, void *const *buffers, const int64_t *extents, tn_diag *diag);

/* Equal but for names and locations: one compiled function serves both. */
uint64_t lt_hash(const lt_kernel *k);
bool lt_equal(const lt_kernel *a, const lt_kernel *b);

/* Equal but for that and for dims. */
uint64_t lt_hash_structure(const lt_kernel *k);
bool lt_same_structure(const lt_kernel *a, const lt_kernel *b);

/* ---- Lowering (lower.c): a fused function to a loop tree, by its class ---- */

/* The diagnostic is in the module when NULL. */
lt_kernel *lt_lower(tn_graph *fused, const machine *m);

#endif
