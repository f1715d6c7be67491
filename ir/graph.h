/* Modules, functions, nodes, values: the graph IR as data.
 *
 * A module owns one arena and one dim table; all that a function is made of lies there and
 * is freed with the module. Values are 32-bit ids into arrays of their function. Nodes stand
 * in the order they were built, operands before users, so that a walk from first to last is
 * a topological order. A function is only ever appended to: passes build a new function
 * from the old.
 *
 * Code inside Tenon builds with the same builder as users (tenon_graph.h): the calls' own
 * location is overridden while graph_set_origin is in force, so that what a pass makes
 * carries the locations of what it was made from.
 */
#ifndef TN_IR_GRAPH_H
#define TN_IR_GRAPH_H

#include "ir/dim.h"
#include "tenon_graph.h"

#include <stdatomic.h>

#define VALUE_NONE UINT32_MAX
enum {
    GRAPH_MAX_NODES = 1 << 24, /* of one function */
    GRAPH_MAX_DEPTH = 200,     /* of calls that call calls */
};
#define LOCATION_NONE 0u

typedef uint32_t value_id;
typedef uint32_t location_id; /* an interned set of source locations */

/* ---- Attributes ------------------------------------------------------------------------ */

typedef enum attr_kind {
    ATTR_KIND_INT,
    ATTR_KIND_INTS,
    ATTR_KIND_DIM,
    ATTR_KIND_DIMS,
    ATTR_KIND_PAIR,
    ATTR_KIND_FLOAT,
    ATTR_KIND_ENUM,
    ATTR_KIND_DTYPE,
    ATTR_KIND_TEXT,
    ATTR_KIND_FUNC,
    ATTR_KIND_DATA,
} attr_kind;

typedef enum attr_name {
#define ATTR(name, KIND, options) ATTR_##name,
#include "ir/attrs.def"
#undef ATTR
    ATTR_COUNT
} attr_name;

/* Values of ENUM attributes, in the order of their options in attrs.def. */
typedef enum reduce_kind {
    REDUCE_SUM,
    REDUCE_PROD,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_AND,
    REDUCE_OR,
    REDUCE_ARGMAX,
    REDUCE_ARGMIN
} reduce_kind;
typedef enum combine_kind { COMBINE_SET, COMBINE_ADD, COMBINE_MUL, COMBINE_MAX, COMBINE_MIN } combine_kind;
typedef enum compare_kind { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE } compare_kind;

/* Constant data, immutable, interned by type and bits. Types are static. */
typedef struct tensor_data {
    tn_type type;
    size_t bytes;
    const void *data; /* in the arena, or the caller's memory that outlives the module (a mapped file) */
    uint64_t hash;
} tensor_data;

typedef struct attr {
    uint8_t name; /* attr_name; fixes which member below counts */
    union {
        int64_t i;               /* INT, ENUM, DTYPE */
        double f;                /* FLOAT */
        tn_dim dim;              /* DIM */
        const char *text;        /* TEXT, interned */
        tn_graph *func;          /* FUNC */
        const tensor_data *data; /* DATA */
        struct {
            const int64_t *items;
            uint32_t n;
        } ints; /* INTS; PAIR: both lists one after the other, `split` of them in the first */
        struct {
            const tn_dim *items;
            uint32_t n;
        } dims; /* DIMS */
    };
    uint32_t split; /* PAIR only */
} attr;

/* Attributes of one node, ordered by name, each at most once. An optional attribute that is
 * absent reads as 0, empty or NULL. */
typedef struct attr_list {
    uint32_t n;
    const attr *items;
} attr_list;

const attr *attr_find(const attr_list *list, attr_name name); /* NULL: absent */
int64_t attr_int(const attr_list *list, attr_name name, int64_t otherwise);
bool attr_at_most(const attr_list *list, attr_name name, int64_t most); /* absent, or none of its integers is above */
double attr_float(const attr_list *list, attr_name name, double otherwise);
attr_kind attr_kind_of(attr_name name);
const char *attr_name_text(attr_name name);
attr_name attr_from_name(const char *text, size_t length); /* ATTR_COUNT: none such */
const char *attr_option(attr_name name, int64_t value);    /* spelling of an ENUM value; NULL: none such */
int64_t attr_option_value(attr_name name, const char *text, size_t length); /* -1: none such */
bool attr_equal(const attr *a, const attr *b);

