/* The core of the builder: opening a call, appending, and what values can be asked.
 *
 * law: a call on an invalid value does nothing; the first error is recorded with the place of
 *      the call that made it
 */
#include "ir/build.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Opening a call --------------------------------------------------------------------------- */

static const tn_graph *graph_among(const tn_val *values, int n) {
    for (int i = 0; i < n; i++)
        if (values[i].graph) return values[i].graph;
    return NULL;
}

bool build_open(build *b, tn_location at, const char *name, tn_graph *g, const tn_val *values, int n) {
    *b = (build){.g = g, .name = name};
    if (!g) b->g = (tn_graph *)graph_among(values, n);
    if (!b->g) return false;
    b->where = b->g->origin != LOCATION_NONE ? b->g->origin : location_intern(b->g->module, at.file, at.line);
    for (int i = 0; i < n; i++) {
        if (!tn_is_valid(values[i])) {
            build_error(b, TN_ERR_ARGUMENT, "operand %d is not a valid value", i);
            return false;
        }
        if (values[i].graph == b->g) continue;
        if (values[i].graph->module != b->g->module)
            build_error(b, TN_ERR_ARGUMENT, "operand %d belongs to another module", i);
        else
            build_error(b, TN_ERR_ARGUMENT, "operand %d belongs to @%s, not to @%s: pass it in as an operand", i,
                        values[i].graph->name, b->g->name);
        return false;
    }
    return true;
}

