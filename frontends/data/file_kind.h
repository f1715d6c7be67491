/* What a file is that is not what was asked for, told by its first bytes. */
#ifndef TN_FILE_KIND_H
#define TN_FILE_KIND_H

#include <stddef.h>

enum { FILE_KIND_BYTES = 128 }; /* so many first bytes are enough */

/* What follows "this is": "a picture (PNG)", "a PyTorch file: torch.onnx.export writes its model as ONNX". NULL: nothing
 * that is known. */
const char *file_kind(const void *start, size_t bytes);

/* The same of the file at `path`; NULL, too, when it cannot be read. */
const char *file_kind_at(const char *path);

#endif
