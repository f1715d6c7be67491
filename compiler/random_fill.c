/* Random contents of inputs (see random_fill.h). */
#include "compiler/random_fill.h"

#include "ir/dtype.h"

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t seed_of(const char *name, long long seed) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    return hash + (uint64_t)seed * 1000003u;
}

void random_fill(eval_tensor *t, const char *name, long long seed) {
    uint64_t state = seed_of(name, seed);
    for (int64_t i = 0; i < t->n; i++) {
        uint64_t bits = next_random(&state);
        if (dtype_is_float(t->dtype))
            eval_store_float(t, i, (double)(bits >> 11) * 0x1p-52 - 1);
        else
            eval_store_int(t, i, (int64_t)(bits >> 32) & (t->dtype == TN_BOOL ? 1 : 7));
    }
}
