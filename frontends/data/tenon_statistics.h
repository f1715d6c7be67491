/* What the elements of a tensor are like: extremes, mean, deviation, special values, a histogram. */
#ifndef TENON_STATISTICS_H
#define TENON_STATISTICS_H

#include "tenon_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TN_HISTOGRAM_BINS = 16, TN_HISTOGRAM_TEXT = 4 * TN_HISTOGRAM_BINS + 1 };

typedef struct tn_statistics {
    int64_t elements, zeros, nans, infinities;
    /* Of the elements that are finite; NaN when there are none. Sums are kept in f64, so that the mean of n elements is
     * off by at most n * 2^-53 of the mean absolute value. */
    double least, greatest, mean, deviation;
    /* How many finite elements lie in each of TN_HISTOGRAM_BINS equal parts of [least, greatest]; all in the first when
     * there is one value only. */
    int64_t bins[TN_HISTOGRAM_BINS];
} tn_statistics;

/* Fills *statistics from a tensor on the host of any dtype, strided or not. TN_ERR_ARGUMENT: it is malformed or lacks data. */
TN_API tn_status tn_tensor_statistics(const tn_tensor *tensor, tn_statistics *statistics);

/* Writes the histogram as a line of blocks (UTF-8), each bin's height its share of the fullest, a bin with few as low as there is,
 * an empty one blank; "" when nothing is finite. At least TN_HISTOGRAM_TEXT bytes. Returns text. */
TN_API char *tn_histogram_text(const tn_statistics *statistics, char *text);

#ifdef __cplusplus
}
#endif

#endif
