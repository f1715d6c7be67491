/* Files mapped into memory, and the fence around external data.
 *
 * law: a path that comes out of a model never opens anything outside of the model's folder: it is
 * relative, without ".." parts, every part is opened in its parent's handle, and links are not
 * followed at all. Only regular files are mapped.
 */
#ifndef TN_ONNX_PROTO_FILE_H
#define TN_ONNX_PROTO_FILE_H

#include "frontends/onnx/proto.h"

/* A whole file, read-only. */
typedef struct file_map {
    onnx_bytes bytes;
    void *mapping; /* NULL: nothing to unmap */
} file_map;

/* Maps the file at `path`, wherever it is. */
tn_status file_map_open(const char *path, file_map *map, tn_diag *diag);

/* Opens the folder that holds `path` ("." when it has no folder part). Returns a descriptor, or
 * -1: it cannot be opened. */
int folder_of(const char *path);

/* Opens a folder. Returns a descriptor or -1. */
int folder_open(const char *folder);

/* Maps the file `relative` beneath the open folder. */
tn_status file_map_beneath(int folder, const char *relative, file_map *map, tn_diag *diag);

/* Gives back the memory that its pages take; what is read again comes from the file again. */
void file_map_drop_pages(const file_map *map);
void file_map_close(file_map *map);

#endif
