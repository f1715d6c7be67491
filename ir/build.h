/* Inside the builder: what the functions of tenon_graph.h share.
 *
 * Each public function opens a `build`, which checks that its values are valid and of one
 * graph, then appends through build_apply. All of them return invalid values once something
 * went wrong, so that nothing needs checking in between.
 */
#ifndef TN_IR_BUILD_H
#define TN_IR_BUILD_H

#include "ir/op.h"

#define BUILD_INVALID ((tn_val){NULL, VALUE_NONE})

typedef struct build {
    tn_graph *g;
    location_id where;
    const char *name; /* of the op or function, opens every message */
} build;

/* Opens a call named `name` on g (NULL: the graph of the first value). False: nothing to be
 * done, and an error is recorded unless there was one. */
bool build_open(build *b, tn_location at, const char *name, tn_graph *g, const tn_val *values, int n);
static inline bool build_open_op(build *b, tn_location at, tn_op op, const tn_val *values, int n) {
    return build_open(b, at, op_name(op), NULL, values, n);
}

/* Records "name: message"; always returns an invalid value. */
tn_val build_error(build *b, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

tn_val build_apply(build *b, tn_op op, const tn_val *values, int n, const attr *attrs, uint32_t n_attrs);
static inline const tn_type *build_type(tn_val v) { return graph_type(v.graph, v.id); }
static inline dim_table *build_dims(const build *b) { return b->g->module->dims; }

/* v in words ("x is f32[n, 784]") in text of BUILD_TEXT bytes. Returns text. */
enum { BUILD_TEXT = 320 };
const char *build_describe(tn_val v, char *text);

/* An axis counted from either end; a list of them, ascending when `sorted`. `of` is shown in
 * messages. Lists go to `out` of TN_MAX_RANK entries. */
bool build_axis(build *b, tn_val of, int64_t axis, int rank, int64_t *out);
bool build_axes(build *b, tn_val of, tn_ints axes, int rank, bool sorted, int64_t *out);

bool build_dim(build *b, tn_dim_arg arg, tn_dim *out);
bool build_type_of_shape(build *b, tn_dtype dtype, tn_shape shape, tn_type *type);

/* A rank-0 constant; an integer dtype takes only what it can represent. */
tn_val build_scalar(build *b, tn_dtype dtype, double number);
/* Rank-0 constants among values[first...] take the dtype of the others. */
bool build_adopt_dtypes(build *b, tn_val *values, int first, int n);
/* v as rank and dims, axes matched from the right; v itself when it has that shape. */
tn_val build_broadcast(build *b, tn_val v, int rank, const tn_dim *dims);
tn_val build_reshape(build *b, tn_val v, int rank, const tn_dim *dims);

/* Attributes in one line. */
static inline attr build_int(attr_name name, int64_t i) { return (attr){.name = (uint8_t)name, .i = i}; }
static inline attr build_float(attr_name name, double f) { return (attr){.name = (uint8_t)name, .f = f}; }
static inline attr build_text(attr_name name, const char *text) { return (attr){.name = (uint8_t)name, .text = text}; }
static inline attr build_func(attr_name name, tn_graph *g) { return (attr){.name = (uint8_t)name, .func = g}; }
static inline attr build_one_dim(attr_name name, tn_dim d) { return (attr){.name = (uint8_t)name, .dim = d}; }
static inline attr build_ints(attr_name name, const int64_t *items, int n) {
    return (attr){.name = (uint8_t)name, .ints = {items, (uint32_t)n}};
}
static inline attr build_dim_list(attr_name name, const tn_dim *items, int n) {
    return (attr){.name = (uint8_t)name, .dims = {items, (uint32_t)n}};
}

/* The value of an ENUM attribute by its spelling; false with an error. */
bool build_option(build *b, attr_name name, const char *text, attr *out);

#endif
