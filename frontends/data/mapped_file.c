/* Files mapped into memory (see mapped_file.h). */
#include "frontends/data/mapped_file.h"

#include "runtime/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mapped_file_flags(void) { return O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY; }

const char *mapped_file_take(int fd, mapped_file *file) {
    const char *error = NULL;
    struct stat info;
    *file = (mapped_file){.data = (const uint8_t *)""};
    if (fstat(fd, &info) != 0) {
        error = strerror(errno);
    } else if (!S_ISREG(info.st_mode)) {
        error = "is not a regular file";
    } else if ((uintmax_t)info.st_size > SIZE_MAX / 2) {
        error = "is too large for this machine's address space";
    } else if (info.st_size > 0) {
        size_t size = (size_t)info.st_size;
        void *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapping == MAP_FAILED)
            error = strerror(errno);
        else
            *file = (mapped_file){mapping, size, mapping};
    }
    close(fd);
    return error;
}

tn_status mapped_file_open(const char *path, mapped_file *file, tn_diag *diag) {
    *file = (mapped_file){0};
    int fd = open(path, mapped_file_flags());
    const char *error = fd < 0 ? strerror(errno) : mapped_file_take(fd, file);
    return error ? diag_in_file(diag, diag_fail(diag, TN_ERR_IO, "%s", error), path) : TN_OK;
}

void mapped_file_close(mapped_file *file) {
    if (file->mapping) munmap(file->mapping, file->size);
    *file = (mapped_file){0};
}
