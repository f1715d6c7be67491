/* An inverted bottleneck spelled out in primitives: a convolution of one tap that makes more channels, elementwise work
 * on its result, and a convolution of each of these channels by itself.
 *
 * What is between the two is the largest tensor of networks made of such blocks, and a channel of it is read by the
 * same channel of the result alone.
 * Source of the name: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018).
 */
#ifndef TN_IR_BOTTLENECK_H
#define TN_IR_BOTTLENECK_H

#include "ir/op.h"

typedef struct bottleneck {
    uint32_t expand, depthwise;  /* the convolutions */
    value_id expanded;           /* first operand of the second: the first one's result after the work on it */
    int64_t channels, positions; /* of that; positions of a plane */
} bottleneck;

/* Whether node `depthwise` is the second convolution of one: of f32 or f64 along two axes, all sizes known. What else
 * reads what is between is not looked at. */
bool bottleneck_find(const tn_graph *g, uint32_t depthwise, bottleneck *found);

#endif
