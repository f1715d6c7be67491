/* What stays in memory while a model or a tensor file is in use. */
#ifndef TN_ONNX_PROTO_STORE_H
#define TN_ONNX_PROTO_STORE_H

#include "frontends/onnx/proto_file.h"
#include "frontends/onnx/proto_message.h"

/* A file with external data, mapped once for all tensors in it. */
typedef struct onnx_external_file {
    struct onnx_external_file *next;
    const char *location;
    file_map map;
} onnx_external_file;

struct onnx_store {
    arena structs;         /* what was read, within limits.max_struct_bytes */
    arena data;            /* elements that had to be decoded */
    file_map file;         /* unused when the caller brought the bytes */
    onnx_bytes bytes;      /* the whole file */
    const char *file_name; /* the caller's, for diagnostics; may be NULL */
    int folder;            /* of external data, -1: none */
    onnx_external_file *external_files;
    onnx_limits limits;
};

/* Starts a store on a file, or on bytes in memory when `path` is NULL. On failure *out is NULL. */
tn_status store_open(const char *path, const void *bytes, size_t size, const onnx_limits *limits, onnx_store **out,
                     tn_diag *diag);

/* A parser whose structs live in the store. */
proto_parser store_parser(onnx_store *store, tn_diag *diag);

/* See file_map_drop_pages. */
void store_drop_pages(const onnx_store *store);
void store_close(onnx_store *store);

#endif
