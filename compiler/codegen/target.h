/* The machine that code is made for.
 *
 * in:  a name ("native", or one of the table in target.c), and what to change: a CPU, features
 * out: what LLVM needs (triple, cpu, features) and what Tenon decides by (registers, caches, tile)
 * law: see compiler/loops/machine.h: only the instruction set decides the order of sums
 */
#ifndef TN_COMPILER_CODEGEN_TARGET_H
#define TN_COMPILER_CODEGEN_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/codegen/target_cpus.h"
#include "compiler/loops/machine.h"
#include "runtime/tenon_rt.h"

/* Fills `diag` (may be NULL) and returns `status`; for all files of this folder. */
tn_status target_fail(tn_diag *diag, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

typedef struct target {
    char *name;     /* as asked for; "host" for NULL */
    char *triple;   /* LLVM's, e.g. x86_64-pc-linux-gnu */
    char *cpu;      /* LLVM's, e.g. znver4 */
    char *features; /* LLVM's, e.g. +avx2,+fma */
    char *needs;    /* features of a machine that runs its code, as far as they are told apart: "+avx2,+fma" */
    architecture architecture;
    int pointer_bits;     /* 64, or 32: pointers in arrays and frames take 8 bytes there, too (program_state.h) */
    bool is_pic;          /* code may lie anywhere; else a linker says where */
    bool is_freestanding; /* not even memcpy may be asked for */
    bool wants_alignment; /* of each element that is loaded or stored, or it takes several instructions */
    bool runs_here;       /* this machine has all that its code needs */
    bool is_x86;          /* the architecture is */
    bool has_f16;         /* f16 <-> f32 in one instruction */
    bool has_i64;         /* arithmetic of 64-bit integers in instructions, or few */
    bool has_rounding;    /* of floats to whole numbers, in any direction */
    bool has_f64;         /* arithmetic of f64 in instructions */
    machine machine;      /* what loop classes decide by; has_fma among it */
} target;

/* What was asked for; NULL: "native", and the CPU and features that go with the name. */
typedef struct target_choice {
    const char *name, *cpu;
    const char *features; /* "+avx2,-fma": on top of the CPU's */
    bool freestanding;    /* also where there is a libc */
} target_choice;

/* Fills `t`; the caller releases it with target_free, also after a failure. Errors: an unknown
 * name, CPU or feature, too few features, a target that this LLVM lacks, no memory. Sets LLVM's target registry up
 * (once). */
tn_status target_choose(target *t, const target_choice *choice, tn_diag *diag);
static inline tn_status target_init(target *t, const char *name, tn_diag *diag) {
    return target_choose(t, &(target_choice){.name = name}, diag);
}
void target_free(target *t);

/* Of this machine, in bytes: L1, L2, the last; 0: not known. */
void target_caches(size_t bytes[3]);

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
