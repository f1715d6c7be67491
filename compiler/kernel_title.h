/* Kernels in words, for profiles, traces and debuggers: "conv+add+max /layer1/conv1/Conv".
 *
 * in:  a fused function
 * out: its ops in order, each once, without views and constants; then the source node that most of its work comes from:
 *      the name of an ONNX node, or file and line
 * law: the same function gives the same title. There are no more than one space and no control characters in it
 */
#ifndef TN_COMPILER_KERNEL_TITLE_H
#define TN_COMPILER_KERNEL_TITLE_H

#include "ir/graph.h"

enum { KERNEL_TITLE = 200 }; /* bytes that are enough for any */

void kernel_title(const tn_graph *fused, char *text, size_t bytes);

/* Where most of its work comes from; LOCATION_NONE: nobody knows. */
location_id kernel_origin(const tn_graph *fused);

#endif
