/* Reading ONNX models. */
#ifndef TENON_ONNX_H
#define TENON_ONNX_H

#include "tenon_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: the defaults. */
typedef struct tn_onnx_options {
    int max_depth;            /* of nested graphs; 0: 64 */
    size_t max_nodes;         /* 0: 500,000; those of a local function count at each call */
    bool weights_replaceable; /* initializers become weights (tn_weight) rather than constants */
    /* Fixes named symbols of the inputs ("batch" = 1): pairs, ended by a NULL name. May be NULL. */
    const struct tn_onnx_size {
        const char *symbol;
        int64_t value;
    } *sizes;
    /* Fixes inputs to a content known now, which is copied: they become constants, and sizes that
     * depend on them are known. Ended by a NULL name. May be NULL. */
    const struct tn_onnx_input {
        const char *name;
        tn_tensor tensor; /* contiguous */
    } *inputs;
} tn_onnx_options;

/* Reads a model file into a module whose main function has the model's inputs and outputs.
 * Weights are read in place from the mapped file, which stays mapped as long as the module and
 * its programs live. Sizes that a model names become symbols, unnamed unknown ones symbols of
 * their own. A module is returned also when there is an error (tn_module_error tells it: a file that
 * cannot be read, malformed content with its place, ops that are missing: all of them at once, with
 * their nodes); NULL only without memory. Freed with tn_module_free. Options NULL: defaults. */
TN_API tn_module *tn_onnx_load(const char *path, const tn_onnx_options *options);

/* The same from memory; external data are refused. `data` must outlive the module and its programs. */
TN_API tn_module *tn_onnx_parse(const void *data, size_t bytes, const char *name, const tn_onnx_options *options);

/* The value of a metadata property ("character"), or NULL. Lives as long as the module. */
TN_API const char *tn_onnx_metadata(const tn_module *m, const char *key);

#ifdef __cplusplus
}
#endif

#endif
