/* What CPUs can do, by LLVM's names of them and of their features (target_cpus.def).
 *
 * in:  a CPU's name; lists of features as LLVM writes them, "+avx2,-fma"
 * out: sets of features
 * law: a name that is not in the table is refused here, for LLVM would print a line and go on without
 */
#ifndef TN_COMPILER_CODEGEN_TARGET_CPUS_H
#define TN_COMPILER_CODEGEN_TARGET_CPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/tenon_rt.h"

typedef enum architecture {
    ARCHITECTURE_X86,
    ARCHITECTURE_AARCH64,
    ARCHITECTURE_RISCV,
    ARCHITECTURE_ARM,
    ARCHITECTURE_WASM,
} architecture;

/* A bit for each feature of an architecture. */
typedef uint64_t feature_set;

/* Adds what the CPU has to *set. TN_ERR_ARGUMENT: unknown. */
tn_status cpu_add_features(architecture a, const char *cpu, feature_set *set, tn_diag *diag);

/* "+a,-b" in their order: what a feature implies comes with it, and what implies it goes with it. TN_ERR_ARGUMENT: an
 * unknown one, or no sign before it. */
tn_status features_apply(architecture a, const char *list, feature_set *set, tn_diag *diag);

/* Of those that a list has with a plus; names without a row are left out. */
feature_set features_known(architecture a, const char *list);

/* The set as such a list, from tn_malloc; NULL: no memory. */
char *features_text(architecture a, feature_set set);

/* Whether `set` has all features of a list of names, "avx2,fma". */
bool features_have(architecture a, feature_set set, const char *names);

#endif
