/* Reference evaluation of rng_bits: Philox 4x32-10.
 *
 * in:  state u64[4]: key, counter (low, high), unused
 * out: random bits
 * law: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
 *      section 4.3: four words of counter, two words of key, ten rounds; each multiplies two
 *      words by constants and crosses high and low halves; the key grows by a Weyl sequence.
 *      Key words are the halves of the first u64, low first; counter words those of the next
 *      two. Block b of output comes from counter + b (128 bits, wrapping). A 32-bit element i
 *      is word i mod 4 of block i / 4, a 64-bit one words 2 (i mod 2) (its low half) and the
 *      next of block i / 2.
 */
#include "ir/eval_state.h"

static const uint32_t multiplier[2] = {0xD2511F53, 0xCD9E8D57};
static const uint32_t weyl[2] = {0x9E3779B9, 0xBB67AE85};

void eval_philox_block(uint64_t key, uint64_t low, uint64_t high, uint32_t out[4]) {
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t x[4] = {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)multiplier[0] * x[0], p1 = (uint64_t)multiplier[1] * x[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ x[1] ^ k[0], (uint32_t)p1, (uint32_t)(p0 >> 32) ^ x[3] ^ k[1],
                            (uint32_t)p0};
        for (int w = 0; w < 4; w++) x[w] = next[w];
        for (int w = 0; w < 2; w++) k[w] += weyl[w];
    }
    for (int w = 0; w < 4; w++) out[w] = x[w];
}

/* All blocks take each step together: their words lie side by side, as vectors. */
void eval_philox_blocks(uint64_t key, uint64_t low, uint32_t out[4][EVAL_PHILOX_BLOCKS]) {
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    for (uint64_t i = 0; i < EVAL_PHILOX_BLOCKS; i++) {
        out[0][i] = (uint32_t)(low + i);
        out[1][i] = (uint32_t)((low + i) >> 32);
        out[2][i] = out[3][i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < EVAL_PHILOX_BLOCKS; i++) {
            uint64_t p0 = (uint64_t)multiplier[0] * out[0][i], p1 = (uint64_t)multiplier[1] * out[2][i];
            out[0][i] = (uint32_t)(p1 >> 32) ^ out[1][i] ^ k[0];
            out[1][i] = (uint32_t)p1;
            out[2][i] = (uint32_t)(p0 >> 32) ^ out[3][i] ^ k[1];
            out[3][i] = (uint32_t)p0;
        }
        for (int w = 0; w < 2; w++) k[w] += weyl[w];
    }
}

bool eval_rng_bits(eval_args *c) {
    const eval_tensor *state = c->operands[0];
    eval_tensor *t = &c->results[0];
    if (state->n < 3) return eval_error(c->state, TN_ERR_VERIFY, "the state is shorter than u64[4]");
    uint64_t key = (uint64_t)eval_load_int(state, 0);
    uint64_t low = (uint64_t)eval_load_int(state, 1), high = (uint64_t)eval_load_int(state, 2);
    int words = eval_dtype_bytes(t->dtype) == 8 ? 2 : 1, lanes = 4 / words;
    uint32_t block[4] = {0};
    for (int64_t k = 0; k < t->n; k++) {
        int64_t lane = k % lanes;
        if (lane == 0) {
            uint64_t counter = low + (uint64_t)(k / lanes);
            eval_philox_block(key, counter, high + (counter < low), block);
        }
        uint64_t bits = block[lane * words];
        if (words == 2) bits |= (uint64_t)block[lane * words + 1] << 32;
        eval_store_int(t, k, (int64_t)bits);
    }
    return true;
}
