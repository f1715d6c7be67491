/* Whole files into memory (see read_file.h). */
#include "frontends/data/read_file.h"

#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16 };

/* Reads until the end; grows as it goes, since a pipe does not say its size. */
static tn_status read_descriptor(int fd, void **content, size_t *size, tn_diag *diag) {
    size_t capacity = 0;
    for (;;) {
        if (!array_reserve(content, &capacity, *size + READ_BYTES, 1))
            return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        ssize_t got = read(fd, (char *)*content + *size, capacity - *size);
        if (got == 0) return TN_OK;
        if (got > 0) *size += (size_t)got;
        if (got < 0 && errno != EINTR) return diag_fail(diag, TN_ERR_IO, "%s", strerror(errno));
    }
}

tn_status read_file(const char *path, void **content, size_t *size, tn_diag *diag) {
    *content = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return diag_in_file(diag, diag_fail(diag, TN_ERR_IO, "%s", strerror(errno)), path);
    tn_status status = read_descriptor(fd, content, size, diag);
    close(fd);
    if (status != TN_OK) {
        tn_free(*content);
        *content = NULL;
    }
    return diag_in_file(diag, status, path);
}

tn_status parse_file(const char *path, read_fn *read, parse_fn *parse, void *out, tn_diag *diag) {
    void *content;
    size_t size;
    tn_status status = read(path, &content, &size, diag);
    if (status != TN_OK) return status;
    status = diag_in_file(diag, parse(content, size, out, diag), path);
    tn_free(content);
    return status;
}
