/* Opening and closing ONNX models (see proto.h).
 *
 * The way of a model: proto_store.c maps the file and owns the memory, proto_tables.c describes
 * the messages, proto_message.c reads by these tables, proto_wire.c hands it field by field.
 * Elements of tensors are read when wanted (tensorproto.c).
 */
#include "frontends/onnx/proto.h"

#include "frontends/data/file_kind.h"
#include "frontends/onnx/proto_store.h"
#include "frontends/onnx/proto_tables.h"
#include "runtime/diag.h"

#include <string.h>

/* A model begins with its ir_version; what else people hand over is told by what it is. */
static tn_status refuse_mistakes(const onnx_store *store, tn_diag *diag) {
    if (store->bytes.size == 0) return diag_fail(diag, TN_ERR_PARSE, "the file is empty");
    const char *kind = store->bytes.data[0] == 010 ? NULL : file_kind(store->bytes.data, store->bytes.size);
    return kind ? diag_fail(diag, TN_ERR_PARSE, "not an ONNX model; this is %s", kind) : TN_OK;
}

static tn_status read_model(onnx_store *store, onnx_model **model, tn_diag *diag) {
    tn_status status = refuse_mistakes(store, diag);
    if (status != TN_OK) return status;
    onnx_model *read = ARENA_NEW(&store->structs, onnx_model);
    if (!read) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    proto_parser parser = store_parser(store, diag);
    proto_path root = {NULL, "", -1, store->bytes};
    status = proto_parse(&parser, &onnx_model_message, &root, read);
    if (status != TN_OK) return status;
    read->store = store;
    *model = read;
    return TN_OK;
}

tn_status onnx_model_open(const char *path, const onnx_limits *limits, onnx_model **model, tn_diag *diag) {
    *model = NULL;
    onnx_store *store;
    tn_status status = store_open(path, NULL, 0, limits, &store, diag);
    if (status != TN_OK) return diag_in_file(diag, status, path);
    store->folder = folder_of(path);
    status = read_model(store, model, diag);
    if (status != TN_OK) store_close(store);
    return diag_in_file(diag, status, path);
}

tn_status onnx_model_from_memory(const void *bytes, size_t size, const char *folder, const onnx_limits *limits,
                                 onnx_model **model, tn_diag *diag) {
    *model = NULL;
    onnx_store *store;
    tn_status status = store_open(NULL, bytes, size, limits, &store, diag);
    if (status != TN_OK) return status;
    if (folder) store->folder = folder_open(folder);
    status = read_model(store, model, diag);
    if (status != TN_OK) store_close(store);
    return status;
}

void onnx_model_drop_pages(const onnx_model *model) { store_drop_pages(model->store); }

void onnx_model_close(onnx_model *model) {
    if (model) store_close(model->store);
}

const onnx_attribute *onnx_node_attribute(const onnx_node *node, const char *name) {
    for (size_t i = 0; i < node->attributes.count; i++)
        if (strcmp(node->attributes.items[i].name, name) == 0) return &node->attributes.items[i];
    return NULL;
}
