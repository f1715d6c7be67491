/* Programs as bytes: what the cache's entries hold.
 *
 * in:  a program that was described, its objects, and the data that its runs read
 * out: the same program, its code still to be linked
 * law: what is read back has every table, name and number of what was written; bytes that are not whole, or not an image
 *      of that key, are refused without a look at the rest
 *
 *   head          64 bytes: what this is, of which key, how long, and a checksum of all
 *   description   tables and names, as fields in a fixed order
 *   parts         each aligned to 64: objects, constants, packed weights; the description names them by offset
 *
 * Data that the user's module has too are taken from there, by number (cache_key.h). Where all packed weights are made
 * of constants, the image has them instead of `prepare`: they are mapped, and nothing is to be done when it is loaded.
 */
#ifndef TN_COMPILER_IMAGE_H
#define TN_COMPILER_IMAGE_H

#include "compiler/cache_folder.h"
#include "compiler/cache_key.h"
#include "compiler/stages.h"
#include "runtime/program.h"

typedef struct image_part {
    const void *data; /* NULL: to be filled in, or no bytes */
    size_t bytes;
    bool is_copy;      /* of the image's own */
    uint32_t prepared; /* it is that output of prepare and one; 0: none */
} image_part;

/* An image that is to be written. */
typedef struct image {
    uint8_t *description;
    size_t description_bytes, description_capacity;
    image_part *parts;
    size_t n_parts, parts_capacity;
    uint64_t parts_bytes; /* with the gaps */
} image;

/* Before the objects are gone: `p` and p->prepare are described and not sealed. Packed weights become part of it when they
 * are no more than `most_packed` bytes. False: out of memory. To be freed either way. */
bool image_make(image *im, tn_program *p, const compilation *c, const module_data *user, uint64_t most_packed);
/* After the program is sealed, which it must outlive: takes its packed weights up. */
void image_take_packed(image *im, const tn_program *p);
uint64_t image_bytes(const image *im);
tn_status image_write(const image *im, const cache_folder *folder, const digest *key, uint64_t limit, tn_diag *diag);
void image_free(image *im);

/* What image_read found beside the program's description. */
typedef struct image_content {
    object_file *objects; /* from tn_malloc; their bytes are the map's */
    size_t n_objects;
    bool has_prepare;
    bool reads_map, reads_module; /* the program reads data there as long as it lives */
} image_content;

/* NULL: good. Else what is wrong, in words; *p is then only to be freed. "" is out of memory. `p` is a new program. */
const char *image_read(const cache_map *map, const digest *key, const module_data *user, tn_program *p,
                       image_content *content);

#endif
