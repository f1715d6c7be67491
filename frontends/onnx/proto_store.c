/* What stays in memory while a model or a tensor file is in use (see proto_store.h). */
#include "frontends/onnx/proto_store.h"

#include "runtime/diag.h"

#include <string.h>
#include <unistd.h>

tn_status store_open(const char *path, const void *bytes, size_t size, const onnx_limits *limits, onnx_store **out,
                     tn_diag *diag) {
    *out = NULL;
    onnx_store *store = tn_calloc(1, sizeof *store);
    if (!store) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    store->folder = -1;
    store->file_name = path;
    store->limits = limits ? *limits : ONNX_LIMITS_DEFAULT;
    if (store->limits.max_depth > ONNX_DEPTH_CEILING) store->limits.max_depth = ONNX_DEPTH_CEILING;
    store->structs.limit_bytes = store->limits.max_struct_bytes;
    store->bytes = (onnx_bytes){size > 0 ? bytes : "", size};
    if (path) {
        tn_status status = file_map_open(path, &store->file, diag);
        if (status != TN_OK) {
            store_close(store);
            return status;
        }
        store->bytes = store->file.bytes;
    }
    *out = store;
    return TN_OK;
}

proto_parser store_parser(onnx_store *store, tn_diag *diag) {
    return (proto_parser){
        .base = store->bytes.data,
        .arena = &store->structs,
        .limits = store->limits,
        .diag = diag,
    };
}

void store_drop_pages(const onnx_store *store) {
    for (const onnx_external_file *file = store->external_files; file; file = file->next)
        file_map_drop_pages(&file->map);
    file_map_drop_pages(&store->file);
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
