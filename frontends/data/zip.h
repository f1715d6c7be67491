/* Zip archives, as far as .npz needs them.
 *
 * in:  the content of an archive; or names and bytes
 * out: its entries' names and bytes; or an archive
 * law: nothing is read outside of the content; the entries together take no more of it than there is, so that a small
 *      file cannot claim to be endless; lengths and sums are checked
 *
 * Entries are stored or deflated; sizes beyond 4 GiB (zip64) are known. What the central directory says counts.
 *
 * Source: PKWARE's APPNOTE, sections 4.3 to 4.5.
 */
#ifndef TN_DATA_ZIP_H
#define TN_DATA_ZIP_H

#include "frontends/data/atomic_file.h"

typedef struct zip_entry {
    const char *name; /* not terminated */
    size_t name_length;
    uint16_t method; /* 0: stored, 8: deflated */
    uint32_t crc;
    const uint8_t *data; /* as stored */
    uint64_t stored_bytes, bytes;
} zip_entry;

/* A walk over the entries. */
typedef struct zip_reader {
    const uint8_t *content;
    size_t size;
    uint64_t directory, directory_end; /* offsets: the next entry's header, and where the last one's ends */
    uint64_t n_entries, n_read;
    uint64_t claimed_bytes; /* of entries so far */
} zip_reader;

tn_status zip_open(const uint8_t *content, size_t size, zip_reader *zip, tn_diag *diag);

/* The next of zip->n_entries. */
tn_status zip_next(zip_reader *zip, zip_entry *entry, tn_diag *diag);

/* The entry's bytes: in place when stored, else in *own, to be freed with tn_free. */
tn_status zip_expand(const zip_entry *entry, const uint8_t **bytes, void **own, tn_diag *diag);

/* An archive that is being written. */
typedef struct zip_writer {
    atomic_file *file;
    uint8_t *directory;
    size_t directory_bytes, directory_capacity;
    uint64_t n_entries;
} zip_writer;

enum { ZIP_MAX_NAME = 65535 };

/* Adds an entry made of two pieces, deflated when `deflates`; its name has at most ZIP_MAX_NAME bytes.
 * False: no memory. */
bool zip_add(zip_writer *zip, const char *name, const void *head, size_t head_bytes, const void *body,
             size_t body_bytes, bool deflates);

/* Writes the directory. What zip_add needed is freed in any case. */
void zip_finish(zip_writer *zip);

#endif
