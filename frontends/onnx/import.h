/* Inside the importer: from ONNX structs (proto.h) to a module.
 *
 * import.c       the way of a model: symbols, inputs, nodes in order, outputs
 * scope.c        names of values, and what is known of each value
 * conversion.c   one node: its row of table.def, inputs, attributes, errors
 * body.c         functions for branches and loops
 * known.c        known contents: from constants, to values
 * shape_arith.c  known contents through shape arithmetic (shape_math.c: item by item)
 * fold.c         contents that follow from constants in other ways
 * missing.c      all ops without a row, before anything is built
 * ops_*.c        the conversions that table.def names
 */
#ifndef TN_ONNX_IMPORT_H
#define TN_ONNX_IMPORT_H

#include "frontends/onnx/proto.h"
#include "frontends/onnx/tenon_onnx.h"
#include "ir/dtype.h"
#include "ir/graph.h"
#include "ir/near.h"
#include "runtime/alloc.h"

/* ---- Known contents ---------------------------------------------------------------------- */

/* The content of an integer (or bool, or whole-numbered float) tensor as dims, in row-major
 * order: what shapes are computed from while importing. */
enum { KNOWN_MAX_RANK = 3, KNOWN_MAX_ITEMS = 1024 };

typedef struct known {
    tn_dtype dtype;
    int rank;
    int64_t shape[KNOWN_MAX_RANK];
    int64_t n; /* items */
    const tn_dim *items;
    bool is_equality; /* one bool: whether these are equal */
    tn_dim left, right;
} known;

/* ---- Values and scopes ------------------------------------------------------------------- */

/* A named value. Its node is made when somebody wants it. */
typedef struct entry {
    const char *name;
    tn_val value;                   /* invalid: no node yet */
    const known *known;             /* or NULL */
    const onnx_tensor *initializer; /* a tensor of the model; or NULL */
    const tensor_data *data;        /* its elements, when they were asked for */
    bool is_weight;                 /* a Constant that counts as an initializer (scope_takes_weight) */
} entry;

typedef struct importer importer;

/* The call of a local function that is being inlined. */
typedef struct frame {
    const struct frame *caller; /* NULL: called from the main graph */
    const onnx_node *node;
    const onnx_function *function;
    int depth;
} frame;

/* The values of one ONNX graph. Graphs whose nodes go into the same function (a branch that is
 * known to be taken) see those of the graph around them. */
typedef struct scope {
    importer *im;
    tn_graph *g;
    struct scope *parent; /* or NULL */
    const frame *frame;   /* NULL: not within a local function */
    const onnx_opset_list *opsets;
    entry *entries;
    size_t n_entries, entries_capacity;
    uint32_t *slots; /* hash table of entry index + 1 */
    size_t n_slots;
} scope;

scope scope_open(importer *im, tn_graph *g, scope *parent, const frame *frame, const onnx_opset_list *opsets);
void scope_close(scope *s);
/* The entry, here or in a parent; NULL: there is none. */
entry *scope_find(scope *s, const char *name);
/* Offers the names of all that is seen from here. */
void scope_offer(const scope *s, near_names *near);
/* A new entry; NULL with an error: the name is taken, or no memory. */
entry *scope_add(scope *s, const char *name);
/* The node of an entry; invalid after an error. */
tn_val entry_value(scope *s, entry *e);
const known *entry_known(scope *s, entry *e);
/* Elements of an entry that is constant; NULL: it is not. */
const tensor_data *entry_data(scope *s, entry *e);
/* A weight of the module, whose content is nothing to build on. */
bool entry_is_weight(scope *s, entry *e);
/* Whether a Constant node with these elements is a weight. */
bool scope_takes_weight(const scope *s, const tensor_data *data);

/* ---- The importer ------------------------------------------------------------------------- */

/* A size that the model names, as a dim. */
typedef struct symbol_name {
    const char *param; /* as the model has it */
    tn_dim dim;
} symbol_name;

struct importer {
    tn_module *module;
    onnx_model *model;
    const char *path;  /* for messages */
    const char *place; /* of the node that is being imported; NULL: none */
    tn_onnx_options options;
    symbol_name *symbols;
    size_t n_symbols, symbols_capacity;
    size_t n_nodes; /* imported, those of inlined functions counted each time */
    int depth;      /* of graphs being imported */
    arena memory;   /* until the import ends */
};

