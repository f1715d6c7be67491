/* Orders of examples that are worked out, not stored.
 *
 * in:  a number of items, a seed and a round number (an epoch)
 * out: which item comes at a position
 * law: for each seed and epoch every item comes exactly once; the same bits on every machine; any position is had at
 *      once, so that reading may go on anywhere
 *
 * A Feistel network of 8 rounds over the least power of four that holds all items permutes it; walking the cycle
 * until an item comes makes that a permutation of the items.
 *
 * Source: J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002.
 */
#ifndef TN_DATA_PERMUTATION_H
#define TN_DATA_PERMUTATION_H

#include <stdint.h>

enum { PERMUTATION_ROUNDS = 8 };

typedef struct permutation {
    int64_t count;
    int half_bits;
    uint64_t keys[PERMUTATION_ROUNDS];
} permutation;

permutation permutation_of(int64_t count, uint64_t seed, uint64_t epoch);

/* The item at `position`, which is in [0, count). */
int64_t permutation_at(const permutation *p, int64_t position);

#endif
