/* Digests of content (see digest.h). xxhash is compiled in here, so that nothing has to be linked. */
#define XXH_INLINE_ALL
#include "compiler/digest.h"

static digest from_hash(XXH128_hash_t hash) {
    digest out;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(out.bytes, canonical.digest, sizeof out.bytes);
    return out;
}

void digest_begin(digester *d) { XXH3_128bits_reset(&d->state); }

void digest_add(digester *d, const void *data, size_t bytes) {
    if (bytes) XXH3_128bits_update(&d->state, data, bytes);
}

digest digest_end(const digester *d) { return from_hash(XXH3_128bits_digest(&d->state)); }
digest digest_of(const void *data, size_t bytes) { return from_hash(XXH3_128bits(data, bytes)); }
