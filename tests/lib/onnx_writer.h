/* ONNX models from a few lines of text, for tests.
 *
 *     opset 13                           of the standard; before all else. `opset N DOMAIN` for others
 *     in x f32 n 4                       an input: dtype, then sizes; ? is one that is not known
 *     init w f32 2,2 1 2 3 4             an initializer: sizes (- for a scalar), then its elements
 *     node Conv x w - -> y strides=1,1 auto_pad=VALID alpha=0.5f name=c1
 *                                        a node; - is an input left out; then attributes: integers, a
 *                                        list of them (`1,` has one), floats and lists (f at the end),
 *                                        text, @g the graph g, #i64:2:3,4 a tensor, $a the function's
 *                                        attribute a; `name` and `domain` are the node's own
 *     out y                              an output
 *     graph g ... end                    a graph for attributes, written before it is used
 *     function f DOMAIN : a b -> c : alpha ... end   a local function: inputs, outputs, attributes
 *
 * Lines are separated by newlines or semicolons. */
#ifndef TN_TESTS_ONNX_WRITER_H
#define TN_TESTS_ONNX_WRITER_H

#include <stddef.h>

/* The model's bytes, to be freed with free; fails the running test when the text is not as above. */
char *onnx_write(const char *text, size_t *bytes);

#endif
