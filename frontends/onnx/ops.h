/* The conversions that table.def names, and how its variants are called. */
#ifndef TN_ONNX_OPS_H
#define TN_ONNX_OPS_H

#include "frontends/onnx/import.h"

#define ROW(name, since, until, least, most, outputs, convert, variant) convert_fn convert;
#define ROW_OF(domain, name, since, until, least, most, outputs, convert, variant) convert_fn convert;
#include "frontends/onnx/table.def"
#undef ROW
#undef ROW_OF

/* The first four change their operand; of the others a reduction over no axis is the operand. */
typedef enum reduce_variant {
    REDUCE_ROW_L1,
    REDUCE_ROW_L2,
    REDUCE_ROW_LOG_SUM,
    REDUCE_ROW_LOG_SUM_EXP,
    REDUCE_ROW_MEAN,
    REDUCE_ROW_MAX,
    REDUCE_ROW_MIN,
    REDUCE_ROW_PROD,
    REDUCE_ROW_SUM,
    REDUCE_ROW_SUM_SQUARE,
} reduce_variant;

typedef enum pool_variant { POOL_MAX, POOL_AVERAGE, POOL_LP } pool_variant;
typedef enum rnn_variant { RNN_PLAIN, RNN_GRU, RNN_LSTM } rnn_variant;
typedef enum window_variant { WINDOW_HANN, WINDOW_HAMMING, WINDOW_BLACKMAN } window_variant;

#endif
