/* Files mapped into memory, and the fence around external data (see proto_file.h). */
#include "frontends/onnx/proto_file.h"

#include "frontends/data/mapped_file.h"
#include "runtime/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Maps what `fd` is open on and closes it. NULL on success, else what was wrong. */
static const char *map_descriptor(int fd, file_map *map) {
    mapped_file file;
    const char *error = mapped_file_take(fd, &file);
    *map = (file_map){.bytes = {file.data, file.size}, .mapping = file.mapping};
    return error;
}

tn_status file_map_open(const char *path, file_map *map, tn_diag *diag) {
    *map = (file_map){0};
    int fd = open(path, mapped_file_flags());
    const char *error = fd < 0 ? strerror(errno) : map_descriptor(fd, map);
    return error ? diag_fail(diag, TN_ERR_IO, "%s", error) : TN_OK;
}

int folder_open(const char *folder) { return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

int folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return folder_open(".");
    char folder[PATH_MAX];
    size_t length = (size_t)(slash - path) + 1;
    if (length >= sizeof folder) return -1;
    memcpy(folder, path, length);
    folder[length] = '\0';
    return folder_open(folder);
}

/* What makes a path unfit before any file is touched; NULL: nothing. */
static const char *path_fault(const char *relative) {
    if (relative[0] == '\0') return "is empty";
    if (relative[0] == '/') return "is an absolute path, expected one relative to the model's folder";
    if (strlen(relative) >= PATH_MAX) return "is longer than 4095 bytes";
    for (const char *part = relative; part;) {
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0) return "leads out of the model's folder ('..')";
        part = part[length] ? part + length + 1 : NULL;
    }
    return NULL;
}

/* Opens one part of a path in its parent's handle. Returns a descriptor, or -1 with errno. */
static int open_part(int parent, const char *part, size_t length, int flags) {
    char name[256];
    if (length >= sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, part, length);
    name[length] = '\0';
    return openat(parent, name, mapped_file_flags() | O_NOFOLLOW | flags);
}

/* Opens `relative` part by part, following no link. Returns a descriptor, or -1 with errno. */
static int open_beneath(int folder, const char *relative) {
    int parent = folder;
    for (const char *part = relative;;) {
        size_t length = strcspn(part, "/");
        bool is_last = part[length] == '\0';
        int fd = open_part(parent, part, length, is_last ? 0 : O_DIRECTORY);
        int error = errno;
        if (parent != folder) close(parent);
        errno = error;
        if (fd < 0 || is_last) return fd;
        parent = fd;
        part += length + 1;
    }
}

tn_status file_map_beneath(int folder, const char *relative, file_map *map, tn_diag *diag) {
    *map = (file_map){0};
    const char *fault = path_fault(relative);
    if (fault) return diag_fail(diag, TN_ERR_PARSE, "external data: location '%.200s' %s", relative, fault);
    int fd = open_beneath(folder, relative);
    const char *error;
    if (fd >= 0)
        error = map_descriptor(fd, map);
    else
        error = errno == ELOOP || errno == ENOTDIR
                    ? "is or goes through a link or file, expected plain folders and a file"
                    : strerror(errno);
    return error ? diag_fail(diag, TN_ERR_IO, "external data: '%.200s': %s", relative, error) : TN_OK;
}

void file_map_drop_pages(const file_map *map) {
    if (map->mapping) madvise(map->mapping, map->bytes.size, MADV_DONTNEED); /* never written: nothing is lost */
}

void file_map_close(file_map *map) {
    if (map->mapping) munmap(map->mapping, map->bytes.size);
    *map = (file_map){0};
}
