/* The file of weights that an object compiled with weights apart maps: a header, then the block (aot_entry.h). All
 * numbers are little-endian. */
#ifndef TN_CODEGEN_AOT_FILE_H
#define TN_CODEGEN_AOT_FILE_H

#include <stdint.h>

#define AOT_FILE_MAGIC "TENONW01" /* the last two: version of this format */

enum { AOT_FILE_HEADER = 64, AOT_FILE_ALIGNMENT = 64 };

typedef struct aot_file_header {
    char magic[8];
    uint64_t layout;   /* hash of what lies where: that of the object */
    uint64_t bytes;    /* of the block */
    uint64_t checksum; /* XXH64 of the block, seed 0 */
    uint64_t reserved[4];
} aot_file_header;

_Static_assert(sizeof(aot_file_header) == AOT_FILE_HEADER, "the block stands behind the header");

#endif
