/* Linking (see link.h): sections are placed, symbols found, relocations applied, pages protected.
 *
 * One block of memory holds the code of all objects, then jumps to what is provided, then, from a new page on, all other
 * sections, which can only be read once it is linked: no program has data of its own that it writes.
 */
#include "compiler/codegen/link.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler/codegen/link_debugger.h"
#include "compiler/codegen/link_state.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"

struct linked_objects {
    uint8_t *block;
    size_t bytes, code_bytes; /* whole pages */
    link_symbol *symbols;     /* global ones, by name */
    size_t n_symbols;
    struct function *functions;
    size_t n_functions, functions_capacity;
    debugger_entry **debugged; /* of objects with debug information; NULL at the end */
    arena names;
};

struct function {
    const char *name;
    const uint8_t *address;
    size_t bytes;
};

typedef struct linker {
    elf_object *objects;
    size_t n_objects;
    linked_objects *out;
    link_symbol *symbols; /* becomes out's */
    size_t n_symbols, symbols_capacity;
    tn_diag *diag;
} linker;

/* All that generated code may call outside itself. */
static const struct {
    const char *name;
    void *(*copy)(void *, const void *, size_t);
    void *(*set)(void *, int, size_t);
} provided[] = {{"memcpy", memcpy, NULL}, {"memmove", memmove, NULL}, {"memset", NULL, memset}};

enum { N_PROVIDED = sizeof provided / sizeof *provided };

static bool is_good(tn_status status) { return status == TN_OK; }

static bool no_memory(linker *l) { return is_good(diag_fail(l->diag, TN_ERR_MEMORY, "out of memory while linking")); }

/* ---- Places ------------------------------------------------------------------------------------------------------- */

enum { MOST_ALIGNMENT = 4096 }; /* a page, to which the block is aligned */

static bool has_place(const Elf64_Shdr *s) {
    return (s->sh_flags & SHF_ALLOC) && (s->sh_type == SHT_PROGBITS || s->sh_type == SHT_NOBITS);
}

/* Places the sections that are code, or those that are not, from *end on. */
static bool place_sections(linker *l, bool code, uint64_t *end) {
    for (size_t i = 0; i < l->n_objects; i++)
        for (size_t k = 0; k < l->objects[i].n_sections; k++) {
            const Elf64_Shdr *s = &l->objects[i].sections[k];
            uint64_t alignment = s->sh_addralign ? s->sh_addralign : 1;
            if (!has_place(s) || ((s->sh_flags & SHF_EXECINSTR) != 0) != code) continue;
            if (alignment > MOST_ALIGNMENT || (alignment & (alignment - 1)) || s->sh_size > PTRDIFF_MAX / 4 ||
                *end > PTRDIFF_MAX / 4)
                return is_good(
                    diag_fail(l->diag, TN_ERR_PARSE, "section %zu of an object file has no possible place", k));
            *end = (*end + alignment - 1) & ~(alignment - 1);
            l->objects[i].places[k] = *end;
            *end += s->sh_size;
        }
    return true;
}

