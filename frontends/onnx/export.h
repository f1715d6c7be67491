/* Inside the exporter: from a module to ONNX structs (proto.h).
 *
 * export.c            the way of a module: lowering, signature, functions, outputs, the file
 * export_lower.c      a copy of the module in which every op is one that ONNX has (export_lower_*.c: op by op)
 * export_table.c      the rows of export.def: how each op is lowered and written
 * export_graph.c      graphs while they grow: nodes, attributes, constants, names
 * export_dims.c       dims as values
 * export_value.c      values of functions as values of graphs: on demand, broadcasts folded, dtypes converted
 * export_ops_*.c      the writers that export.def names
 * export_kernels.c    kernels, as functions of the model that nodes call
 * export_file.c       the model's bytes, and weights in a file beside it
 */
#ifndef TN_ONNX_EXPORT_H
#define TN_ONNX_EXPORT_H

#include "frontends/onnx/proto.h"
#include "frontends/onnx/tenon_onnx.h"
#include "ir/dtype.h"
#include "ir/graph.h"
#include "ir/op.h"
#include "runtime/alloc.h"

/* ---- Graphs while they grow (export_graph.c) --------------------------------------------------- */

typedef struct exporter exporter;
typedef struct block block;

/* A value of an ONNX graph. Its text is settled when all is written, so that outputs get theirs. */
typedef struct label {
    const char *text;        /* NULL: not settled */
    const char *wanted;      /* a name that would be good; or NULL */
    block *home;             /* the graph that it is a value of */
    bool is_made;            /* by a node of it: neither an input nor an initializer */
    struct made_node *maker; /* that node */
} label;

typedef struct weight {
    label *l;
    const tensor_data *data;
} weight;

enum { EXPORT_MOST_ATTRIBUTES = 8 };

typedef struct made_node {
    struct made_node *next;
    const char *op, *domain; /* domain NULL: the standard's */
    label **inputs;          /* NULL: an optional one left out */
    label **outputs;
    int n_inputs, n_outputs;
    onnx_attribute attributes[EXPORT_MOST_ATTRIBUTES];
    int n_attributes;
} made_node;

/* A label with the type that it is declared with. */
typedef struct declared {
    label *l;
    tn_type type;
} declared;

typedef struct declared_list {
    declared *items;
    size_t count, capacity;
} declared_list;

/* A dim that a block has computed, as the symbols of an inlined function mean it. */
typedef struct dim_memo {
    struct dim_memo *next;
    const struct inlined *f;
    tn_dim dim;
    label *l;
} dim_memo;

/* One graph: the model's, a branch, the body of a loop, or that of a function of the model. */
struct block {
    block *parent; /* whose values it sees; NULL: the model's, and those of functions */
    bool is_function;
    block *next; /* in the list of all */
    const char *name;
    made_node *first, *last;
    size_t n_nodes;
    declared_list inputs, outputs;
    dim_memo *dims;
    onnx_graph *graph; /* filled at the end */
};

/* Nodes and labels are made in memory of the exporter; when there is none they are spare ones, and the
 * exporter has its error, so that nobody checks each. */
block *block_new(exporter *x, block *parent, const char *name);
label *label_new(exporter *x, block *home);
made_node *node_new(exporter *x, block *b, const char *op, label *const *inputs, int n_inputs, int n_outputs);
bool block_declare(exporter *x, declared_list *list, label *l, const tn_type *type);
/* The label itself when it can be an output of the block, else what an Identity makes of it. */
label *block_own(exporter *x, block *b, label *l, const declared_list *outputs);

void set_int(exporter *x, made_node *n, const char *name, int64_t i);
void set_float(exporter *x, made_node *n, const char *name, double f);
void set_text(exporter *x, made_node *n, const char *name, const char *text);
void set_ints(exporter *x, made_node *n, const char *name, const int64_t *items, int count);
void set_graph(exporter *x, made_node *n, const char *name, block *b);
void set_tensor(exporter *x, made_node *n, const char *name, const tensor_data *data);
/* A node before all others of the block that makes a constant. */
void block_put_constant(exporter *x, block *b, const weight *constant);

/* Constants are initializers of the model's graph, which all others see; equal ones are one. Functions see none of
 * them: while one is written, constants are its own. */
