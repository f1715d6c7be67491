/* ONNX models as subjects of a reduction (compiler/shrink.h), for faults of the import itself: a model that was imported
 * would have them for good, or not any more.
 *
 * in:  a model file
 * out: subjects that can be copied, made smaller and written as files
 * law: what a subject says of nodes, names and weights is what the file said; a value that is cut off becomes an input of
 *      the type that the importer finds it to have, or an initializer where its content is known. Documentation and
 *      metadata are left out, elements of tensors are written as raw data
 */
#ifndef TN_ONNX_SHRINK_MODEL_H
#define TN_ONNX_SHRINK_MODEL_H

#include "compiler/shrink.h"
#include "frontends/onnx/proto.h"
#include "runtime/alloc.h"

/* A name of the file, and what is known of the value. */
typedef struct shrink_value {
    const char *name;
    onnx_value_info info; /* type NULL: nothing is */
    onnx_tensor *content; /* NULL: not known, or large */
} shrink_value;

/* What all subjects made of one file share. */
typedef struct shrink_source {
    onnx_model *model;
    arena memory;
    shrink_value *values;
    size_t n_values, values_capacity;
    uint32_t *slots; /* hash table of value number + 1 */
    size_t n_slots;
    size_t references;
} shrink_source;

typedef struct shrink_model {
    shrink_source *source;
    arena memory;
    onnx_graph graph;
} shrink_model;

/* Sizes that are given: they are fixed in the inputs. Ended by a NULL name; may be NULL. */
struct tn_onnx_size;
/* NULL: *diag. */
shrink_model *shrink_model_open(const char *path, const struct tn_onnx_size *sizes, tn_diag *diag);
void shrink_model_free(shrink_model *s);
tn_status shrink_model_write(const shrink_model *s, const char *path, tn_diag *diag);
/* The bytes of the file; from tn_malloc, NULL: no memory or too large. */
void *shrink_model_encode(const shrink_source *source, const onnx_graph *graph, size_t *bytes);

/* The number of a name; SIZE_MAX: no value of the file is called so (nor is there one called ""). */
size_t shrink_find(const shrink_source *source, const char *name);

/* Nodes of a graph and of the graphs within it. */
size_t shrink_count_nodes(const onnx_graph *graph);
/* Calls visit for each name that a node reads, also from within its graphs (there whatever stands as an input or an
 * output: names of a graph's own do no harm). */
void shrink_visit_reads(const onnx_node *node, void (*visit)(void *ctx, const char *name), void *ctx);

extern const shrink_step shrink_model_steps[];
extern const size_t n_shrink_model_steps;
shrink_kind shrink_models(void);

#endif
