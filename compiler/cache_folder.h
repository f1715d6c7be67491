/* The cache's folder: entries by key, whole or not there.
 *
 * law: an entry is complete or absent at any time, for any number of processes: it is written under another name and
 *      renamed; readers keep what they have mapped when it is replaced or removed
 * law: the folder's bytes stay within its limit after each write, the entries used last being kept
 *
 * A folder that belongs to someone else or that others may write to is not used: what is in it is run.
 */
#ifndef TN_COMPILER_CACHE_FOLDER_H
#define TN_COMPILER_CACHE_FOLDER_H

#include "compiler/digest.h"
#include "tenon_rt.h"

typedef struct cache_folder {
    char path[1024];
    int descriptor; /* -1: not open */
} cache_folder;

/* Finds the folder: TENON_CACHE_DIR, else tenon in XDG_CACHE_HOME, else .cache/tenon in HOME; opens it, and makes it
 * before when `make`: else one that is not there yet is no error, and does not open. TN_ERR_IO: it cannot be used, with
 * the reason; `path` is filled when it is known. */
tn_status cache_folder_open(cache_folder *folder, bool make, tn_diag *diag);
void cache_folder_close(cache_folder *folder); /* fine on one that did not open */

/* `given`, else TENON_CACHE_BYTES (also 500M, 2G), else 1 GiB. */
uint64_t cache_limit(uint64_t given);

/* ---- Entries ---- */

/* A file mapped read-only. */
typedef struct cache_map {
    const uint8_t *bytes; /* NULL: none */
    size_t size;
} cache_map;

/* The entry of that key, which counts as used now. False: there is none. */
bool cache_folder_read(const cache_folder *folder, const digest *key, cache_map *map);
void cache_map_end(cache_map *map);

void cache_folder_remove(const cache_folder *folder, const digest *key);

/* An entry while it is written: a head of fixed size, known last, and bytes behind it. */
typedef struct cache_writer {
    const cache_folder *folder;
    int descriptor;
    char name[80]; /* of the temporary file */
    uint64_t size;
    digester content; /* of what is behind the head */
    int error;        /* errno of the first failure */
} cache_writer;

tn_status cache_writer_begin(cache_writer *w, const cache_folder *folder, size_t head_bytes, tn_diag *diag);
void cache_writer_add(cache_writer *w, const void *data, size_t bytes);
/* Gives the entry its head and its name, then removes others down to `limit` bytes. */
tn_status cache_writer_commit(cache_writer *w, const void *head, size_t head_bytes, const digest *key, uint64_t limit,
                              tn_diag *diag);
void cache_writer_abandon(cache_writer *w);

/* ---- The whole ---- */

typedef struct cache_totals {
    uint64_t entries, bytes;
} cache_totals;

/* False: it cannot be read. */
bool cache_folder_total(const cache_folder *folder, cache_totals *totals);
/* Removes all entries, and what writers have left behind. */
bool cache_folder_clear(const cache_folder *folder, cache_totals *removed);

#endif
