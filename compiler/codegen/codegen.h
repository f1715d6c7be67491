/* Code generation as the driver sees it: a plan in, text or objects out. LLVM's types stay
 * within this folder.
 *
 * law: the code of a kernel depends on its loop tree, on which parts of it other kernels have, and on the target alone:
 *      not on whether it stands with others in one module or in one of several that are compiled at once, nor on the
 *      number of threads that do
 */
#ifndef TN_CODEGEN_CODEGEN_H
#define TN_CODEGEN_CODEGEN_H

#include "compiler/codegen/aot_entry.h"
#include "compiler/codegen/jit.h"
#include "compiler/codegen/tables.h"
#include "compiler/loops/parts.h"

typedef struct codegen codegen;

typedef enum codegen_form { CODEGEN_LLVM, CODEGEN_ASSEMBLY } codegen_form;

/* What code is for. NULL: this machine, the CPU that goes with the target, no features beyond the CPU's. */
typedef struct codegen_target {
    const char *name, *cpu, *features;
    bool freestanding; /* it may not even ask for memcpy */
} codegen_target;

/* At optimisation level 1 to 3. `in_one_module`: there will be one object, as ahead-of-time compilation and texts need.
 * NULL: *diag. */
codegen *codegen_new(const codegen_target *target, int level, bool in_one_module, tn_diag *diag);
void codegen_free(codegen *g);
void codegen_report_to(codegen *g, tn_diag *diag); /* from here on, in place of the diag it was made with */

/* From here on kernels and entries are emitted for another target, into the same object: another version of the same
 * program. Only x86-64 has such. False: *diag. */
enum { CODEGEN_MOST_VERSIONS = 7 };
bool codegen_add_version(codegen *g, const char *target_name);

/* What is emitted from here on has debug information, by which debuggers show the lines of that text, or of the user's sources
 * where they are known. False: *diag. */
bool codegen_debug(codegen *g, const char *path, bool shows_sources);

/* Of the target that is being emitted for. */
const machine *codegen_machine(const codegen *g);
bool codegen_runs_here(const codegen *g);
const char *codegen_cpu(const codegen *g);   /* as LLVM names it */
const char *codegen_needs(const codegen *g); /* features of a CPU that runs its code: "+avx2,+fma" */
unsigned codegen_pointer_bytes(const codegen *g);

/* The parts of all kernels that are to be emitted; they live as long as `g`. Before the first codegen_emit. */
bool codegen_know_parts(codegen *g, const loop_parts *parts);

/* Emits the entries of `entry` and all it calls, named <prefix>bind and <prefix>run. */
bool codegen_emit(codegen *g, const program_plan *plan, tn_graph *entry, const char *prefix, emitted_tables *tables);

/* Behind all versions: what the object's callers see. */
bool codegen_emit_entry(codegen *g, const aot_entry *entry);
/* The weights into a copy of the object that came of it. */
bool codegen_fill_weights(const codegen *g, const aot_entry *entry, void *object, size_t bytes);

/* After all entries are emitted: LLVM's verifier over them. */
bool codegen_verify(codegen *g);

/* The optimised module (there must be one only) as NUL-terminated text from tn_malloc; NULL: *diag. */
char *codegen_text(codegen *g, codegen_form form);

/* Optimises all and writes the objects, shards in parallel on `pool` (NULL: the calling thread). They go together: the
 * first refers to functions of the others. They live as long as `g`, which can do nothing else after. NULL: *diag. */
const object_file *codegen_build(codegen *g, tn_pool *pool, size_t *n);

/* Names of what an object asks for from outside, each once, with spaces between; from tn_malloc. On hosted targets these
 * are memcpy, memmove and memset or fewer; for arm-none-eabi what compiler-rt or libgcc has (docs/AOT.md lists what
 * there can be). NULL: *diag. */
char *codegen_undefined_symbols(const void *object, size_t bytes, tn_diag *diag);

/* Gives back the memory that LLVM's own code and tables take: the next compilation has them from the file again,
 * in some 2 ms more. */
void codegen_return_pages(void);

/* All that code for that target depends on, as text: LLVM's version, CPU, features, caches. False: `text` is too small. */
enum { CODEGEN_IDENTITY = 8192 };
bool codegen_identity(const codegen_target *target, char *text, size_t capacity);

/* "LLVM a.b.c, <cpu>", cut to capacity. */
void codegen_version(char *text, size_t capacity);

#endif
