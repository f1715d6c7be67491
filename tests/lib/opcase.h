/* One op on literal tensors: what a test of the interpreter states in a line.
 *
 *     check_op("reduce kind=sum axes=[1]", "f32[2] 6 15", "f32[2,3] 1 2 3 4 5 6");
 *
 * An op with its attributes in the text form (dims are numbers), the
 * expected results, one operand a string. Tensors are a type and its elements in row-major
 * order, `nan` and `inf` among them; several results are separated by ';'. Results must be
 * equal bit for bit (any NaN equals any), or within 1e-6 relative where the expected text begins
 * with '~'.
 */
#ifndef TN_TESTS_OPCASE_H
#define TN_TESTS_OPCASE_H

#include "ir/eval.h"

/* A tensor from its literal, to be freed with eval_tensor_free. `end`, when not NULL, gets what follows. */
eval_tensor tensor_literal(const char *text, const char **end);

/* Fails the running cmocka test when `t` is not what the literal says. */
void assert_tensor(const eval_tensor *t, const char *literal, const char *what);

/* The op on the operands: (op, status, part of the message or NULL, expected results, operands..., NULL). */
void check_op_status(const char *file, int line, const char *op, tn_status status, const char *message,
                     const char *expected, ...);
#define check_op(op, ...) check_op_status(__FILE__, __LINE__, (op), TN_OK, NULL, __VA_ARGS__, (const char *)NULL)
#define check_fault(op, status, message, ...)                                                                          \
    check_op_status(__FILE__, __LINE__, (op), (status), (message), __VA_ARGS__, (const char *)NULL)

/* Magnitudes of the op's first result, within 1e-6 relative. */
void check_magnitude_at(const char *file, int line, const char *op, const char *expected, ...);
#define check_magnitude(op, ...) check_magnitude_at(__FILE__, __LINE__, (op), __VA_ARGS__, (const char *)NULL)

#endif
