/* Objects into this process: a linker for what code generation writes, and nothing else.
 *
 * in:  relocatable ELF files for this kind of machine, which may refer to each other
 * out: their functions, by name
 * law: undefined symbols may be memcpy, memset and memmove, nothing else; no byte outside of an object is read, whatever
 *      it says; memory is written or run, never both
 *
 * All it knows are sections that have a place in memory, and the relocations of the table in link_apply.c; anything else
 * is refused by name, so that what LLVM might write one day is not run wrongly. It needs no LLVM: a program from the cache
 * runs in a process that never loads it. Objects with debug information are made known to debuggers (link_debugger.h).
 * (ELF: gABI; x86-64 psABI; ELF for the Arm 64-bit Architecture.)
 */
#ifndef TN_CODEGEN_LINK_H
#define TN_CODEGEN_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/tenon_rt.h"

/* An object file in memory. */
typedef struct object_file {
    const void *bytes;
    size_t size;
} object_file;

typedef struct linked_objects linked_objects;

/* Copies what is needed of the n objects and links it. NULL and *diag: TN_ERR_PARSE (no object file, one for another
 * machine, one that is not whole), TN_ERR_INTERNAL (it needs what is not provided; the message names it), TN_ERR_MEMORY. */
linked_objects *link_objects(const object_file *objects, size_t n, tn_diag *diag);
void link_free(linked_objects *l); /* NULL is allowed; its code must not be running */

/* Address of a function that other objects may refer to; NULL: there is none of that name. */
void *link_find(const linked_objects *l, const char *name);

/* Calls visit for each function, local ones too. */
typedef void link_visit(void *ctx, const char *name, const void *address, size_t bytes);
void link_each_function(const linked_objects *l, link_visit *visit, void *ctx);

#endif