static inline dim_table *import_dims(const importer *im) { return im->module->dims; }
static inline bool import_failed(const importer *im) { return im->module->error.status != TN_OK; }
/* Records an error about the model as a whole; always false. */
bool import_error(importer *im, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool import_no_memory(importer *im);

/* Imports initializers and nodes of a graph into a scope whose inputs are bound. False: an error is
 * recorded. */
bool import_graph_body(scope *s, const onnx_graph *graph);
bool import_nodes(scope *s, const onnx_node_list *nodes);
/* The type of a graph's input, with symbols for the sizes that it names or leaves open. */
bool import_type(importer *im, const onnx_value_info *info, tn_type *type);

/* The tensor's elements, in the module. NULL: recorded. */
const tensor_data *import_tensor(importer *im, const onnx_tensor *tensor);
tn_val import_constant(scope *s, const tensor_data *data);
/* The content of a value that comes from a few small constants; NULL: it doesn't. */
const tensor_data *import_fold(importer *im, tn_val v);

/* Metadata properties of the model that a module was read from; none when it was not. */
onnx_entry_list import_metadata(const tn_module *m);

/* Reports all ops of the model that have no row. False: there are some. */
bool import_check_ops(importer *im);

/* ---- Known contents ------------------------------------------------------------------------ */

/* A known content with room for its items, which the caller fills. NULL: no memory, or too large. */
known *known_new(importer *im, tn_dtype dtype, int rank, const int64_t *shape, tn_dim **items);
known *known_vector(importer *im, tn_dtype dtype, int64_t n, tn_dim **items);
const known *known_from_data(importer *im, const tensor_data *data); /* NULL: too large, fractions */
/* Where only order counts: the least integer, which no dim can be, is its neighbour. */
const known *known_positions(importer *im, const tensor_data *data);
tn_val known_value(scope *s, const known *k);
/* Item i as a number; false: it is an expression. */
bool known_number(const importer *im, const known *k, int64_t i, int64_t *number);

/* ---- Conversions ---------------------------------------------------------------------------- */

typedef struct conversion conversion;
typedef void convert_fn(conversion *c);

/* A row of table.def. */
typedef struct op_row {
    const char *name;
    int since, until; /* opset versions, inclusive */
    int least, most;  /* inputs */
    int outputs;      /* the most */
    convert_fn *convert;
    int variant; /* what the conversion needs to tell its ops apart */
    const char *domain;
} op_row;

enum { OPSET_NEWEST = INT32_MAX, MANY = INT32_MAX };

extern const op_row op_rows[];
extern const size_t op_row_count;
/* The row of an op at an opset version; NULL. `domain` is "" for the standard. */
const op_row *op_row_find(const char *domain, const char *name, int64_t version);

/* The version of a domain that a scope's model or function imports; 0: none. */
int64_t opset_version(const onnx_opset_list *opsets, const char *domain);
/* "" for the standard under either of its names. */
const char *domain_of(const onnx_node *node);

/* The local function that a node calls; NULL: none of that name. */
const onnx_function *function_find(const onnx_model *model, const onnx_node *node);

/* One node on its way. */
struct conversion {
    importer *im;
    scope *s;
    tn_graph *g;
    const onnx_node *node;
    const op_row *row;
    int variant;
    int64_t version;
    const char *place; /* "model.onnx: node 'conv1' (Conv)" */
};

/* Converts one node. */
bool import_node(scope *s, const onnx_node *node);

/* Records an error with the node's place; always false. */
bool node_error(conversion *c, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline bool has_failed(const conversion *c) { return import_failed(c->im); }
static inline dim_table *node_dims(const conversion *c) { return c->im->module->dims; }

/* Inputs. One that is left out has no value. */
bool has_input(const conversion *c, int i);
tn_val input(conversion *c, int i);
int input_count(const conversion *c);
const known *input_known(conversion *c, int i);
/* The same, also where it follows from constants by other ops than shape arithmetic. */
const known *input_folded(conversion *c, int i);
/* The same for positions that are clamped to an extent (known_positions). */
const known *input_positions(conversion *c, int i);
const char *input_name(const conversion *c, int i);
/* The content of input i, or an error that says what (`what`: "the shape") cannot be known. */
const known *need_known(conversion *c, int i, const char *what);
const known *need_positions(conversion *c, int i, const char *what);
/* Numbers: integer content of at most `capacity` items; the error is recorded. */
bool need_ints(conversion *c, int i, const char *what, int64_t *items, int capacity, int *n);
bool need_int(conversion *c, int i, const char *what, int64_t *number);
/* Elements of a constant as doubles. */
bool need_floats(conversion *c, int i, const char *what, double *items, int capacity, int *n);

bool has_output(const conversion *c, int i);
void output(conversion *c, int i, tn_val v);
void output_known(conversion *c, int i, const known *k);
/* A weight with these elements. */
void output_weight(conversion *c, int i, const tensor_data *data);

/* Attributes. A wrong kind is recorded as an error. */
bool has_attribute(conversion *c, const char *name);
const onnx_attribute *find_attribute(conversion *c, const char *name, int32_t type);
int64_t read_int(conversion *c, const char *name, int64_t otherwise);
double read_float(conversion *c, const char *name, double otherwise);
const char *read_text(conversion *c, const char *name, const char *otherwise);
/* At most `capacity` numbers; *n is -1 when the attribute is absent. False: recorded. */
bool read_ints(conversion *c, const char *name, int64_t *items, int capacity, int *n);
const onnx_graph *read_graph(conversion *c, const char *name);

/* An axis of a tensor of that rank, counted from either end, to [0, rank). */
bool check_axis(conversion *c, int64_t *axis, int rank);
/* Axes from the attribute "axes", or from input i when the row's variant of the op has it there.
 * *n is -1 when none are given. Sorted, distinct, within [0, rank). */
bool read_axes(conversion *c, int i, int rank, int64_t *axes, int *n);

/* ---- What conversions share ------------------------------------------------------------------ */

static inline tn_dtype dtype_of(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }
static inline tn_dim number_dim(const conversion *c, int64_t n) { return dim_const(c->im->module->dims, n); }
static inline tn_ints ints_of(const int64_t *items, int n) { return (tn_ints){n, items}; }
bool is_static_dim(const conversion *c, tn_dim d, int64_t *value);
/* tn_apply with attributes that end with {0}. */
tn_val apply_op(conversion *c, tn_op op, const tn_val *operands, int n, const tn_attr_arg *attributes);
/* A scalar in v's dtype. */
tn_val scalar_like(tn_val v, double number);
tn_val iota_dims(conversion *c, tn_dtype dtype, int rank, const tn_dim *dims, int axis);
/* Padding with a scalar value; low and high have one dim each axis. */
tn_val pad_dims(conversion *c, tn_val x, tn_val value, const tn_dim *low, const tn_dim *high);
/* Part [start, limit) of one axis. */
tn_val slice_axis(conversion *c, tn_val x, int axis, tn_dim start, tn_dim limit);
/* v[i] along `axis`, which vanishes. */
tn_val pick(conversion *c, tn_val x, int axis, int64_t i);
/* A vector as [1, n, 1, ...] of that rank with its elements along `axis`. */
tn_val along_axis(conversion *c, tn_val v, int axis, int rank);
/* Repeats (no arithmetic): v as rank and dims. */
tn_val broadcast_like(conversion *c, tn_val v, tn_val like);
/* An axis dropped that has, or must have, the extent 1. */
tn_val drop_axis(conversion *c, tn_val x, int axis);
/* a = b from here on: a constraint of the main function, a check at run time in a branch, which may
 * not be taken. False: they differ. */
bool assume_equal(conversion *c, tn_dim a, tn_dim b);
/* Indices along an axis of `extent` with negative ones counted from the end. */
tn_val wrap_indices(conversion *c, tn_val indices, tn_dim extent);

/* Windows of convolution and pooling (ops_window.c). */
typedef struct window_args {
    int n; /* spatial axes */
    int64_t kernel[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    tn_dim extra[TN_MAX_RANK]; /* what ceil_mode adds behind `high` */
    bool has_extra;
} window_args;
/* Reads strides, dilations, pads, auto_pad and ceil_mode for x; the kernel is given or read. */
bool read_window(conversion *c, tn_val x, const int64_t *kernel, window_args *w);

/* A float divided by its scale already, rounded, moved by the zero point and saturated to its dtype. */
tn_val quantize(conversion *c, tn_val x, tn_val zero_point);

/* Functions of control flow (body.c): built apart, with what they use from outside passed in. */
typedef struct body {
    conversion *c;
    tn_graph *g;
    tn_val *outer;  /* values of the graph around it that are passed in ... */
    tn_val *inside; /* ... and the parameters that receive them */
    size_t n, capacity, inside_capacity;
} body;
bool body_open(body *b, conversion *c, const char *name);
void body_close(body *b); /* frees the lists; the function stays */
tn_val body_param(body *b, const char *name, const tn_type *type);
/* The value inside: constants are made again, others become parameters. */
tn_val body_capture(body *b, tn_val outer);
/* A scope inside with all that the graphs use from outside, captured in one order for all bodies of an
 * op; and the symbols of all types so far. */
bool body_scope(body *b, const onnx_graph *const *graphs, int n, scope *s);
/* Results: the values of a scope named by the graph's outputs from `first` on. */
bool body_results(body *b, scope *s, const onnx_graph *graph, size_t first, size_t n);
/* Results that hand the captured values on (for loops, where they are carried). */
bool body_return_captured(body *b);
bool body_result(body *b, tn_val v);

/* Table of known contents through shape arithmetic; false: the op is not in it, or something is
 * not known. */
bool convert_known(conversion *c);

#endif
