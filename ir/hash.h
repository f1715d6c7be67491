/* A 64-bit hash of bytes, for tables in memory. Not a checksum, not for untrusted keys. */
#ifndef TN_IR_HASH_H
#define TN_IR_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t n) {
    const unsigned char *p = data;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = hash_mix(hash, word);
    }
    uint64_t tail = n;
    for (size_t i = 0; i < n; i++) tail = tail << 8 | p[i];
    return hash_mix(hash, tail);
}

#endif