static uint64_t whole_pages(uint64_t bytes) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static bool make_block(linker *l) {
    uint64_t end = 0;
    if (!place_sections(l, true, &end)) return false;
    uint64_t jumps = (end + LINK_JUMP_BYTES - 1) / LINK_JUMP_BYTES * LINK_JUMP_BYTES;
    l->out->code_bytes = whole_pages(jumps + (uint64_t)N_PROVIDED * LINK_JUMP_BYTES);
    end = l->out->code_bytes;
    if (!place_sections(l, false, &end)) return false;
    l->out->bytes = whole_pages(end);
    void *block = mmap(NULL, l->out->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return no_memory(l);
    l->out->block = block;
    for (size_t i = 0; i < l->n_objects; i++)
        for (size_t k = 0; k < l->objects[i].n_sections; k++) {
            const Elf64_Shdr *s = &l->objects[i].sections[k];
            const uint8_t *from = elf_section_bytes(&l->objects[i], s);
            if (l->objects[i].places[k] != NOT_PLACED && from)
                memcpy(l->out->block + l->objects[i].places[k], from, s->sh_size);
        }
    for (int i = 0; i < N_PROVIDED; i++) {
        uint64_t to = provided[i].copy ? (uintptr_t)provided[i].copy : (uintptr_t)provided[i].set;
        link_write_jump(l->out->block + jumps + i * LINK_JUMP_BYTES, to);
        if (!array_reserve((void **)&l->symbols, &l->symbols_capacity, l->n_symbols + 1, sizeof *l->symbols))
            return no_memory(l);
        l->symbols[l->n_symbols++] =
            (link_symbol){provided[i].name, (uintptr_t)l->out->block + jumps + (uint64_t)i * LINK_JUMP_BYTES};
    }
    return true;
}

/* ---- Symbols ------------------------------------------------------------------------------------------------------ */

/* Where a symbol of an object is; false: it is in no section that has a place. */
static bool local_address(const linker *l, const elf_object *o, const Elf64_Sym *s, uint64_t *address) {
    if (s->st_shndx == SHN_UNDEF || s->st_shndx >= SHN_LORESERVE) return false;
    if (o->places[s->st_shndx] == NOT_PLACED || s->st_value > o->sections[s->st_shndx].sh_size) return false;
    *address = (uintptr_t)l->out->block + o->places[s->st_shndx] + s->st_value;
    return true;
}

/* A function, kept for those who want names; an object's code may be gone before the block is. */
static bool add_function(linker *l, const elf_object *o, const Elf64_Sym *s, uint64_t address) {
    linked_objects *out = l->out;
    if (ELF64_ST_TYPE(s->st_info) != STT_FUNC) return true;
    char *name = arena_strdup(&out->names, elf_symbol_name(o, s));
    if (!name || !array_reserve((void **)&out->functions, &out->functions_capacity, out->n_functions + 1,
                                sizeof *out->functions))
        return no_memory(l);
    size_t room = (size_t)((uintptr_t)out->block + out->bytes - address);
    out->functions[out->n_functions++] = (struct function){name, out->block + (address - (uintptr_t)out->block),
                                                           s->st_size < room ? (size_t)s->st_size : room};
    return true;
}

static bool add_global(linker *l, const elf_object *o, const Elf64_Sym *s, uint64_t address) {
    if (ELF64_ST_BIND(s->st_info) == STB_LOCAL || !*elf_symbol_name(o, s)) return true;
    char *name = arena_strdup(&l->out->names, elf_symbol_name(o, s));
    if (!name || !array_reserve((void **)&l->symbols, &l->symbols_capacity, l->n_symbols + 1, sizeof *l->symbols))
        return no_memory(l);
    l->symbols[l->n_symbols++] = (link_symbol){name, address};
    return true;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const link_symbol *)a)->name, ((const link_symbol *)b)->name);
}

static bool find_symbols(linker *l) {
    for (size_t i = 0; i < l->n_objects; i++)
        for (size_t k = 0; k < l->objects[i].n_symbols; k++) {
            const elf_object *o = &l->objects[i];
            uint64_t address;
            if (!local_address(l, o, &o->symbols[k], &address)) continue;
            if (!add_function(l, o, &o->symbols[k], address) || !add_global(l, o, &o->symbols[k], address))
                return false;
        }
    if (l->n_symbols) qsort(l->symbols, l->n_symbols, sizeof *l->symbols, by_name);
    for (size_t i = 1; i < l->n_symbols; i++)
        if (strcmp(l->symbols[i].name, l->symbols[i - 1].name) == 0)
            return is_good(diag_fail(l->diag, TN_ERR_INTERNAL, "two objects define %.200s", l->symbols[i].name));
    return true;
}

static const link_symbol *look_up(const link_symbol *symbols, size_t n, const char *name) {
    link_symbol key = {.name = name};
    return n ? bsearch(&key, symbols, n, sizeof *symbols, by_name) : NULL;
}

/* ---- Relocations --------------------------------------------------------------------------------------------------- */

static bool address_of(linker *l, const elf_object *o, uint64_t number, uint64_t *address) {
    if (number >= o->n_symbols) return is_good(diag_fail(l->diag, TN_ERR_PARSE, "a relocation is to no symbol"));
    const Elf64_Sym *s = &o->symbols[number];
    if (local_address(l, o, s, address)) return true;
    const link_symbol *found = look_up(l->symbols, l->n_symbols, elf_symbol_name(o, s));
    if (!found)
        return is_good(
            diag_fail(l->diag, TN_ERR_INTERNAL, "the code needs %.200s, which is not provided", elf_symbol_name(o, s)));
    *address = found->address;
    return true;
}

