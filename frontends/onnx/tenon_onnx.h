/* Reading and writing ONNX models. */
#ifndef TENON_ONNX_H
#define TENON_ONNX_H

#include "tenon_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: the defaults. */
typedef struct tn_onnx_options {
    int max_depth;    /* of nested graphs; 0: 64 */
    size_t max_nodes; /* 0: 500,000; those of a local function count at each call */
    /* Initializers of floats that are no scalars become weights (tn_weight) rather than constants, and so do Constant
     * nodes of floats with more than one element, named after their output (those of one are numbers of formulas):
     * where the model uses them as tensors, in the main graph and in branches that are known to be taken. */
    bool weights_replaceable;
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

/* ---- Writing -------------------------------------------------------------------------------- */

/* All zero: the defaults. */
typedef struct tn_onnx_write_options {
    int opset;                  /* of the standard, TN_ONNX_LEAST_OPSET to TN_ONNX_MOST_OPSET; 0: 21 */
    uint64_t most_inside_bytes; /* weights of more bytes in all go to "PATH.data"; 0: 1.5 GB */
    bool drop_effects;          /* leaves out `assert` and `print`, which ONNX has not; else they are refused */
} tn_onnx_write_options;

/* The domain of the functions that kernels are written as. */
#define TN_ONNX_KERNEL_DOMAIN "tenon.kernel"

enum { TN_ONNX_LEAST_OPSET = 18, TN_ONNX_MOST_OPSET = 23 };

/* Writes the main function of a module, with all that it calls, as an ONNX model. Parameters that are weights with
 * values become initializers, all others inputs; symbols become named sizes (what is known of them besides is not
 * written). Names are kept, and metadata of a model that the module was read from; a result that is called like a
 * parameter gets "_out" behind its name. Composites become the ONNX op of their name, others are said by several.
 * Kernels (of a dump after the pass `fuse`) become functions of the model, called by nodes that are named after what is in
 * them (k0_conv_add_max); all other functions are written where they are called. What the pass `hoist` has put into the
 * function `prepare` is written before the main function.
 * Results are Tenon's wherever ONNX says what they are (it does not for indices out of range, nor for floats converted
 * to integers that cannot hold them); sums are added in whatever order the runtime likes.
 *
 * Files are complete or not there: they are written under
 * another name and renamed. Options NULL: defaults; *diag (may be NULL) says why it failed: TN_ERR_UNSUPPORTED with
 * the op and the place where it was built, TN_ERR_IO, TN_ERR_ARGUMENT, TN_ERR_LIMIT, TN_ERR_MEMORY. */
TN_API tn_status tn_onnx_write(const tn_module *m, const char *path, const tn_onnx_write_options *options,
                               tn_diag *diag);

/* The same to memory, at most 2 GB. *bytes is freed with tn_onnx_free. */
TN_API tn_status tn_onnx_write_memory(const tn_module *m, void **bytes, size_t *n, const tn_onnx_write_options *options,
                                      tn_diag *diag);
TN_API void tn_onnx_free(void *bytes);

#ifdef __cplusplus
}
#endif

#endif
