/* The op table in memory: ops.def as an array, and the types of its columns. */
#ifndef TN_IR_OP_H
#define TN_IR_OP_H

#include "ir/graph.h"

enum { OP_MAX_ATTRS = 8, OP_ANY = INT32_MAX };

/* The loop class a primitive is lowered by (compiler/loops), or why it has none. */
typedef enum loop_class {
    CLASS_LEAF, /* param constant iota dim: no work of its own */
    CLASS_MAP,  /* elementwise */
    CLASS_VIEW, /* an index map: folds into its readers */
    CLASS_REDUCE,
    CLASS_CUMULATE,
    CLASS_CONTRACT,
    CLASS_CONV,
    CLASS_WINDOW,
    CLASS_INDEX, /* gather, scatter and kin: indices are data */
    CLASS_SORT,
    CLASS_CONTROL,   /* stands above kernels */
    CLASS_EFFECT,    /* impure: takes and returns a token; never interned */
    CLASS_COMPOSITE, /* gone after expand */
} loop_class;

typedef struct attr_spec {
    uint8_t name; /* attr_name */
    bool required;
} attr_spec;

/* One application of an op whose result types are asked for. A rule reads operands and
 * attributes, calls rule_results, fills the types, and returns true; or it returns
 * rule_error(...). It may record constraints (graph_require_equal). */
typedef struct rule_args {
    tn_graph *graph;
    tn_op op;
    location_id where;
    uint32_t n_operands;
    const value_id *operands;
    const tn_type *types; /* of the operands */
    attr_list attrs;
    uint32_t n_results;
    tn_type *results;
} rule_args;

typedef bool op_rule(rule_args *c);

/* Room for n result types (in the module's arena), dtype and dims zeroed. */
bool rule_results(rule_args *c, uint32_t n);
/* Records "op: message" with the call's location; always false. */
bool rule_error(rule_args *c, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Reference evaluation (ir/eval.h). */
struct eval_args;
typedef bool op_eval(struct eval_args *c);

/* A composite as primitives (and other composites): builds into `g` with the public builder,
 * fills results. False: an error is recorded in the module. */
typedef bool op_expand(tn_graph *g, const tn_val *operands, uint32_t n_operands, const attr_list *attrs,
                       tn_val *results);

/* Gradient rule (ir/grad.h). Errors are recorded in the module. */
struct grad_args;
typedef void op_grad(struct grad_args *c);

/* Builds one random legal application of `op` into g from fresh inputs; used by the generated
 * tests (ir/samples.h). False: an error is recorded. */
struct sampler;
typedef bool op_sample(struct sampler *s, tn_graph *g, tn_op op);

typedef struct op_info {
    const char *name;
    int32_t min_operands, max_operands;
    uint32_t n_attrs;
    attr_spec attrs[OP_MAX_ATTRS];
    op_rule *rule;
    op_eval *eval;       /* primitives */
    op_expand *expand;   /* composites */
    op_grad *grad;       /* NULL: none, or by expansion */
    const char *no_grad; /* why there is none; NULL: there is one */
    loop_class loop_class;
    op_sample *sample;
    const char *doc;
} op_info;

extern const op_info op_table[TN_OP_COUNT];

const char *op_name(tn_op op);

/* The attributes that it takes, "axes, kind", or "none". Returns out. */
const char *op_attributes_text(tn_op op, char *out, size_t bytes);
tn_op op_from_name(const char *name, size_t length); /* TN_OP_COUNT: none such */
/* It computes something: no leaf, and no view of what is there. */
static inline bool op_is_work(tn_op op) {
    return op_table[op].loop_class != CLASS_LEAF && op_table[op].loop_class != CLASS_VIEW;
}
static inline bool op_is_composite(tn_op op) { return op_table[op].loop_class == CLASS_COMPOSITE; }

#endif