static bool relocate_section(linker *l, const elf_object *o, const Elf64_Shdr *list) {
    size_t target = list->sh_info;
    if (target >= o->n_sections || o->places[target] == NOT_PLACED) return true; /* debugging's, say */
    if (list->sh_type != SHT_RELA || list->sh_entsize != sizeof(Elf64_Rela))
        return is_good(diag_fail(l->diag, TN_ERR_PARSE, "relocations without addends are not known"));
    uint8_t *section = l->out->block + o->places[target];
    for (size_t i = 0; i < list->sh_size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela entry;
        uint64_t to = 0;
        memcpy(&entry, o->bytes + list->sh_offset + i * sizeof entry, sizeof entry);
        if (!address_of(l, o, ELF64_R_SYM(entry.r_info), &to)) return false;
        uint64_t size = o->sections[target].sh_size, offset = entry.r_offset < size ? entry.r_offset : size;
        relocation r = {(uint32_t)ELF64_R_TYPE(entry.r_info),
                        section + offset,
                        size - offset,
                        (uintptr_t)section + offset,
                        to,
                        entry.r_addend};
        const char *wrong = link_apply(&r);
        if (wrong) return is_good(diag_fail(l->diag, TN_ERR_PARSE, "%s (type %u)", wrong, (unsigned)r.type));
    }
    return true;
}

static bool relocate(linker *l) {
    for (size_t i = 0; i < l->n_objects; i++)
        for (size_t k = 0; k < l->objects[i].n_sections; k++) {
            const Elf64_Shdr *s = &l->objects[i].sections[k];
            if ((s->sh_type == SHT_RELA || s->sh_type == SHT_REL) && !relocate_section(l, &l->objects[i], s))
                return false;
        }
    return true;
}

static bool protect(linker *l) {
    const linked_objects *out = l->out;
    __builtin___clear_cache((char *)out->block, (char *)out->block + out->code_bytes);
    if (mprotect(out->block, out->code_bytes, PROT_READ | PROT_EXEC) == 0 &&
        (out->bytes == out->code_bytes ||
         mprotect(out->block + out->code_bytes, out->bytes - out->code_bytes, PROT_READ) == 0))
        return true;
    return is_good(diag_fail(l->diag, TN_ERR_UNSUPPORTED, "the system lets no memory become code"));
}

/* By now the code is there. */
static bool tell_debuggers(linker *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->n_objects; i++) {
        if (!debugger_wants(&l->objects[i])) continue;
        if (!l->out->debugged) l->out->debugged = tn_calloc(l->n_objects + 1, sizeof(debugger_entry *));
        debugger_entry *entry = l->out->debugged ? debugger_tell(&l->objects[i], l->out->block) : NULL;
        if (!entry) return no_memory(l);
        l->out->debugged[n++] = entry;
    }
    return true;
}

static void forget_debugged(linked_objects *l) {
    for (size_t i = 0; l->debugged && l->debugged[i]; i++) debugger_forget(l->debugged[i]);
    tn_free(l->debugged);
}

/* ---- The whole ------------------------------------------------------------------------------------------------------ */

static bool open_all(linker *l, const object_file *files, size_t n) {
    l->objects = tn_calloc(n + 1, sizeof *l->objects);
    if (!l->objects) return no_memory(l);
    for (; l->n_objects < n; l->n_objects++)
        if (elf_open(&l->objects[l->n_objects], &files[l->n_objects], l->diag) != TN_OK) {
            elf_close(&l->objects[l->n_objects]);
            return false;
        }
    return true;
}

linked_objects *link_objects(const object_file *objects, size_t n, tn_diag *diag) {
    tn_diag unheard;
    linker l = {.out = tn_calloc(1, sizeof *l.out), .diag = diag ? diag : &unheard};
    if (!l.out) {
        no_memory(&l);
        return NULL;
    }
    bool ok = open_all(&l, objects, n) && make_block(&l) && find_symbols(&l) && relocate(&l) && protect(&l) &&
              tell_debuggers(&l);
    for (size_t i = 0; i < l.n_objects; i++) elf_close(&l.objects[i]);
    tn_free(l.objects);
    l.out->symbols = l.symbols;
    l.out->n_symbols = l.n_symbols;
    if (ok) return l.out;
    link_free(l.out);
    return NULL;
}

void link_free(linked_objects *l) {
    if (!l) return;
    forget_debugged(l);
    if (l->block) munmap(l->block, l->bytes);
    tn_free(l->symbols);
    tn_free(l->functions);
    arena_free(&l->names);
    tn_free(l);
}

void *link_find(const linked_objects *l, const char *name) {
    const link_symbol *found = look_up(l->symbols, l->n_symbols, name);
    uint64_t offset = found ? found->address - (uintptr_t)l->block : 0;
    return found && offset < l->code_bytes ? l->block + offset : NULL;
}

void link_each_function(const linked_objects *l, link_visit *visit, void *ctx) {
    for (size_t i = 0; i < l->n_functions; i++)
        visit(ctx, l->functions[i].name, l->functions[i].address, l->functions[i].bytes);
}
