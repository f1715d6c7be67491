/* What the loop classes know of the machine that code is made for; codegen/target.c fills it.
 *
 * Only vector_bytes, has_fma and the tiles may influence the order of a sum; cache sizes
 * decide blocking, which never changes a bit.
 */
#ifndef TN_LOOPS_MACHINE_H
#define TN_LOOPS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct machine_tile {
    int mr, nr; /* rows of A against columns of B */
} machine_tile;

typedef struct machine {
    int vector_bytes; /* of a register */
    int vector_count; /* registers */
    bool has_fma;
    size_t l1_bytes, l2_bytes, l3_bytes;
    machine_tile tile_f32, tile_f64;
    bool keeps_notes; /* somebody asks why kernels are built as they are (lt_note) */
} machine;

/* Lanes of a vector of elements of that many bits, at least 1. */
static inline int machine_lanes(const machine *m, unsigned bits) {
    int lanes = (int)((unsigned)m->vector_bytes * 8u / (bits ? bits : 8u));
    return lanes > 0 ? lanes : 1;
}

/* How many sums of such elements are kept side by side, which are added at last: a vector's. Scalars do the same, for one
 * chain would be slower, and far less accurate. */
static inline int machine_sum_lanes(const machine *m, unsigned bits) {
    enum { VECTOR_BYTES = 16, SCALARS = 4 };
    return m->vector_bytes < VECTOR_BYTES ? SCALARS : machine_lanes(m, bits);
}

/* Whether a step with some lanes off costs no more than a whole one, whatever the element: AVX-512. */
static inline bool machine_has_masks(const machine *m) { return m->vector_bytes >= 64; }

#endif
