/* The op table as an array.
 *
 * in:  ops.def
 * out: op_table, names and look-up by name
 */
#include "ir/op.h"

#include "ir/columns.h"

#include <stdio.h>
#include <string.h>

/* Pieces of initialisers, not blocks. */
/* clang-format off */
#define NONE 0, 0
#define UNARY 1, 1
#define BINARY 2, 2
#define TERNARY 3, 3
#define BETWEEN(least, most) least, most
#define AT_LEAST(least) least, OP_ANY
#define ANY_NUMBER 0, OP_ANY

#define REQ(attribute) {ATTR_##attribute, true}
#define OPT(attribute) {ATTR_##attribute, false}
#define ATTRS(...) sizeof((attr_spec[]){__VA_ARGS__}) / sizeof(attr_spec), {__VA_ARGS__}
#define NO_ATTRS 0, {{0, false}}

#define GRAD(rule) rule, NULL
#define NO_GRAD(reason) NULL, reason
#define BY_EXPANSION NULL, NULL
/* Reasons that several ops share; "floor has zero derivative ..." is how they are read. */
#define NO_OPERAND "depends on nothing"
#define NOT_A_FLOAT "has no float as its result, and gradients are those of floats"
#define FLAT                                                                                                           \
    "has zero derivative almost everywhere; stop_gradient(y) makes its result y a constant, x + stop_gradient(y - x) " \
    "is the straight-through estimate"
#define USERS_OWN                                                                                                      \
    "is a user's own op, of which no derivative is known: call it in a function that has a gradient of its own "      \
    "(tn_graph_gradient), or put stop_gradient around it"
#define MADE_BY_A_PASS "is made by a pass; differentiate the function before it is compiled"
/* clang-format on */

/* Two levels, so that a column's macro becomes its several initialisers. */
#define ROW(...) {__VA_ARGS__},
#define OP(name, operands, attributes, rule, eval, grad, class, sample, doc)                                           \
    ROW(#name, operands, attributes, rule, eval, NULL, grad, CLASS_##class, sample, doc)
#define COMPOSITE(name, operands, attributes, rule, expand, grad, sample, doc)                                         \
    ROW(#name, operands, attributes, rule, NULL, expand, grad, CLASS_COMPOSITE, sample, doc)

const op_info op_table[TN_OP_COUNT] = {
#include "ir/ops.def"
};

const char *op_name(tn_op op) { return (unsigned)op < TN_OP_COUNT ? op_table[op].name : "invalid"; }

const char *op_attributes_text(tn_op op, char *out, size_t bytes) {
    const op_info *info = &op_table[op];
    snprintf(out, bytes, "%s", info->n_attrs ? "" : "none");
    for (uint32_t i = 0; i < info->n_attrs; i++) {
        size_t used = strlen(out);
        snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", attr_name_text(info->attrs[i].name));
    }
    return out;
}

tn_op op_from_name(const char *name, size_t length) {
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (strlen(op_table[op].name) == length && memcmp(op_table[op].name, name, length) == 0) return (tn_op)op;
    return TN_OP_COUNT;
}
