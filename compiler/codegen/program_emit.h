/* A planned program to LLVM IR: the entries `bind` and `run` of each of its functions.
 *
 * in:  a plan (compiler/loops/plan.h), a module marked for a machine
 * out: functions <prefix>bind (tn_bind_fn) and <prefix>run (tn_run_fn), external; all else internal, but for
 *      stages of kernels in other modules
 * law: the code allocates nothing, keeps no state and calls nothing but memcpy and the hooks of the frame
 */
#ifndef TN_CODEGEN_PROGRAM_EMIT_H
#define TN_CODEGEN_PROGRAM_EMIT_H

#include "compiler/codegen/emit.h"
#include "compiler/codegen/tables.h"
#include "compiler/loops/plan.h"

/* Where kernels are emitted: as emit_kernel, into a module of its choice. */
typedef struct kernel_home {
    void *ctx;
    bool (*emit)(void *ctx, const lt_kernel *k, const char *symbol, LLVMValueRef *stages);
} kernel_home;

/* Emits `entry` with all that it calls. False: *out->diag says why. The tables' arrays are from
 * tn_malloc, also after a failure. */
bool program_emit(const emitter *out, const kernel_home *home, const program_plan *plan, tn_graph *entry,
                  const char *prefix, emitted_tables *tables);

/* Constants up to this size stand in the object. */
enum { PROGRAM_INLINE_BYTES = 4096 };

#endif