label *constant_label(exporter *x, const tensor_data *data);
label *numbers_label(exporter *x, const int64_t *items, int n); /* i64[n] */
label *number_label(exporter *x, int64_t item);                 /* i64, a scalar */
label *scalar_label(exporter *x, tn_dtype dtype, double number);
/* An initializer of its own with that name. */
label *weight_label(exporter *x, const tensor_data *data, const char *name);

/* A name that nothing has yet, made from `wanted` (NULL: a number). */
const char *name_take(exporter *x, const char *wanted);
/* The name, kept; NULL: it is taken already, or no memory (recorded). */
const char *name_reserve(exporter *x, const char *name);

/* Settles all texts and fills the onnx_graph of every block. */
bool blocks_finish(exporter *x);

/* ---- The exporter --------------------------------------------------------------------------------- */

/* Constants of the model, or of a function. */
typedef struct weight_pool {
    weight *items;
    size_t n, capacity;
    uint32_t *slots; /* hash table of index + 1 by data; a power of 2 */
    size_t n_slots;
} weight_pool;

struct exporter {
    const tn_module *source; /* the user's */
    tn_module *module;       /* the lowered copy; its error is the exporter's */
    tn_onnx_write_options options;
    arena memory; /* until the export ends */
    block *blocks, *last_block;
    weight_pool weights; /* of what is being written */
    struct made_function *functions;
    size_t n_functions;
    const char **names; /* hash table of names taken; a power of 2 */
    size_t n_names, n_name_slots;
    uint64_t next_name;
    size_t n_nodes;
    made_node spare_node;
    label spare_label, *spare_labels[2];
    onnx_model model;
};

static inline bool export_failed(const exporter *x) { return x->module->error.status != TN_OK; }
bool export_no_memory(exporter *x);
static inline dim_table *export_dims(const exporter *x) { return x->module->dims; }

/* A function while it is written into a block: its values by label. Functions that are called are written where
 * the call stands. */
typedef struct inlined {
    const struct inlined *caller; /* NULL: the main function */
    const tn_graph *g;
    block *b;
    label **values;        /* of each value; NULL: not made yet */
    const uint32_t *uses;  /* of each value */
    const tn_dim *symbols; /* of each symbol, in the caller's terms */
    int depth;
} inlined;

/* Writes a function with these arguments (of those that are no tokens: label NULL) into a block. `symbols`: see
 * inlined. NULL: recorded. */
inlined *export_function(exporter *x, block *b, const tn_graph *g, label *const *arguments, const inlined *caller,
                         const tn_dim *symbols);

/* ---- Dims as values (export_dims.c) ------------------------------------------------------------------ */

/* One dim as i64[1], or several as i64[n]. */
label *dim_label(exporter *x, block *b, const inlined *f, tn_dim d);
label *dims_label(exporter *x, block *b, const inlined *f, const tn_dim *dims, int n);
/* From now on block b has that label for the dim of f. */
bool dim_label_set(exporter *x, block *b, const inlined *f, tn_dim d, label *l);

/* ---- One node on its way -------------------------------------------------------------------------------- */

typedef struct writing writing;
typedef void write_fn(writing *w);

typedef struct lowering lowering;
/* True when results are set, or an error is recorded: false leaves the node as it is. */
typedef bool lower_fn(lowering *c);

/* A row of export.def. */
typedef struct export_row {
    write_fn *write;
    const char *onnx; /* what `write` needs to know: an op of ONNX's */
    int typed;        /* the operand whose dtype counts; -1: none does */
    dtype_set runs;   /* dtypes that runtimes have; others are converted to a wider one */
    dtype_set says;   /* dtypes that the standard has besides, for what no wider one holds */
    lower_fn *lower;  /* or NULL */
    const char *why;  /* there is no way to say it: the reason */
} export_row;

extern const export_row export_rows[TN_OP_COUNT];

/* The dtype that a row works in for operands of `dtype`; TN_DTYPE_INVALID: none. */
tn_dtype work_dtype(const export_row *row, tn_dtype dtype);

struct writing {
    exporter *x;
    block *b;
    inlined *f;
    const node *n;
    const export_row *row;
    tn_dtype dtype; /* of the operand that counts */
    tn_dtype work;  /* what it is converted to */
};

