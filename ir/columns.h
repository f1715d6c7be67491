/* Prototypes of the functions that the op table's columns name, made from the table itself. */
#ifndef TN_IR_COLUMNS_H
#define TN_IR_COLUMNS_H

#include "ir/op.h"

#define GRAD(rule) op_grad rule;
#define NO_GRAD(reason)
#define BY_EXPANSION

#define OP(name, operands, attributes, rule, eval, grad, loop_class, samples, doc)                                     \
    op_rule rule;                                                                                                      \
    op_eval eval;                                                                                                      \
    grad op_sample samples;
#define COMPOSITE(name, operands, attributes, rule, expand, grad, samples, doc)                                        \
    op_rule rule;                                                                                                      \
    op_expand expand;                                                                                                  \
    grad op_sample samples;
#include "ir/ops.def"
#undef OP
#undef COMPOSITE
#undef GRAD
#undef NO_GRAD
#undef BY_EXPANSION

#endif
