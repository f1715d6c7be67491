/* Names of dtypes and statuses.
 *
 * in:  runtime/dtypes.def, the status enum
 * out: spelling, size and look-up
 * law: any value of the enum's type is accepted, also one that is no member
 */
#include "runtime/tenon_rt.h"

#include <string.h>

static const char *const dtype_names[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) #name,
#include "runtime/dtypes.def"
#undef DTYPE
};

static const uint8_t dtype_bits[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) bits,
#include "runtime/dtypes.def"
#undef DTYPE
};

static const char *const status_names[] = {
    [TN_OK] = "OK",
    [TN_ERR_ARGUMENT] = "ERR_ARGUMENT",
    [TN_ERR_SHAPE] = "ERR_SHAPE",
    [TN_ERR_DTYPE] = "ERR_DTYPE",
    [TN_ERR_PARSE] = "ERR_PARSE",
    [TN_ERR_VERIFY] = "ERR_VERIFY",
    [TN_ERR_UNSUPPORTED] = "ERR_UNSUPPORTED",
    [TN_ERR_LIMIT] = "ERR_LIMIT",
    [TN_ERR_MEMORY] = "ERR_MEMORY",
    [TN_ERR_IO] = "ERR_IO",
    [TN_ERR_CONSTRAINT] = "ERR_CONSTRAINT",
    [TN_ERR_INDEX] = "ERR_INDEX",
    [TN_ERR_ASSERT] = "ERR_ASSERT",
    [TN_ERR_CUSTOM] = "ERR_CUSTOM",
    [TN_ERR_INTERNAL] = "ERR_INTERNAL",
    [TN_ERR_NAN] = "ERR_NAN",
};

const char *tn_status_name(tn_status status) {
    size_t i = (size_t)status;
    return i < sizeof status_names / sizeof *status_names ? status_names[i] : "ERR_UNKNOWN";
}

const char *tn_dtype_name(tn_dtype dtype) {
    if ((size_t)dtype < TN_DTYPE_COUNT) return dtype_names[dtype];
    return dtype == TN_TOKEN ? "token" : "invalid";
}

unsigned tn_dtype_bits(tn_dtype dtype) { return (size_t)dtype < TN_DTYPE_COUNT ? dtype_bits[dtype] : 0; }

tn_dtype tn_dtype_from_name(const char *name) {
    for (int i = 0; name != NULL && i < TN_DTYPE_COUNT; i++)
        if (strcmp(name, dtype_names[i]) == 0) return (tn_dtype)i;
    return TN_DTYPE_INVALID;
}