/* Records "OP: message" with the node's place; always false. */
bool write_error(writing *w, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The label of a value of a function; made now where that was put off. */
label *value_label(exporter *x, inlined *f, value_id v);

static inline const tn_type *operand_type(const writing *w, uint32_t i) {
    return graph_type(w->f->g, w->n->operands[i]);
}
static inline const tn_type *result_type(const writing *w, uint32_t i) {
    return graph_type(w->f->g, w->n->first_result + i);
}
/* An operand as it is, and in the dtype to work in when it has the dtype that counts. */
label *operand(writing *w, uint32_t i);
label *work_operand(writing *w, uint32_t i);
/* Likewise all operands of an elementwise op, with broadcasts left to ONNX's own where that gives the same. */
void work_operands(writing *w, label **labels);
/* The operand of a broadcast of a scalar, or of a scalar; NULL: it is neither. */
label *scalar_operand(writing *w, uint32_t i);
/* Operand i when it is one number for each of the channels [., c, ...] of the result, as a vector that stood before the
 * node did; NULL: it is not. */
label *channel_operand(writing *w, uint32_t i);
/* The elements of operand i when it is a constant, or a constant broadcast; NULL. */
const tensor_data *constant_operand(const writing *w, uint32_t i);

/* Nodes with one output, which is returned. */
label *emit(writing *w, const char *op, label *const *inputs, int n);
#define EMIT(w, op, ...)                                                                                               \
    emit((w), (op), (label *[]){__VA_ARGS__}, (int)(sizeof((label *[]){__VA_ARGS__}) / sizeof(label *)))
made_node *emit_node(writing *w, const char *op, label *const *inputs, int n, int n_outputs);
#define EMIT_NODE(w, op, ...)                                                                                          \
    emit_node((w), (op), (label *[]){__VA_ARGS__}, (int)(sizeof((label *[]){__VA_ARGS__}) / sizeof(label *)), 1)
label *emit_cast(writing *w, label *l, tn_dtype from, tn_dtype to);
label *emit_permuted(writing *w, label *l, const int64_t *perm, int rank);
label *emit_part(writing *w, label *l, int64_t axis, label *start, label *end, int64_t step);

/* Result i is that label, or that label converted back from the dtype to work in. */
void give(writing *w, uint32_t i, label *l);
void give_work(writing *w, uint32_t i, label *l);

/* ---- Kernels (export_kernels.c) ---------------------------------------------------------------------- */

/* Writes the call of a kernel as a node whose op is a function of the model. */
void export_kernel_call(writing *w, const tn_graph *kernel);
/* The functions as the model has them, once blocks are finished. */
bool export_fill_functions(exporter *x);

/* ---- Lowering ------------------------------------------------------------------------------------------------ */

/* One node that is to be said by others. */
struct lowering {
    exporter *x;
    tn_graph *g; /* being built */
    const tn_graph *from;
    const node *n;
    tn_val *operands; /* in g */
    tn_val *results;
};

/* Makes of the exporter's copy of the module one in which every node has a writer. False: recorded. */
bool export_lower(exporter *x);

/* Whether ONNX's own pooling says that node as it is. */
bool pool_is_direct(const dim_table *t, const tn_type *x, const attr_list *attrs, bool is_mean, int opset);
/* Whether a convolution of spread input is one of ConvTranspose. */
bool conv_is_transposed(const dim_table *t, const tn_type *kernel, const attr_list *attrs);

/* An entry of a list attribute, or what counts when it is absent. */
static inline int64_t attr_entry(const attr_list *attrs, attr_name name, int i, int64_t otherwise) {
    const attr *a = attr_find(attrs, name);
    return a && a->ints.n > 0 ? a->ints.items[i] : otherwise;
}
static inline tn_dim attr_dim_entry(const attr_list *attrs, attr_name name, int i, tn_dim otherwise) {
    const attr *a = attr_find(attrs, name);
    return a && a->dims.n > 0 ? a->dims.items[i] : otherwise;
}

/* ---- The file (export_file.c) ---------------------------------------------------------------------------------- */

/* A constant as a tensor with its bytes. */
bool export_tensor(exporter *x, const tensor_data *data, const char *name, onnx_tensor *t);
/* Adds the initializers, in the model's bytes or as references to `data_name`. */
bool export_weights(exporter *x, const char *data_name);
tn_status export_to_file(exporter *x, const char *path, tn_diag *diag);
tn_status export_to_memory(exporter *x, void **bytes, size_t *n, tn_diag *diag);

#endif
