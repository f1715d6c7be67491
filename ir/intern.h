/* A table of interned objects: equal content, one address. */
#ifndef TN_IR_INTERN_H
#define TN_IR_INTERN_H

#include "ir/graph.h"

typedef struct intern_slot {
    uint64_t hash;
    void *item; /* NULL: free */
} intern_slot;

/* Open addressing, linear probing, capacity a power of 2. Zero-initialise to start. */
typedef struct intern_table {
    intern_slot *slots;
    size_t capacity, n;
} intern_table;

struct interner {
    intern_table strings, constants, location_sets;
    struct location_set **sets; /* by id - 1 */
    size_t n_sets, sets_capacity;
};

struct interner *interner_new(void);
void interner_free(struct interner *in);

#endif
