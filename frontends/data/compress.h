/* Deflated bytes: gzip files and the entries of zip archives.
 *
 * in:  bytes as a file has them
 * out: the bytes meant, in memory of the caller's to be freed with tn_free; and the reverse for zip and PNG
 * law: sums and lengths that the format carries are checked; nothing that a file says about its size is believed
 *      before as many bytes are there
 *
 * zlib does the work.
 */
#ifndef TN_DATA_COMPRESS_H
#define TN_DATA_COMPRESS_H

#include "tenon_rt.h"

/* Reads the file at `path`, expanded when it is gzip, whatever its name. *diag has `path` as its file. */
tn_status read_maybe_gzip(const char *path, void **content, size_t *size, tn_diag *diag);

/* Expands *content in place when it is gzip (one member or several); what was there is freed. On failure *content is
 * NULL. */
tn_status expand_gzip(void **content, size_t *size, tn_diag *diag);

/* Expands a bare deflate stream that must give exactly `to_bytes`. TN_ERR_PARSE: it does not; or TN_ERR_MEMORY. */
tn_status inflate_exactly(const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes);

/* What a deflated stream is wrapped in: nothing (zip), or header and sum of zlib (PNG). */
typedef enum deflate_wrap { DEFLATE_BARE, DEFLATE_ZLIB } deflate_wrap;

/* Deflates into new memory. NULL: no memory. */
uint8_t *deflate_bytes(const uint8_t *from, size_t from_bytes, deflate_wrap wrap, size_t *to_bytes);

/* The CRC-32 of what `sum` is that of (0: nothing), followed by these bytes. */
uint32_t crc32_add(uint32_t sum, const void *data, size_t bytes);

#endif
