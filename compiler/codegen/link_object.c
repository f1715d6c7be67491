/* Object files, opened: every table checked before it is used (see link_state.h). */
#include "compiler/codegen/link_state.h"

#include <string.h>

#include "runtime/alloc.h"
#include "runtime/diag.h"

static bool is_within(const elf_object *o, uint64_t offset, uint64_t bytes) {
    return offset <= o->size && bytes <= o->size - offset;
}

/* An aligned copy of a table; NULL with *diag. */
static void *copy_table(const elf_object *o, uint64_t offset, size_t n, size_t bytes_each, const char *what,
                        tn_diag *diag) {
    if (n > SIZE_MAX / bytes_each || !is_within(o, offset, n * bytes_each)) {
        diag_fail(diag, TN_ERR_PARSE, "this object file is not whole: %s would lie beyond its end", what);
        return NULL;
    }
    void *copy = tn_malloc(n * bytes_each);
    if (copy)
        memcpy(copy, o->bytes + offset, n * bytes_each);
    else
        diag_fail(diag, TN_ERR_MEMORY, "out of memory while linking");
    return copy;
}

static tn_status open_sections(elf_object *o, const Elf64_Ehdr *head, tn_diag *diag) {
    if (head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shnum == 0)
        return diag_fail(diag, TN_ERR_PARSE, "this is no object file: its sections are not listed");
    o->sections = copy_table(o, head->e_shoff, head->e_shnum, sizeof(Elf64_Shdr), "the list of sections", diag);
    if (!o->sections) return diag->status;
    o->n_sections = head->e_shnum;
    for (size_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_NOBITS && s->sh_type != SHT_NULL && !is_within(o, s->sh_offset, s->sh_size))
            return diag_fail(diag, TN_ERR_PARSE, "this object file is not whole: section %zu lies beyond its end", i);
    }
    return TN_OK;
}

static tn_status open_names(elf_object *o, const Elf64_Shdr *symbols, tn_diag *diag) {
    const Elf64_Shdr *names = symbols->sh_link < o->n_sections ? &o->sections[symbols->sh_link] : NULL;
    if (!names || names->sh_type != SHT_STRTAB || names->sh_size == 0 ||
        o->bytes[names->sh_offset + names->sh_size - 1] != '\0')
        return diag_fail(diag, TN_ERR_PARSE, "the names of this object file's symbols do not end");
    o->names = (const char *)o->bytes + names->sh_offset;
    o->names_bytes = names->sh_size;
    return TN_OK;
}

static tn_status open_symbols(elf_object *o, tn_diag *diag) {
    size_t at = 0;
    while (at < o->n_sections && o->sections[at].sh_type != SHT_SYMTAB) at++;
    if (at == o->n_sections) return TN_OK;
    const Elf64_Shdr *s = &o->sections[at];
    if (s->sh_entsize != sizeof(Elf64_Sym))
        return diag_fail(diag, TN_ERR_PARSE, "this object file's symbols are of another size");
    tn_status status = open_names(o, s, diag);
    if (status != TN_OK) return status;
    size_t n = s->sh_size / sizeof(Elf64_Sym);
    o->symbols = copy_table(o, s->sh_offset, n, sizeof(Elf64_Sym), "the symbols", diag);
    if (!o->symbols) return diag->status;
    o->n_symbols = n;
    for (size_t i = 0; i < n; i++) {
        const Elf64_Sym *y = &o->symbols[i];
        bool has_section = y->st_shndx != SHN_UNDEF && y->st_shndx < SHN_LORESERVE;
        if (y->st_name >= o->names_bytes || (has_section && y->st_shndx >= o->n_sections))
            return diag_fail(diag, TN_ERR_PARSE, "symbol %zu of this object file is nowhere", i);
    }
    return TN_OK;
}

tn_status elf_open(elf_object *o, const object_file *file, tn_diag *diag) {
    Elf64_Ehdr head;
    *o = (elf_object){.bytes = file->bytes, .size = file->size};
    if (file->size < sizeof head || memcmp(file->bytes, ELFMAG, SELFMAG) != 0)
        return diag_fail(diag, TN_ERR_PARSE, "this is no object file");
    memcpy(&head, file->bytes, sizeof head);
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_type != ET_REL)
        return diag_fail(diag, TN_ERR_PARSE, "this is no relocatable object file of 64 bits");
    if (head.e_machine != link_machine)
        return diag_fail(diag, TN_ERR_PARSE, "this object file is for another kind of machine");
    tn_status status = open_sections(o, &head, diag);
    if (status == TN_OK) status = open_symbols(o, diag);
    if (status != TN_OK) return status;
    o->places = tn_malloc(o->n_sections * sizeof *o->places);
    if (!o->places) return diag_fail(diag, TN_ERR_MEMORY, "out of memory while linking");
    for (size_t i = 0; i < o->n_sections; i++) o->places[i] = NOT_PLACED;
    return TN_OK;
}

void elf_close(elf_object *o) {
    tn_free((void *)(uintptr_t)o->sections);
    tn_free((void *)(uintptr_t)o->symbols);
    tn_free(o->places);
    *o = (elf_object){0};
}

const char *elf_symbol_name(const elf_object *o, const Elf64_Sym *s) { return o->names + s->st_name; }

const uint8_t *elf_section_bytes(const elf_object *o, const Elf64_Shdr *s) {
    return s->sh_type == SHT_NOBITS || s->sh_type == SHT_NULL ? NULL : o->bytes + s->sh_offset;
}
