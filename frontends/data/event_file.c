/* The file behind an event writer (see event_file.h). */
#include "frontends/data/event_file.h"

#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LENGTH_BYTES = 8, SUM_BYTES = 4, MOST_FILES = 10000, HOST_BYTES = 65 };
#define CRC32C_POLYNOMIAL UINT32_C(0x82f63b78) /* Castagnoli's, reflected */
#define SUM_OFFSET UINT32_C(0xa282ead8)

/* ---- Opening ------------------------------------------------------------------------------- */

static void make_crc_table(uint32_t table[256]) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
        table[i] = crc;
    }
}

/* Makes a folder and those that it is in. */
static tn_status make_folders(const char *folder, tn_diag *diag) {
    char path[PATH_MAX];
    size_t length = strlen(folder);
    if (length == 0 || length >= sizeof path)
        return diag_fail(diag, TN_ERR_ARGUMENT, "the folder's name has %zu bytes, expected 1 to %zu", length,
                         sizeof path - 1);
    memcpy(path, folder, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        path[i] = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) return diag_fail(diag, TN_ERR_IO, "%s", strerror(errno));
        if (i < length) path[i] = '/';
    }
    return TN_OK;
}

/* A name that no other writer has, in the form by which TensorBoard knows event files. */
static tn_status open_file(const char *folder, event_file *file, tn_diag *diag) {
    char host[HOST_BYTES] = "";
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    size_t capacity = strlen(folder) + sizeof host + 100;
    file->path = tn_malloc(capacity);
    if (!file->path) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    for (int i = 0; i < MOST_FILES; i++) {
        snprintf(file->path, capacity, "%s/events.out.tfevents.%010" PRId64 ".%s.%ld.%d", folder, (int64_t)time(NULL),
                 host[0] ? host : "localhost", (long)getpid(), i);
        file->fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (file->fd >= 0) return TN_OK;
        if (errno != EEXIST) break;
    }
    return diag_fail(diag, TN_ERR_IO, "%s", strerror(errno));
}

tn_status event_file_new(const char *folder, event_file *file, tn_diag *diag) {
    *file = (event_file){.fd = -1};
    make_crc_table(file->crc_table);
    tn_status status = make_folders(folder, diag);
    if (status == TN_OK) status = open_file(folder, file, diag);
    if (status == TN_OK) return TN_OK;
    tn_free(file->path);
    return diag_in_file(diag, status, folder);
}

/* ---- Records ------------------------------------------------------------------------------- */

static uint32_t sum_of(const event_file *file, const uint8_t *bytes, size_t n) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ file->crc_table[(crc ^ bytes[i]) & 0xff];
    crc = ~crc;
    return (crc >> 15 | crc << 17) + SUM_OFFSET;
}

static void put(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static tn_status write_record(const event_file *file, size_t bytes, tn_diag *diag) {
    for (size_t done = 0; done < bytes;) {
        ssize_t some = write(file->fd, file->record + done, bytes - done);
        if (some < 0 && errno != EINTR) return diag_fail(diag, TN_ERR_IO, "%s", strerror(errno));
        if (some > 0) done += (size_t)some;
    }
    return TN_OK;
}

tn_status event_file_append(event_file *file, const uint8_t *bytes, size_t n, tn_diag *diag) {
    size_t total = LENGTH_BYTES + SUM_BYTES + n + SUM_BYTES;
    void *record = file->record;
    bool has_room = n < SIZE_MAX / 2 && array_reserve(&record, &file->capacity, total, 1);
    file->record = record;
    if (!has_room) return diag_in_file(diag, diag_fail(diag, TN_ERR_MEMORY, "out of memory"), file->path);
    put(file->record, n, LENGTH_BYTES);
    put(file->record + LENGTH_BYTES, sum_of(file, file->record, LENGTH_BYTES), SUM_BYTES);
    memcpy(file->record + LENGTH_BYTES + SUM_BYTES, bytes, n);
    put(file->record + total - SUM_BYTES, sum_of(file, bytes, n), SUM_BYTES);
    return diag_in_file(diag, write_record(file, total, diag), file->path);
}

tn_status event_file_close(event_file *file, tn_diag *diag) {
    int error = fsync(file->fd) != 0 ? errno : 0;
    if (close(file->fd) != 0 && error == 0) error = errno;
    tn_free(file->path);
    tn_free(file->record);
    return error ? diag_fail(diag, TN_ERR_IO, "event file: %s", strerror(error)) : TN_OK;
}
