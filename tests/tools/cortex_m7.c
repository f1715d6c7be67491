/* How a test program starts on a Cortex-M7 (see cortex_m7.ld): floating point on, then newlib's start, which has files
 * and arguments by semihosting. */
#include <stdint.h>

void __stack(void); /* a place, no function: the stack's end */
void _start(void);
void reset(void);

void reset(void) {
    volatile uint32_t *access = (volatile uint32_t *)0xe000ed88; /* CPACR (ARMv7-M, B3.2.20): coprocessors 10 and 11 */
    *access |= UINT32_C(0xf) << 20;
    __asm volatile("dsb\n isb");
    _start();
}

static void fault(void) {
    for (;;) __asm volatile("bkpt 0xff"); /* the emulator stops */
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    __stack, reset, fault, fault, fault, fault, fault,
};
