/* What the linker's files share: objects while they are linked. */
#ifndef TN_CODEGEN_LINK_STATE_H
#define TN_CODEGEN_LINK_STATE_H

#include <elf.h>
#include <stdint.h>

#include "compiler/codegen/link.h"

/* An object's tables, each checked to lie within it. */
typedef struct elf_object {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Shdr *sections; /* copies, aligned */
    size_t n_sections;
    const Elf64_Sym *symbols; /* likewise */
    size_t n_symbols;
    const char *names; /* of symbols; ends with a 0 */
    size_t names_bytes;
    uint64_t *places; /* of each section in the block of memory; NOT_PLACED: it has none */
} elf_object;

#define NOT_PLACED UINT64_MAX

/* A symbol that all objects see, or one of those provided. */
typedef struct link_symbol {
    const char *name;
    uint64_t address;
} link_symbol;

/* Opens an object; what is opened is to be closed also after a failure. */
tn_status elf_open(elf_object *o, const object_file *file, tn_diag *diag);
void elf_close(elf_object *o);
/* The name of a symbol, checked to end within its table: elf_open has refused others. */
const char *elf_symbol_name(const elf_object *o, const Elf64_Sym *s);
/* Its bytes in the object; NULL: it has none there. */
const uint8_t *elf_section_bytes(const elf_object *o, const Elf64_Shdr *s);

/* A relocation: the field at `field`, which will run at `at`, gets to know `to`; `addend` is added. */
typedef struct relocation {
    uint32_t type;
    uint8_t *field;
    size_t room; /* bytes of the section from `field` on */
    uint64_t at, to;
    int64_t addend;
} relocation;

/* For the machine that this runs on. NULL: done. Else what is wrong, in words. */
const char *link_apply(const relocation *r);

/* e_machine of the ELF files that this machine runs; EM_NONE: none that is known. */
extern const unsigned link_machine;

/* A jump to anywhere, for calls that are too far away. */
enum { LINK_JUMP_BYTES = 16 };
void link_write_jump(uint8_t *at, uint64_t to);

#endif