/* ---- Functions ------------------------------------------------------------------------- */

typedef struct node {
    uint16_t op; /* tn_op */
    uint32_t n_operands;
    uint32_t n_results;
    const value_id *operands;
    value_id first_result; /* results have consecutive ids */
    attr_list attrs;
    location_id locations;
} node;

typedef struct value {
    tn_type type;
    uint32_t node;    /* index of the node that makes it */
    uint32_t result;  /* which of that node's results */
    const char *name; /* for printing and messages; NULL: %id. Not part of identity. */
} value;

/* When a parameter's content is known. Constants, known at compile time, are nodes. */
typedef enum binding { BINDING_RUN, BINDING_LOAD, BINDING_STATE } binding;

typedef struct param {
    value_id value;
    tn_type type;
    const char *name;
    binding binding;
    const tensor_data *initial; /* LOAD: the weights the model came with, or NULL */
} param;

typedef struct result {
    value_id value;
    const char *name;
    int32_t state_param; /* index of the parameter whose buffer it takes, or -1 */
} result;

/* What is known of a symbol of a function. */
typedef struct symbol {
    tn_dim dim;
    int64_t low, high; /* inclusive; 0 and INT64_MAX by default */
    int64_t divisor;   /* at least 1 */
} symbol;

typedef enum relation { RELATION_EQ, RELATION_LE, RELATION_DIVIDES } relation; /* a = b, a <= b, a divides b */
bool relation_holds(relation r, int64_t a, int64_t b);

/* What a shape rule needs and could not prove; checked when symbols are bound. */
typedef struct constraint {
    relation relation;
    tn_dim a, b;
    uint16_t op; /* that asked for it */
    location_id locations;
} constraint;

/* What a gradient does about values that its way back needs (tn_graph_remat). */
typedef enum remat { REMAT_CHEAP, REMAT_NONE, REMAT_FULL, REMAT_COUNT } remat;
extern const char *const remat_names[REMAT_COUNT];

struct tn_graph {
    tn_module *module;
    const char *name;   /* without @ */
    bool is_kernel;     /* one fused unit of work, made by fuse */
    uint8_t remat;      /* enum remat */
    tn_graph *gradient; /* that calls of it are gone back through by (tn_graph_gradient); NULL: its own */
    bool is_called;     /* a call names it: it cannot grow any more, so that calls form no cycle */
    bool has_effects;   /* asserts or prints, here or in what it calls */
    uint32_t depth;     /* levels of calls below it */
    node *nodes;
    size_t n_nodes, nodes_capacity;
    value *values;
    size_t n_values, values_capacity;
    param *params;
    size_t n_params, params_capacity;
    result *results;
    size_t n_results, results_capacity;
    symbol *symbols; /* in order of first appearance in the parameters */
    size_t n_symbols, symbols_capacity;
    constraint *constraints;
    size_t n_constraints, constraints_capacity;
    struct nan_look *nan_looks; /* one for each value, where a compilation looks for NaN (loops/nan_looks.h); or NULL */
    uint32_t *intern;           /* hash table of node index + 1, open addressing, capacity a power of 2 */
    size_t n_interned;
    size_t intern_capacity;
    location_id origin; /* in force: see graph_set_origin */
};

/* Something a module keeps alive, as its kind says: a mapped file, say. */
typedef struct attachment_kind {
    void (*release)(void *data);
    void (*drop_pages)(void *data); /* gives back memory that can be had from a file again; NULL: there is none */
} attachment_kind;

typedef struct attachment {
    struct attachment *next;
    const attachment_kind *kind;
    void *data;
} attachment;

/* What follows the functions of a text after the word `loops`: loop trees, which compiler/loops reads. */
typedef struct loops_text {
    const char *text; /* NULL: none; in the module's memory */
    size_t length;
    const char *file; /* where it is from */
    int line;
} loops_text;

