/* Multiply-adds from registers, as fast as this machine has them: what explanations and micro-benchmarks measure its peak by.
 *
 * PEAK_CHAINS independent chains of multiply-adds on vectors as wide as there are, PEAK_STEPS of each in a call.
 */
#ifndef TN_COMPILER_PEAK_LOOP_H
#define TN_COMPILER_PEAK_LOOP_H

#include <stddef.h>

enum { PEAK_CHAINS = 12, PEAK_STEPS = 1 << 16, PEAK_LANES = 16 /* at most */ };

/* As single instructions, which -ffp-contract=off denies. */
#if defined(__clang__)
#define PEAK_CONTRACTED
#pragma clang fp contract(fast)
#else
#define PEAK_CONTRACTED , optimize("fp-contract=fast")
#endif
#define PEAK_LOOP(name, bytes, ...)                                                                                    \
    __attribute__((__VA_ARGS__ PEAK_CONTRACTED)) static void name(float *out) {                                        \
        typedef float lanes __attribute__((vector_size(bytes)));                                                       \
        lanes sum[PEAK_CHAINS], x, y;                                                                                  \
        for (size_t i = 0; i < (bytes) / sizeof(float); i++) x[i] = out[i] + 0.999F, y[i] = out[i] + 0.001F;           \
        for (int c = 0; c < PEAK_CHAINS; c++) sum[c] = x * (float)c;                                                   \
        for (int i = 0; i < PEAK_STEPS; i++) {                                                                         \
            _Pragma("GCC unroll 12") for (int c = 0; c < PEAK_CHAINS; c++) sum[c] = sum[c] * x + y;                    \
        }                                                                                                              \
        for (int c = 1; c < PEAK_CHAINS; c++) sum[0] += sum[c];                                                        \
        out[0] = sum[0][0];                                                                                            \
    }
#if defined(__x86_64__)
PEAK_LOOP(peak_64, 64, noinline, target("avx512f"))
PEAK_LOOP(peak_32, 32, noinline, target("avx2,fma"))
#endif
PEAK_LOOP(peak_16, 16, noinline)

typedef struct peak_loop {
    void (*loop)(float *); /* on PEAK_LANES floats */
    double operations;     /* of a call */
} peak_loop;

static inline peak_loop choose_peak_loop(void) {
    enum { OF_A_LANE = 2 * PEAK_CHAINS * PEAK_STEPS };
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return (peak_loop){peak_64, 16.0 * OF_A_LANE};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (peak_loop){peak_32, 8.0 * OF_A_LANE};
#endif
    return (peak_loop){peak_16, 4.0 * OF_A_LANE};
}

#endif
