/* The floating-point mode that compiled code runs in.
 *
 * in:  whatever mode the calling thread is in
 * out: round to nearest, no traps, denormals kept or flushed as asked; and the caller's mode back
 * law: results never depend on the caller's mode; one register read when nothing is to be changed
 */
#ifndef TN_RUNTIME_FPMODE_H
#define TN_RUNTIME_FPMODE_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE__)
#include <xmmintrin.h>

enum { FPMODE_DEFAULT = 0x1f80, FPMODE_FLUSH = 0x8040, FPMODE_FLAGS = 0x3f };
typedef uint32_t fpmode;

/* Sets the mode and returns the one before. */
static inline fpmode fpmode_enter(bool flush_denormals) {
    fpmode before = _mm_getcsr(), wanted = FPMODE_DEFAULT | (flush_denormals ? FPMODE_FLUSH : 0);
    if ((before & ~(fpmode)FPMODE_FLAGS) != wanted) _mm_setcsr(wanted);
    return before;
}

/* Puts a mode back, exception flags included. */
static inline void fpmode_leave(fpmode before) {
    if (_mm_getcsr() != before) _mm_setcsr(before);
}

#elif defined(__aarch64__)

enum { FPMODE_FLUSH = 1 << 24 }; /* FZ; all else 0: nearest, no traps */
typedef uint64_t fpmode;

static inline fpmode fpmode_enter(bool flush_denormals) {
    fpmode before, wanted = flush_denormals ? FPMODE_FLUSH : 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    if (before != wanted) __asm__ volatile("msr fpcr, %0" : : "r"(wanted));
    return before;
}

static inline void fpmode_leave(fpmode before) {
    fpmode now;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    if (before != now) __asm__ volatile("msr fpcr, %0" : : "r"(before));
}

#else

typedef int fpmode; /* a machine whose mode we don't know is left in it */

static inline fpmode fpmode_enter(bool flush_denormals) {
    (void)flush_denormals;
    return 0;
}

static inline void fpmode_leave(fpmode before, bool flush_denormals) { (void)before, (void)flush_denormals; }

#endif

#endif