struct tn_module {
    arena memory;
    arena contents; /* of constants, and the list of attachments: what module_keep_data keeps */
    dim_table *dims;
    const char *name;
    tn_graph **graphs; /* callees before callers is not required; main is the first unless named */
    size_t n_graphs, graphs_capacity;
    loops_text loops;
    tn_diag error;         /* the first; status TN_OK while there is none */
    bool error_is_passing; /* it is of a compilation, which leaves the module as good as before: the next one ends it */
    struct interner *interner; /* strings, constants, location sets (ir/intern.c) */
    atomic_int references;     /* more than the owner's; freed when none is left (module_retain) */
    tn_module *source;         /* the module this is a copy of; its data are read in place */
    attachment *attachments;   /* released with the module, the last one first */
};

tn_module *module_new(const char *name); /* NULL: no memory */
/* One more owner: tn_module_free then has to be called once more. Returns m. */
tn_module *module_retain(tn_module *m);
/* A copy of all functions, for passes to work on. Constant data are not copied: the copy keeps
 * `m` alive. The caller frees it. NULL: no memory. */
tn_module *module_clone(tn_module *m);
/* The same of what is compiled: main and `prepare`, and what they call. */
tn_module *module_clone_called(tn_module *m);
/* Hands `data` over: kind->release(data) is called when the module is freed. False: no memory (recorded), and
 * nothing was handed over. */
bool module_attach(tn_module *m, const attachment_kind *kind, void *data);
/* What was attached last of that kind; NULL: nothing. */
void *module_attached(const tn_module *m, const attachment_kind *kind);
/* Gives back what memory can be had again, of attachments to m and to what it is a copy of. */
void module_drop_pages(const tn_module *m);
/* Gives back all that m consists of but the data of constants and attachments, which somebody reads in place: from here
 * on m can only drop pages and be freed. */
void module_keep_data(tn_module *m);
tn_graph *module_find(const tn_module *m, const char *name);
tn_graph *module_add_graph(tn_module *m, const char *name); /* name made unique; NULL with a diagnostic */
tn_graph *module_main(const tn_module *m);                  /* the function "main", else the first */
/* Its place among the functions of m; n_graphs: it has none. */
size_t module_number_of(const tn_module *m, const tn_graph *g);
/* Takes a function that nothing calls out of its module and releases it. */
void module_remove_graph(tn_module *m, tn_graph *g);
/* Sets reached[number] of f (or NULL), of what it calls, and of the gradients of these where they are asked for. */
void module_mark_reached(const tn_module *m, const tn_graph *f, bool with_gradients, bool *reached);
/* Takes out and releases what neither f nor `other` (or NULL) leads to, gradients included. False: no memory, nothing was
 * taken. */
bool module_remove_uncalled(tn_module *m, const tn_graph *f, const tn_graph *other);
/* Moves the content of `from` into the struct of g, so that callers of g keep their callee;
 * `from`, emptied, leaves the module. */
void graph_take_content(tn_graph *g, tn_graph *from);
/* Numbers of all functions, each behind those that it calls; from tn_malloc, NULL: no memory (calls.c). */
size_t *module_call_order(const tn_module *m);
/* Frees what a function holds outside the arena; it is empty afterwards only for its owner to overwrite. */
void graph_release(tn_graph *g);

