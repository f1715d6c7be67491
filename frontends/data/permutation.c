/* Orders that are worked out (see permutation.h). */
#include "frontends/data/permutation.h"

/* splitmix64's finaliser: every bit of the result depends on every bit of z. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

permutation permutation_of(int64_t count, uint64_t seed, uint64_t epoch) {
    static const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15);
    permutation p = {.count = count, .half_bits = 1};
    while (p.half_bits < 32 && (uint64_t)count > UINT64_C(1) << (2 * p.half_bits)) p.half_bits++;
    uint64_t key = mix(mix(seed + golden) ^ (epoch + 1) * golden);
    for (uint64_t i = 0; i < PERMUTATION_ROUNDS; i++) p.keys[i] = mix(key + (i + 1) * golden);
    return p;
}

int64_t permutation_at(const permutation *p, int64_t position) {
    uint64_t mask = (UINT64_C(1) << p->half_bits) - 1, x = (uint64_t)position;
    do {
        uint64_t left = x >> p->half_bits, right = x & mask;
        for (int i = 0; i < PERMUTATION_ROUNDS; i++) {
            uint64_t next = left ^ (mix(right + p->keys[i]) & mask);
            left = right;
            right = next;
        }
        x = left << p->half_bits | right;
    } while (x >= (uint64_t)p->count);
    return (int64_t)x;
}
