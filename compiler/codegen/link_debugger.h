/* Code in this process made known to debuggers, by the interface that gdb and lldb read (GDB manual, "JIT Compilation
 * Interface"): a list of ELF files in memory, and a function at which a debugger stops to see what is new in it.
 *
 * in:  objects with debug information, and where their sections are
 * out: entries of that list
 * law: the list is the process's, for all programs in all threads: it is changed under a lock
 */
#ifndef TN_CODEGEN_LINK_DEBUGGER_H
#define TN_CODEGEN_LINK_DEBUGGER_H

#include "compiler/codegen/link_state.h"

typedef struct debugger_entry debugger_entry;

/* Whether it has debug information. */
bool debugger_wants(const elf_object *o);

/* A copy of the object in which each section that has a place is told to be there. NULL: no memory. */
debugger_entry *debugger_tell(const elf_object *o, const uint8_t *block);
void debugger_forget(debugger_entry *entry); /* NULL is allowed */

#endif