/* Records a diagnostic unless there is one already; always false. `where` may be LOCATION_NONE. */
bool module_error(tn_module *m, tn_status status, location_id where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool module_error_at(tn_module *m, tn_status status, const char *file, int line, int column, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Takes back an error that was of a compilation. */
void module_end_passing_error(tn_module *m);

bool module_no_memory(tn_module *m); /* records TN_ERR_MEMORY; always false */

const char *module_intern(tn_module *m, const char *text); /* NULL: no memory (recorded), or text is NULL */
const char *module_intern_n(tn_module *m, const char *text, size_t length);
/* Interned constant of a static type; `copy` puts the bytes in the arena, else they must outlive the
 * module. `data` may be NULL when the type has no elements. NULL: recorded. */
const tensor_data *module_constant(tn_module *m, const tn_type *type, const void *data, bool copy);

/* Location sets. They keep the first LOCATION_MAX places that go into them. */
enum { LOCATION_MAX = 16 };
location_id location_intern(tn_module *m, const char *file, int line);
location_id location_union(tn_module *m, location_id a, location_id b);
/* Locations of a set as (file, line) pairs; returns how many there are. */
size_t location_items(const tn_module *m, location_id set, size_t capacity, tn_location *items);

/* The same places, of what the gradient of such an op is computed by. A set united with one that is not of that
 * gradient is of none. */
location_id location_in_gradient(tn_module *m, location_id set, tn_op op);
tn_op location_gradient_of(const tn_module *m, location_id set); /* TN_OP_COUNT: of none */

/* Types. */
tn_type type_make(tn_dtype dtype, int rank, const tn_dim *dims);
tn_type type_scalar(tn_dtype dtype);
bool type_equal(const tn_type *a, const tn_type *b);
bool type_is_static(const dim_table *t, const tn_type *type);
tn_dim type_element_count(dim_table *t, const tn_type *type);
/* Bytes of a static type; false when not static or over SIZE_MAX / 2. */
bool type_static_bytes(const dim_table *t, const tn_type *type, size_t *bytes);
size_t type_print(const dim_table *t, const tn_type *type, char *out, size_t bytes); /* f32[n, 784] */

/* A value in words, for messages: "x is f32[n, 784]", "the matmul of mlp.c:14 is f32[n, 10]". */
size_t value_describe(const tn_graph *g, value_id v, char *out, size_t bytes);

/* Appends a node, or finds the equal one (pure ops). Checks operand count, attributes and
 * the op's rule; fills results[] (the op's number of them; NULL allowed). `attrs` in any
 * order, copied. False with a diagnostic in the module. */
bool graph_apply(tn_graph *g, location_id where, tn_op op, const value_id *operands, uint32_t n_operands,
                 const attr *attrs, uint32_t n_attrs, value_id *results, uint32_t results_capacity,
                 uint32_t *n_results);

/* Parameters and results have names of their own, made up when `name` is NULL. A function that
 * is called already cannot get more. A result with a state_param must have its type. */
value_id graph_add_param(tn_graph *g, const char *name, const tn_type *type, binding b);
bool graph_add_result(tn_graph *g, const char *name, value_id v, int32_t state_param);
bool graph_add_symbol(tn_graph *g, tn_dim dim, int64_t low, int64_t high, int64_t divisor); /* updates when known */
bool graph_add_constraint(tn_graph *g, relation r, tn_dim a, tn_dim b, tn_op op, location_id where);

/* True when the relation is proved for all values of the symbols, or was recorded as a constraint;
 * false with no diagnostic when it is known not to hold (or memory is out, with one). */
bool graph_require(tn_graph *g, relation r, tn_dim a, tn_dim b, tn_op op, location_id where);

/* True when a and b are equal, or when equality was recorded as a constraint; false with no
 * diagnostic when they are known to differ. */
bool graph_require_equal(tn_graph *g, tn_dim a, tn_dim b, tn_op op, location_id where);

/* From now on calls of the builder on g carry this set instead of their own place; returns
 * the former. LOCATION_NONE ends it. */
location_id graph_set_origin(tn_graph *g, location_id origin);

static inline const node *graph_node_of(const tn_graph *g, value_id v) { return &g->nodes[g->values[v].node]; }
static inline const tn_type *graph_type(const tn_graph *g, value_id v) { return &g->values[v].type; }

/* What is known of the symbols of `from`. */
bool graph_copy_symbols(tn_graph *to, const tn_graph *from);

/* Copies node n of `from` into `to` with operands mapped through map[] (value_id of `from` to
 * value_id of `to`) and its results entered there. Both in one module. */
bool graph_copy_node(tn_graph *to, const tn_graph *from, const node *n, value_id *map);

/* The dims that a node gives the symbols of one of the functions it names, one for each in the
 * function's order: the attribute `symbols` lists those of all of them, in the order of the
 * function attributes. NULL: they are missing. */
const tn_dim *node_callee_symbols(const node *n, const tn_graph *callee);

/* Number of uses of each value (results of the function count), in an array from tn_malloc. */
uint32_t *graph_count_uses(const tn_graph *g);

#endif
