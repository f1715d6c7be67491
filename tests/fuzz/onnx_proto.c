/* Any bytes as an ONNX model and as a tensor file: an answer, never a crash, and what was
 * accepted can be looked at in full. Corpus: tests/fuzz/corpus/onnx.
 */
#include "frontends/onnx/tensorproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte of every element is there. */
static unsigned sum_elements(onnx_store *store, const onnx_tensor *tensor) {
    tensor_info info;
    const void *elements;
    tn_diag diag;
    unsigned sum = 0;
    if (tensorproto_view(store, tensor, &info, &elements, &diag) == TN_OK)
        for (size_t i = 0; i < info.bytes; i++) sum += ((const uint8_t *)elements)[i];
    return sum;
}

static unsigned walk_graph(onnx_store *store, const onnx_graph *graph);

static unsigned walk_node(onnx_store *store, const onnx_node *node) {
    unsigned sum = (unsigned)node->op_type[0];
    for (size_t i = 0; i < node->inputs.count; i++) sum += (unsigned)node->inputs.items[i][0];
    for (size_t i = 0; i < node->attributes.count; i++) {
        const onnx_attribute *attribute = &node->attributes.items[i];
        sum += (unsigned)onnx_attribute_type_name(attribute->type)[0];
        if (attribute->type == ONNX_ATTR_TENSOR && attribute->t) sum += sum_elements(store, attribute->t);
        if (attribute->type == ONNX_ATTR_GRAPH && attribute->g) sum += walk_graph(store, attribute->g);
        if (attribute->type == ONNX_ATTR_INTS)
            for (size_t k = 0; k < attribute->ints.count; k++) sum += (unsigned)attribute->ints.items[k];
    }
    return sum;
}

static unsigned walk_graph(onnx_store *store, const onnx_graph *graph) {
    unsigned sum = 0;
    for (size_t i = 0; i < graph->nodes.count; i++) sum += walk_node(store, &graph->nodes.items[i]);
    for (size_t i = 0; i < graph->initializers.count; i++) sum += sum_elements(store, &graph->initializers.items[i]);
    for (size_t i = 0; i < graph->inputs.count; i++) sum += (unsigned)graph->inputs.items[i].name[0];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volatile unsigned sink; /* keeps the walk from being optimised away */
    onnx_model *model;
    tn_diag diag;
    if (onnx_model_from_memory(data, size, NULL, NULL, &model, &diag) == TN_OK)
        sink = walk_graph(model->store, model->graph);
    onnx_model_close(model);
    onnx_tensor_file file;
    if (tensorproto_file_from_memory(data, size, &file, &diag) == TN_OK) sink = sum_elements(file.store, &file.tensor);
    tensorproto_file_close(&file);
    (void)sink;
    return 0;
}