tn_val build_error(build *b, tn_status status, const char *format, ...) {
    char message[TN_DIAG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (dim_table_status(build_dims(b)) == TN_ERR_MEMORY)
        module_no_memory(b->g->module);
    else
        module_error(b->g->module, status, b->where, "%s: %s", b->name, message);
    return BUILD_INVALID;
}

const char *build_describe(tn_val v, char *text) {
    value_describe(v.graph, v.id, text, BUILD_TEXT);
    return text;
}

/* ---- Appending -------------------------------------------------------------------------------- */

tn_val build_apply(build *b, tn_op op, const tn_val *values, int n, const attr *attrs, uint32_t n_attrs) {
    enum { FEW = 16 };
    value_id few[FEW] = {0}, *operands = few;
    for (int i = 0; i < n; i++)
        if (!tn_is_valid(values[i])) return BUILD_INVALID;
    if (n > FEW && !(operands = tn_malloc((size_t)n * sizeof *operands))) {
        module_no_memory(b->g->module);
        return BUILD_INVALID;
    }
    for (int i = 0; i < n; i++) operands[i] = values[i].id;
    value_id first = VALUE_NONE;
    graph_apply(b->g, b->where, op, operands, (uint32_t)n, attrs, n_attrs, &first, 1, NULL);
    if (operands != few) tn_free(operands);
    return first == VALUE_NONE ? BUILD_INVALID : (tn_val){b->g, first};
}

/* ---- Axes and options ------------------------------------------------------------------------- */

bool build_axis(build *b, tn_val of, int64_t axis, int rank, int64_t *out) {
    char text[BUILD_TEXT] = "";
    *out = axis < 0 ? axis + rank : axis;
    if (*out >= 0 && *out < rank) return true;
    const char *shown = tn_is_valid(of) ? build_describe(of, text) : text;
    build_error(b, TN_ERR_SHAPE, "axis %" PRId64 " is not within [%d, %d)%s%s", axis, -rank, rank, *shown ? ": " : "",
                shown);
    return false;
}

bool build_axes(build *b, tn_val of, tn_ints axes, int rank, bool sorted, int64_t *out) {
    if (axes.n < 0 || axes.n > rank || (axes.n > 0 && !axes.items)) {
        char text[BUILD_TEXT] = "";
        build_error(b, TN_ERR_SHAPE, "%d axes are named, the most is %d: %s", axes.n, rank,
                    tn_is_valid(of) ? build_describe(of, text) : text);
        return false;
    }
    for (int i = 0; i < axes.n; i++)
        if (!build_axis(b, of, axes.items[i], rank, &out[i])) return false;
    for (int i = 1; sorted && i < axes.n; i++)
        for (int k = i; k > 0 && out[k - 1] > out[k]; k--) {
            int64_t larger = out[k - 1];
            out[k - 1] = out[k];
            out[k] = larger;
        }
    return true;
}

bool build_option(build *b, attr_name name, const char *text, attr *out) {
    int64_t option = text ? attr_option_value(name, text, strlen(text)) : -1;
    *out = build_int(name, option);
    if (option >= 0) return true;
    char options[160] = "";
    size_t length = 0;
    const char *known;
    for (int64_t i = 0; (known = attr_option(name, i)) && length < sizeof options; i++)
        length += (size_t)snprintf(options + length, sizeof options - length, "%s%s", i ? ", " : "", known);
    build_error(b, TN_ERR_ARGUMENT, "%s \"%s\" is none of %s", attr_name_text(name), text ? text : "", options);
    return false;
}

/* ---- tn_apply --------------------------------------------------------------------------------- */

static bool convert_list(build *b, const tn_attr_arg *from, attr *to) {
    bool wants_dims = attr_kind_of(to->name) == ATTR_KIND_DIMS;
    if (from->n < 0 || (from->n > 0 && !from->ints && !(wants_dims && from->dims))) {
        build_error(b, TN_ERR_ARGUMENT, "attribute %s has no list", from->name);
        return false;
    }
    if (!wants_dims) {
        *to = build_ints((attr_name)to->name, from->ints, from->n);
        to->split = (uint32_t)from->split;
        return true;
    }
    if (from->dims || from->n == 0) {
        *to = build_dim_list((attr_name)to->name, from->dims, from->n);
        return true;
    }
    tn_dim *dims = ARENA_ARRAY(&b->g->module->memory, tn_dim, from->n);
    if (!dims) return module_no_memory(b->g->module);
    for (int i = 0; i < from->n; i++) dims[i] = dim_const(build_dims(b), from->ints[i]);
    *to = build_dim_list((attr_name)to->name, dims, from->n);
    return true;
}

static bool convert_attr(build *b, const tn_attr_arg *from, attr *to) {
    attr_name name = attr_from_name(from->name, strlen(from->name));
    *to = (attr){.name = (uint8_t)name};
    if (name == ATTR_COUNT) {
        build_error(b, TN_ERR_ARGUMENT, "no attribute is called \"%s\"", from->name);
        return false;
    }
    switch (attr_kind_of(name)) {
    case ATTR_KIND_ENUM:
        if (from->text) return build_option(b, name, from->text, to);
        /* fall through */
    case ATTR_KIND_INT:
    case ATTR_KIND_DTYPE: to->i = from->i; return true;
    case ATTR_KIND_FLOAT: to->f = from->f; return true;
    case ATTR_KIND_TEXT: to->text = from->text; return true;
    case ATTR_KIND_FUNC: to->func = from->graph; return true;
    case ATTR_KIND_DIM: to->dim = from->dims ? from->dims[0] : dim_const(build_dims(b), from->i); return true;
    case ATTR_KIND_INTS:
    case ATTR_KIND_PAIR:
    case ATTR_KIND_DIMS: return convert_list(b, from, to);
    case ATTR_KIND_DATA: build_error(b, TN_ERR_ARGUMENT, "constants are made with tn_constant"); return false;
    }
    return false;
}

tn_val tn_apply(tn_location at, tn_graph *g, tn_op op, const tn_val *operands, int n_operands,
                const tn_attr_arg *attributes) {
    build b;
    if (!build_open(&b, at, op_name(op), g, operands, operands ? n_operands : 0)) return BUILD_INVALID;
    if (n_operands < 0 || (n_operands > 0 && !operands))
        return build_error(&b, TN_ERR_ARGUMENT, "there are no %d operands", n_operands);
    attr attrs[OP_MAX_ATTRS];
    uint32_t n = 0;
    for (; attributes && attributes[n].name; n++) {
        if (n == OP_MAX_ATTRS) return build_error(&b, TN_ERR_ARGUMENT, "has more than %d attributes", OP_MAX_ATTRS);
        if (!convert_attr(&b, &attributes[n], &attrs[n])) return BUILD_INVALID;
    }
    return build_apply(&b, op, operands, n_operands, attrs, n);
}

/* ---- Questions -------------------------------------------------------------------------------- */

bool tn_is_valid(tn_val v) { return v.graph && v.id < v.graph->n_values; }

tn_type tn_type_of(tn_val v) { return tn_is_valid(v) ? *build_type(v) : (tn_type){.dtype = TN_DTYPE_INVALID}; }

int tn_rank(tn_val v) { return tn_is_valid(v) ? build_type(v)->rank : -1; }

tn_dim tn_dim_of(tn_val v, int axis) {
    build b;
    int64_t at;
    if (!build_open(&b, (tn_location){NULL, 0}, "tn_dim_of", NULL, &v, 1)) return TN_DIM_INVALID;
    return build_axis(&b, v, axis, tn_rank(v), &at) ? build_type(v)->dims[at] : TN_DIM_INVALID;
}

tn_val tn_result(tn_val v, int i) {
    build b;
    if (!build_open(&b, (tn_location){NULL, 0}, "tn_result", NULL, &v, 1)) return BUILD_INVALID;
    const value *first = &v.graph->values[v.id];
    const node *made_by = &v.graph->nodes[first->node];
    if (i < 0 || (uint64_t)first->result + (uint64_t)i >= made_by->n_results)
        return build_error(&b, TN_ERR_ARGUMENT, "%s has %u results, there is no %d", op_name((tn_op)made_by->op),
                           (unsigned)made_by->n_results, i);
    return (tn_val){v.graph, v.id + (value_id)i};
}

tn_val tn_name(tn_val v, const char *name) {
    if (!tn_is_valid(v) || !name || !*name) return v;
    const char *interned = module_intern(v.graph->module, name);
    if (interned) v.graph->values[v.id].name = interned;
    return v;
}
