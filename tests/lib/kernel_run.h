/* Loop trees compiled in process and run, for tests.
 *
 *     kernel_run r;
 *     kernel_run_open(&r, "x86-64-v3", kernel);   // fails the test when it cannot be compiled
 *     kernel_run_call(&r, buffers, extents);      // inputs and outputs in order
 *     kernel_run_close(&r);
 */
#ifndef TN_TESTS_KERNEL_RUN_H
#define TN_TESTS_KERNEL_RUN_H

#include "compiler/loops/loops.h"
#include "runtime/tenon_rt.h"

enum { KERNEL_RUN_STAGES = 8 };

typedef struct kernel_run {
    const lt_kernel *kernel;
    struct jit *jit;
    struct jit_unit *unit;
    tn_chunk_fn stages[KERNEL_RUN_STAGES];
    uint64_t status; /* of the last call */
} kernel_run;

/* What loop classes see of a target. */
machine kernel_run_machine(const char *target_name);

void kernel_run_open(kernel_run *r, const char *target_name, const lt_kernel *k);
void kernel_run_call(kernel_run *r, void *const *buffers, const int64_t *extents);
void kernel_run_close(kernel_run *r);

/* The slots of a call (abi.h), for those who call stages themselves; freed with kernel_slots_free. */
typedef struct kernel_slots {
    tn_frame frame;
    uint64_t status[8];
    int64_t *slots;
    void **temporaries; /* one a buffer, NULL for those that are none */
    uint32_t n_buffers;
    char *scratch;
} kernel_slots;
void kernel_slots_fill(kernel_slots *s, const lt_kernel *k, void *const *buffers, const int64_t *extents);
void kernel_slots_free(kernel_slots *s);

/* The optimised LLVM IR (false) or assembly (true) of a kernel, to be freed with tn_free. */
char *kernel_run_text(const char *target_name, const lt_kernel *k, bool assembly);

#endif
