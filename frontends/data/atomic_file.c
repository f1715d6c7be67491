/* Files replaced as a whole (see atomic_file.h). */
#include "frontends/data/atomic_file.h"

#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16, MOST_AT_ONCE = 1 << 30, OPEN_TRIES = 100 };

/* ---- Opening ----------------------------------------------------------------------------- */

/* Whether the open file is what the name stands for now: another writer may have renamed it meanwhile. */
static bool is_still_at(int fd, const char *name) {
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && stat(name, &named) == 0 && open_file.st_ino == named.st_ino &&
           open_file.st_dev == named.st_dev;
}

/* The temporary file, empty and locked. -1 with errno; EWOULDBLOCK: another writer has it. */
static int open_temporary(const char *name) {
    for (int i = 0; i < OPEN_TRIES; i++) {
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (fd < 0) return -1;
        bool is_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (is_locked && is_still_at(fd, name) && ftruncate(fd, 0) == 0) return fd;
        int error = errno;
        bool is_gone = is_locked && !is_still_at(fd, name);
        close(fd);
        errno = error;
        if (!is_gone) return -1;
    }
    errno = EWOULDBLOCK;
    return -1;
}

/* Names of the target, with links followed when it is there, and of the temporary file. */
static bool take_names(const char *path, atomic_file *file) {
    char resolved[PATH_MAX];
    const char *target = realpath(path, resolved) ? resolved : path;
    size_t length = strlen(target);
    file->path = tn_malloc(length + 1);
    file->temporary = tn_malloc(length + sizeof ".tmp");
    file->buffer = tn_malloc(BUFFER_BYTES);
    if (!file->path || !file->temporary || !file->buffer) return false;
    memcpy(file->path, target, length + 1);
    snprintf(file->temporary, length + sizeof ".tmp", "%s.tmp", target);
    return true;
}

static void release(atomic_file *file) {
    if (file->fd >= 0 && file->buffer) close(file->fd);
    tn_free(file->path);
    tn_free(file->temporary);
    tn_free(file->buffer);
    *file = (atomic_file){.fd = -1};
}

static tn_status open_file(const char *path, atomic_file *file, tn_diag *diag) {
    if (!take_names(path, file)) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    struct stat info;
    bool is_there = stat(file->path, &info) == 0;
    file->is_in_place = is_there && !S_ISREG(info.st_mode);
    if (file->is_in_place)
        file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    else
        file->fd = open_temporary(file->temporary);
    if (file->fd < 0 && errno == EWOULDBLOCK)
        return diag_fail(diag, TN_ERR_IO, "it is being written by someone else, who holds %.200s", file->temporary);
    if (file->fd < 0) return diag_fail(diag, TN_ERR_IO, "cannot be written: %s", strerror(errno));
    /* Who may read a file that is replaced stays as it was; not being allowed to say so is no error. */
    if (is_there && !file->is_in_place) fchmod(file->fd, info.st_mode & 07777);
    return TN_OK;
}

tn_status atomic_file_open(const char *path, atomic_file *file, tn_diag *diag) {
    *file = (atomic_file){.fd = -1};
    tn_status status = open_file(path, file, diag);
    if (status != TN_OK) release(file);
    return diag_in_file(diag, status, path);
}

tn_status atomic_file_check(const char *path, tn_diag *diag) {
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) return TN_OK;
    if (slash && (size_t)(slash - path) + 2 > sizeof folder) return TN_OK; /* opening it will tell */
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    int error = stat(path, &info) == 0 ? EISDIR : access(folder, W_OK) != 0 ? errno : 0;
    if (!error) return TN_OK;
    return diag_in_file(diag, diag_fail(diag, TN_ERR_IO, "cannot be written: %s", strerror(error)), path);
}

/* ---- Writing ----------------------------------------------------------------------------- */

static void write_all(atomic_file *file, const uint8_t *data, size_t bytes) {
    while (bytes > 0 && file->error == 0) {
        ssize_t done = write(file->fd, data, bytes < MOST_AT_ONCE ? bytes : MOST_AT_ONCE);
        if (done < 0 && errno != EINTR) file->error = errno;
        if (done <= 0) continue;
        data += done;
        bytes -= (size_t)done;
    }
}

static void flush(atomic_file *file) {
    write_all(file, file->buffer, file->buffered_bytes);
    file->buffered_bytes = 0;
}

void atomic_file_write(atomic_file *file, const void *data, size_t bytes) {
    file->size += bytes;
    if (file->buffered_bytes + bytes > BUFFER_BYTES) flush(file);
    if (bytes > BUFFER_BYTES) {
        write_all(file, data, bytes);
    } else if (bytes > 0) {
        memcpy(file->buffer + file->buffered_bytes, data, bytes);
        file->buffered_bytes += bytes;
    }
}

void atomic_file_zeros(atomic_file *file, size_t bytes) {
    static const uint8_t zeros[256];
    for (size_t done = 0, some; done < bytes; done += some) {
        some = bytes - done < sizeof zeros ? bytes - done : sizeof zeros;
        atomic_file_write(file, zeros, some);
    }
}

/* ---- The end ----------------------------------------------------------------------------- */

/* Syncs the folder that holds `path`, so that the new name is on the disk, too. Some file systems know no such
 * thing, which is no error. */
static int sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".";
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof folder) return ENAMETOOLONG;
    if (slash) {
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == EACCES ? 0 : errno; /* a folder that may be written but not read */
    int error = fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP ? errno : 0;
    close(fd);
    return error;
}

tn_status atomic_file_commit(atomic_file *file, const char *path, tn_diag *diag) {
    flush(file);
    bool may_sync = !file->is_in_place;
    if (file->error == 0 && may_sync && fsync(file->fd) != 0) file->error = errno;
    bool is_renamed = false;
    if (file->error == 0 && may_sync) {
        is_renamed = rename(file->temporary, file->path) == 0;
        file->error = is_renamed ? sync_folder(file->path) : errno;
    }
    int error = file->error;
    if (error != 0 && may_sync && !is_renamed) unlink(file->temporary);
    release(file);
    return error ? diag_in_file(diag, diag_fail(diag, TN_ERR_IO, "%s", strerror(error)), path) : TN_OK;
}

void atomic_file_abandon(atomic_file *file) {
    if (file->temporary && file->fd >= 0 && !file->is_in_place) unlink(file->temporary);
    release(file);
}
