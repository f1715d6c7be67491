/* Where a program's data are, as a description says it. */
#ifndef TN_COMPILER_IMAGE_DATA_H
#define TN_COMPILER_IMAGE_DATA_H

#include "compiler/image.h"

typedef enum data_place {
    DATA_NONE,     /* a weight without initial values */
    DATA_PART,     /* in the image: offset behind the description, bytes */
    DATA_CONSTANT, /* of the user's module: number, bytes */
    DATA_WEIGHT,   /* initial values in the user's module: number, bytes */
    DATA_PLACES,
} data_place;

enum { IMAGE_FORMAT = 1, IMAGE_ALIGNMENT = 64 };

static const char image_magic[8] = {'T', 'N', 'I', 'M', 'A', 'G', 'E', '\n'};

typedef struct image_head {
    char magic[sizeof image_magic];
    uint32_t format, head_bytes;
    digest key;
    uint64_t description_bytes, parts_bytes;
    digest checksum; /* of all above, then of all behind */
} image_head;

_Static_assert(sizeof(image_head) == IMAGE_ALIGNMENT, "parts are aligned when the head is");

/* The checksum, from the digest of what is behind the head. */
static inline digest image_checksum(const image_head *head, digest behind) {
    digester d;
    digest_begin(&d);
    digest_add(&d, head, offsetof(image_head, checksum));
    digest_add(&d, &behind, sizeof behind);
    return digest_end(&d);
}

static inline uint64_t image_padding(uint64_t bytes) { return -bytes & (IMAGE_ALIGNMENT - 1); }

#endif
