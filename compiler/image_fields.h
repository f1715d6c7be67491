/* The fields of a program's description in their order, read and written by the same code.
 *
 * law: a reader never leaves its bytes, whatever they are: it notes that something is wrong and gives zeros
 */
#ifndef TN_COMPILER_IMAGE_FIELDS_H
#define TN_COMPILER_IMAGE_FIELDS_H

#include "compiler/image.h"

typedef struct fields fields;

struct fields {
    bool is_reading;
    bool no_memory;
    const char *wrong; /* what is wrong with what is read; NULL: nothing */
    arena *memory;     /* of what is read */

    const uint8_t *at, *end; /* of the description, while reading */
    image *to;               /* while writing */

    /* Data that a program points to. Writing: the description of where *data is; reading: *data from that. `name`: the
     * weight whose initial values it is; NULL: a constant. */
    void (*data)(fields *f, const void **data, const char *name);
    /* Writing: in place of a packed weight that is output `index` of prepare, data that will be there when prepare has
     * run. NULL: it stays an output of prepare. */
    void (*prepared)(fields *f, uint32_t index);
    const void *ctx; /* of the two */
};

void field_number(fields *f, uint64_t *number);
void field_bytes(fields *f, void *bytes, size_t n);
void field_refuse(fields *f, const char *wrong); /* keeps the first */
bool fields_are_good(const fields *f);

/* All but the entries, and what points into the process: functions of custom ops. */
void program_fields(fields *f, tn_program *p);

#endif
