/* The cache's folder (see cache_folder.h): where it is, reading and writing entries. */
#include "compiler/cache_folder.h"

#include "runtime/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "compiler/cache_evict.h"

/* ---- The folder ------------------------------------------------------------------------------------------- */

static const char *environment(const char *name) {
    const char *value = secure_getenv(name);
    return value && *value ? value : NULL;
}

/* What the XDG Base Directory Specification says; paths there must be absolute. */
static bool find_path(char *path, size_t capacity) {
    const char *own = environment("TENON_CACHE_DIR"), *caches = environment("XDG_CACHE_HOME"),
               *home = environment("HOME");
    int length = -1;
    if (own)
        length = snprintf(path, capacity, "%s", own);
    else if (caches && *caches == '/')
        length = snprintf(path, capacity, "%s/tenon", caches);
    else if (home && *home == '/')
        length = snprintf(path, capacity, "%s/.cache/tenon", home);
    return length > 0 && (size_t)length < capacity;
}

/* The folder and those above it, for the user alone. */
static void make_folders(const char *path) {
    char part[sizeof((cache_folder *)NULL)->path];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0700);
        *slash = '/';
    }
    mkdir(part, 0700); /* that it is there already is no error, and all others show when it is opened */
}

static tn_status check_owner(const cache_folder *folder, tn_diag *diag) {
    struct stat info;
    if (fstat(folder->descriptor, &info) != 0) return diag_fail(diag, TN_ERR_IO, "%s", strerror(errno));
    if (info.st_uid != geteuid())
        return diag_fail(diag, TN_ERR_IO, "it belongs to another user, whose code Tenon would run");
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return diag_fail(diag, TN_ERR_IO,
                         "others may write to it, whose code Tenon would run (chmod go-w makes it good)");
    return TN_OK;
}

tn_status cache_folder_open(cache_folder *folder, bool make, tn_diag *diag) {
    *folder = (cache_folder){.descriptor = -1};
    if (!find_path(folder->path, sizeof folder->path)) {
        folder->path[0] = '\0';
        return diag_fail(diag, TN_ERR_IO, "no folder for the cache: neither TENON_CACHE_DIR nor HOME says one");
    }
    folder->descriptor = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->descriptor < 0 && errno == ENOENT && make) {
        make_folders(folder->path);
        folder->descriptor = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (folder->descriptor < 0 && errno == ENOENT && !make) return TN_OK;
    tn_status status =
        folder->descriptor < 0 ? diag_fail(diag, TN_ERR_IO, "%s", strerror(errno)) : check_owner(folder, diag);
    if (status != TN_OK) cache_folder_close(folder);
    return status;
}

void cache_folder_close(cache_folder *folder) {
    if (folder->descriptor >= 0) close(folder->descriptor);
    folder->descriptor = -1;
}

uint64_t cache_limit(uint64_t given) {
    const char *text = environment("TENON_CACHE_BYTES");
    char *end;
    if (given || !text) return given ? given : (uint64_t)1 << 30;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    static const char units[] = "KMG";
    const char *unit = *end ? strchr(units, *end) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    bool is_good = end > text && *text != '-' && errno == 0 && !end[unit != NULL] && value <= UINT64_MAX >> shift;
    return is_good ? (uint64_t)value << shift : (uint64_t)1 << 30;
}

/* ---- Reading ------------------------------------------------------------------------------------------------ */

enum { NAME_BYTES = 2 * sizeof(digest) + sizeof CACHE_SUFFIX };

static void name_of(const digest *key, char *name) {
    for (size_t i = 0; i < sizeof key->bytes; i++) snprintf(name + 2 * i, 3, "%02x", key->bytes[i]);
    memcpy(name + 2 * sizeof key->bytes, CACHE_SUFFIX, sizeof CACHE_SUFFIX);
}

bool cache_folder_read(const cache_folder *folder, const digest *key, cache_map *map) {
    char name[NAME_BYTES];
    struct stat info;
    name_of(key, name);
    *map = (cache_map){0};
    int file = openat(folder->descriptor, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (file < 0) return false;
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
        void *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
        if (at != MAP_FAILED) *map = (cache_map){at, (size_t)info.st_size};
        futimens(file, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}});
    }
    close(file);
    return map->bytes != NULL;
}

void cache_map_end(cache_map *map) {
    if (map->bytes) munmap((void *)(uintptr_t)map->bytes, map->size);
    *map = (cache_map){0};
}

void cache_folder_remove(const cache_folder *folder, const digest *key) {
    char name[NAME_BYTES];
    name_of(key, name);
    unlinkat(folder->descriptor, name, 0);
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */

enum { OPEN_TRIES = 100, MOST_AT_ONCE = 1 << 30 };

static void write_all(cache_writer *w, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0 && w->error == 0) {
        ssize_t done = write(w->descriptor, at, bytes < MOST_AT_ONCE ? bytes : MOST_AT_ONCE);
        if (done < 0 && errno != EINTR) w->error = errno;
        if (done <= 0) continue;
        at += done;
        bytes -= (size_t)done;
    }
}

tn_status cache_writer_begin(cache_writer *w, const cache_folder *folder, size_t head_bytes, tn_diag *diag) {
    *w = (cache_writer){.folder = folder, .descriptor = -1, .size = head_bytes};
    digest_begin(&w->content);
    for (int i = 0; i < OPEN_TRIES && w->descriptor < 0; i++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(w->name, sizeof w->name, "%ld-%ld-%d" CACHE_TEMPORARY, (long)getpid(), now.tv_nsec, i);
        w->descriptor = openat(folder->descriptor, w->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (w->descriptor < 0 && errno != EEXIST) break;
    }
    if (w->descriptor < 0) return diag_fail(diag, TN_ERR_IO, "it cannot be written to: %s", strerror(errno));
    if (lseek(w->descriptor, (off_t)head_bytes, SEEK_SET) < 0) w->error = errno;
    return TN_OK;
}

void cache_writer_add(cache_writer *w, const void *data, size_t bytes) {
    digest_add(&w->content, data, bytes);
    w->size += bytes;
    write_all(w, data, bytes);
}

tn_status cache_writer_commit(cache_writer *w, const void *head, size_t head_bytes, const digest *key, uint64_t limit,
                              tn_diag *diag) {
    char name[NAME_BYTES];
    name_of(key, name);
    if (w->error == 0 && lseek(w->descriptor, 0, SEEK_SET) < 0) w->error = errno;
    write_all(w, head, head_bytes);
    if (w->error == 0 && renameat(w->folder->descriptor, w->name, w->folder->descriptor, name) != 0) w->error = errno;
    int error = w->error;
    if (error) {
        cache_writer_abandon(w);
        if (error == ENOENT) return TN_OK; /* somebody emptied the folder meanwhile */
        return diag_fail(diag, TN_ERR_IO, "an entry could not be written: %s", strerror(error));
    }
    close(w->descriptor);
    w->descriptor = -1;
    cache_evict(w->folder->descriptor, limit);
    return TN_OK;
}

void cache_writer_abandon(cache_writer *w) {
    if (w->descriptor < 0) return;
    close(w->descriptor);
    unlinkat(w->folder->descriptor, w->name, 0);
    w->descriptor = -1;
}
