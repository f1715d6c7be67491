/* Philox 4x32-10 as loop-tree statements (see access.h and the op's row in ops.def).
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
 * The state is u64[4]: key, counter low, counter high, unused. Each result element runs the
 * ten rounds for its block and keeps its lane.
 */
#include "compiler/loops/access.h"

enum { ROUNDS = 10 };

static lt_value word(access *a, lt_value u64, int high) {
    if (high) u64 = lt_binary(&a->b, TN_OP_shr, u64, lt_const_int(&a->b, TN_U64, 32));
    return lt_convert(&a->b, u64, TN_U32);
}

static lt_value product(access *a, uint32_t factor, lt_value x) {
    return lt_binary(&a->b, TN_OP_mul, lt_const_int(&a->b, TN_U64, factor), lt_convert(&a->b, x, TN_U64));
}

static lt_value xor3(access *a, lt_value x, lt_value y, lt_value z) {
    return lt_binary(&a->b, TN_OP_xor, lt_binary(&a->b, TN_OP_xor, x, y), z);
}

/* 128-bit counter + block, as four words. */
static void block_counter(access *a, lt_value low, lt_value high, lt_value block, lt_value counter[4]) {
    lt_value sum = lt_binary(&a->b, TN_OP_add, low, block);
    lt_value carry = lt_convert(&a->b, lt_compare(&a->b, COMPARE_LT, sum, low), TN_U64);
    lt_value top = lt_binary(&a->b, TN_OP_add, high, carry);
    for (int i = 0; i < 2; i++) {
        counter[i] = word(a, sum, i);
        counter[2 + i] = word(a, top, i);
    }
}

static void philox(access *a, lt_value key64, lt_value counter[4]) {
    lt_value key[2] = {word(a, key64, 0), word(a, key64, 1)};
    for (int round = 0; round < ROUNDS && !a->b.failed; round++) {
        lt_value p0 = product(a, 0xD2511F53u, counter[0]), p1 = product(a, 0xCD9E8D57u, counter[2]);
        lt_value next[4] = {xor3(a, word(a, p1, 1), counter[1], key[0]), word(a, p1, 0),
                            xor3(a, word(a, p0, 1), counter[3], key[1]), word(a, p0, 0)};
        for (int i = 0; i < 4; i++) counter[i] = next[i];
        key[0] = lt_binary(&a->b, TN_OP_add, key[0], lt_const_int(&a->b, TN_U32, 0x9E3779B9u));
        key[1] = lt_binary(&a->b, TN_OP_add, key[1], lt_const_int(&a->b, TN_U32, 0xBB67AE85u));
    }
}

/* words[lane] for a lane known only at run time. */
static lt_value choose(access *a, tn_dim lane, const lt_value words[4], int n) {
    lt_value at = lt_dim_value(&a->b, lane), chosen = words[0];
    for (int i = 1; i < n; i++)
        chosen = lt_select(&a->b, lt_compare(&a->b, COMPARE_EQ, at, lt_const_int(&a->b, TN_I64, i)), words[i], chosen);
    return chosen;
}

lt_value access_rng_bits(access *a, value_id v, const node *n, const tn_dim *index) {
    dim_table *t = a->fused->module->dims;
    const tn_type *type = graph_type(a->fused, v);
    bool wide = type->dtype == TN_U64;
    tn_dim linear = access_offset(a, type, index);
    tn_dim per_block = dim_const(t, wide ? 2 : 4);
    tn_dim block = dim_floordiv(t, linear, per_block), lane = dim_sub(t, linear, dim_mul(t, block, per_block));
    lt_value state[3], counter[4];
    for (int i = 0; i < 3; i++) {
        tn_dim at = dim_const(t, i);
        if ((state[i] = access_value(a, n->operands[0], &at)) == LT_NONE) return LT_NONE;
    }
    block_counter(a, state[1], state[2], lt_convert(&a->b, lt_dim_value(&a->b, block), TN_U64), counter);
    philox(a, state[0], counter);
    if (!wide) return choose(a, lane, counter, 4);
    lt_value pairs[4];
    for (int i = 0; i < 2; i++) {
        lt_value high =
            lt_binary(&a->b, TN_OP_shl, lt_convert(&a->b, counter[2 * i + 1], TN_U64), lt_const_int(&a->b, TN_U64, 32));
        pairs[i] = lt_binary(&a->b, TN_OP_or, lt_convert(&a->b, counter[2 * i], TN_U64), high);
    }
    return choose(a, lane, pairs, 2);
}
