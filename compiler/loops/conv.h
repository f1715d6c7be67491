/* What the files of class conv share: a convolution's sizes, and input positions. */
#ifndef TN_LOOPS_CONV_H
#define TN_LOOPS_CONV_H

#include "compiler/loops/pack.h"

enum { CONV_SPATIAL = TN_MAX_RANK - 2 };

typedef struct convolution {
    access *a;
    dim_table *t;
    const node *conv;
    value_id value;
    const tn_type *input, *kernel;
    tn_type result;       /* of the phase */
    int spatial;          /* axes; the last one is the row */
    int64_t groups, taps; /* taps of one channel */
    int64_t tap[CONV_SPATIAL], stride[CONV_SPATIAL], dilation[CONV_SPATIAL], input_dilation[CONV_SPATIAL];
    tn_dim low[CONV_SPATIAL];
    int64_t tap_first[CONV_SPATIAL], tap_step[CONV_SPATIAL]; /* taps of the phase within the kernel */
    int64_t out_first[CONV_SPATIAL], out_step[CONV_SPATIAL]; /* positions of the phase within the result */
    tn_dim channels, features;                               /* of one group: in, out */
    tn_dtype sum;
    bool input_is_plain; /* elements that a guard leaves out are 0 */
} convolution;

/* Reads node n of the fused function. False: the kernel's sizes are symbolic, or there is no spatial axis. */
bool conv_read(convolution *c, access *a, const node *n);

/* A convolution whose input is spread by zeros (input_dilation, stride 1) is several ones that are not: result
 * positions that are the same modulo the spread meet elements under the same taps. */
int64_t conv_phase_count(const convolution *c);
/* The convolution of that phase: all members speak of it. */
convolution conv_phase(const convolution *c, int64_t number);

/* Index in the kernel of tap number tap[i] of the phase along each axis. */
void conv_kernel_taps(const convolution *c, const tn_dim *tap, tn_dim *index);
/* Positions in the whole result of those of the phase. */
void conv_result_positions(const convolution *c, tn_dim *at);

/* Input position along a spatial axis of result position `out`, tap `tap`; *inside is ANDed with the
 * condition that there is an element (LT_NONE: always). */
tn_dim conv_position(convolution *c, int axis, tn_dim out, tn_dim tap, lt_value *inside);

/* The part [*first, *end) of [0, extent) along the row whose positions for that tap lie in the input
 * (input_dilation 1). */
void conv_inside(convolution *c, int64_t tap, tn_dim *first, tn_dim *end);

/* The input's element at `index` under a guard, in the sum's dtype. */
lt_value conv_element(convolution *c, const tn_dim *index, lt_value inside);

/* Result axes but the last, from their linear number. */
void conv_unravel_row(convolution *c, tn_dim row, tn_dim *at);

/* Where the windows of a group of one meet the input: element (image, channel, y, x), counted from where the first
 * window begins, lies at base + image * image_stride + .... */
typedef struct conv_view {
    uint32_t buffer;
    tn_dim base, image, channel, at[CONV_SPATIAL]; /* strides */
} conv_view;

/* With one or two spatial axes of known extents, input_dilation 1. May open and close a stage. */
conv_view conv_padded(convolution *c);

lt_kernel *conv_lower_direct(tn_graph *fused, const machine *m);
/* A stage for a convolution of few terms on planes of known size; false: it is not that, nothing was done. */
bool conv_planes(const convolution *c, const machine *m);
/* The same for small planes, lanes being all positions of one. */
bool conv_flat(const convolution *c, const machine *m);
/* The same for each channel by itself, lanes being channels. */
bool conv_channels(const convolution *c, const machine *m);
/* Stages for an input that is spread, of several images. */
bool conv_spread(const convolution *c, const machine *m);

#endif
