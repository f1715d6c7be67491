/* An operand laid out by positions: [row][column][channel], padding included, so that lanes can be channels. */
#ifndef TN_LOOPS_CHANNEL_ROWS_H
#define TN_LOOPS_CHANNEL_ROWS_H

#include "compiler/loops/classes.h"

/* Element (image, row, column, channel) of the copy is that of the operand at row row * step - low, column alike, or 0
 * where there is none. A single spatial axis is the columns of one row. */
typedef struct channel_rows {
    access *a;
    value_id value;
    tn_dtype dtype; /* of the copy */
    int spatial;
    int64_t lanes;
    int64_t channels, in[2];            /* of the operand */
    int64_t extent[2], step[2], low[2]; /* of the copy */
    int64_t pitch;                      /* elements from one position to the next */
    uint32_t buffer;
    uint32_t turned; /* LT_LOCAL, of channel_rows_turned elements */
} channel_rows;

/* Room that a row takes on its way. */
int64_t channel_rows_turned(const channel_rows *s);
/* Row `row` of the copy of an image, from element `at` of its buffer on. */
void channel_rows_copy(const channel_rows *s, tn_dim image, tn_dim row, tn_dim at);

static inline int64_t channel_rows_line(const channel_rows *s) { return s->extent[1] * s->pitch; }

/* `n` elements of a buffer from `at` on become 0. */
void channel_rows_clear(access *a, uint32_t buffer, tn_dtype dtype, tn_dim at, int64_t n);

#endif
