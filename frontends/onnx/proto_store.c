/* What stays in memory while a model or a tensor file is in use (see proto_store.h). */
#include "frontends/onnx/proto_store.h"

#include <string.h>
#include <unistd.h>

onnx_store *store_open(const char *path, const void *bytes, size_t size, const onnx_limits *limits, tn_diag *diag) {
    onnx_store *store = tn_calloc(1, sizeof *store);
    if (!store) {
        file_fail(diag, TN_ERR_MEMORY, path, "out of memory");
        return NULL;
    }
    store->folder = -1;
    store->file_name = path;
    store->limits = limits ? *limits : ONNX_LIMITS_DEFAULT;
    if (store->limits.max_depth > ONNX_DEPTH_CEILING) store->limits.max_depth = ONNX_DEPTH_CEILING;
    store->structs.limit_bytes = store->limits.max_struct_bytes;
    store->bytes = (onnx_bytes){size > 0 ? bytes : "", size};
    if (path && file_map_open(path, &store->file, diag) != TN_OK) {
        store_close(store);
        return NULL;
    }
    if (path) store->bytes = store->file.bytes;
    return store;
}

proto_parser store_parser(onnx_store *store, tn_diag *diag) {
    return (proto_parser){
        .base = store->bytes.data,
        .file = store->file_name,
        .arena = &store->structs,
        .limits = store->limits,
        .diag = diag,
    };
}

void store_close(onnx_store *store) {
    if (!store) return;
    for (onnx_external_file *file = store->external_files; file; file = file->next) file_map_close(&file->map);
    if (store->folder >= 0) close(store->folder);
    file_map_close(&store->file);
    arena_free(&store->structs);
    arena_free(&store->data);
    tn_free(store);
}
