/* The machine that code is made for.
 *
 * in:  a name: NULL or "host", or one of x86-64-v2, x86-64-v3, x86-64-v4, aarch64
 * out: what LLVM needs (triple, cpu, features) and what Tenon decides by (registers, caches, tile)
 * law: see compiler/loops/machine.h: only the instruction set decides the order of sums
 */
#ifndef TN_COMPILER_CODEGEN_TARGET_H
#define TN_COMPILER_CODEGEN_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/loops/machine.h"
#include "runtime/tenon_rt.h"

/* Fills `diag` (may be NULL) and returns `status`; for all files of this folder. */
tn_status target_fail(tn_diag *diag, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

typedef struct target {
    char *name;     /* as asked for; "host" for NULL */
    char *triple;   /* LLVM's, e.g. x86_64-pc-linux-gnu */
    char *cpu;      /* LLVM's, e.g. znver4 */
    char *features; /* LLVM's, e.g. +avx2,+fma */
    const char *needs; /* features of a machine that runs its code, as far as they are told apart; "" for the host */
    bool runs_here; /* this machine has all that its code needs */
    bool is_x86;
    bool has_f16;    /* f16 <-> f32 in one instruction */
    machine machine; /* what loop classes decide by; has_fma among it */
} target;

/* Fills `t`; the caller releases it with target_free, also after a failure. Errors: an unknown
 * name, a target that this LLVM lacks, no memory. Sets LLVM's target registry up (once). */
tn_status target_init(target *t, const char *name, tn_diag *diag);
void target_free(target *t);

/* A machine to generate code with; `level` 0 to 3 as in -O. The caller disposes of it with
 * LLVMDisposeTargetMachine. NULL and `diag` filled on failure. */
LLVMTargetMachineRef target_machine_new(const target *t, int level, tn_diag *diag);

/* Sets a module's triple and data layout. */
void target_mark_module(LLVMModuleRef module, LLVMTargetMachineRef tm);

/* Attributes that every function needs: cpu and features, full vector width, no unwinding, no
 * inventing of library calls. */
void target_mark_function(const target *t, LLVMValueRef function);

/* For a function that does each thing once, in a time that does not count: it is compiled as it stands. */
void target_mark_cold(LLVMValueRef function);

#endif
