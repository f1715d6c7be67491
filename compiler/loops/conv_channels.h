/* Depthwise convolutions whose lanes are channels (class_conv_channels.c), for a class that has a stage of its own. */
#ifndef TN_LOOPS_CONV_CHANNELS_H
#define TN_LOOPS_CONV_CHANNELS_H

#include "compiler/loops/conv.h"

typedef struct channels {
    convolution c;
    int64_t in[2], out[2], low[2];
    int64_t lanes, blocks; /* channels of a chunk; chunks of a plane's channels */
    int64_t band, bands;   /* rows of the result in a chunk */
    int64_t in_rows;       /* of the input that a band meets */
    int64_t row_block;     /* positions of a row at a time */
    uint32_t input, weights, sums, turned;
    /* The present chunk. */
    tn_dim image, first_channel, first_row; /* row of the result */
    tn_dim first_in;                        /* row of the input */
    tn_dim input_first;                     /* in the buffer, of its first position's channels */
    int64_t input_step;                     /* from one position's to the next's */
    tn_dim lane;
} channels;

/* Planes as a whole. False: it is no such convolution, or its channels don't fill vectors. */
bool conv_channels_open(channels *p, const convolution *c, const machine *m);
/* In the stage that is open: the planes of `lanes` channels from `channel` on. Of the input's position i their elements
 * are neighbours in a buffer from first + i * step on. */
void conv_channels_run(channels *p, tn_dim image, tn_dim channel, uint32_t input, tn_dim first, int64_t step);

#endif
