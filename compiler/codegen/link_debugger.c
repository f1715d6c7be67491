/* Code made known to debuggers (see link_debugger.h).
 *
 * What they are shown is the relocatable object itself but for the addresses of its sections; they relocate its debug
 * information by these, as they do for other compilers in a process.
 */
#include "compiler/codegen/link_debugger.h"

#include <pthread.h>
#include <string.h>

#include "runtime/alloc.h"

/* ---- The interface, by its names and layout ---- */

enum { ACTION_NONE, ACTION_REGISTER, ACTION_UNREGISTER };

struct code_entry {
    struct code_entry *next, *previous;
    const void *file;
    uint64_t bytes;
};

struct descriptor {
    uint32_t version; /* 1 */
    uint32_t action;
    struct code_entry *relevant, *first;
};

/* Names that the interface fixes. They are hidden, so that no other library's are taken for them, and weak, so that in one
 * program with another such compiler, linked statically, both share the list. Debuggers see them in the symbol table. */
#define OF_DEBUGGERS __attribute__((weak, visibility("hidden"), used))
extern struct descriptor __jit_debug_descriptor;
void __jit_debug_register_code(void);

OF_DEBUGGERS struct descriptor __jit_debug_descriptor = {.version = 1};

/* Debuggers stop here. */
OF_DEBUGGERS __attribute__((noinline)) void __jit_debug_register_code(void) { __asm__ volatile("" ::: "memory"); }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void tell(uint32_t action, struct code_entry *entry) {
    __jit_debug_descriptor.action = action;
    __jit_debug_descriptor.relevant = entry;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = ACTION_NONE;
    __jit_debug_descriptor.relevant = NULL;
}

/* ---- Entries ---- */

struct debugger_entry {
    struct code_entry code;
    uint8_t file[];
};

bool debugger_wants(const elf_object *o) {
    Elf64_Ehdr head;
    memcpy(&head, o->bytes, sizeof head);
    const Elf64_Shdr *names = head.e_shstrndx < o->n_sections ? &o->sections[head.e_shstrndx] : NULL;
    static const char wanted[] = ".debug_info";
    if (!names || names->sh_type != SHT_STRTAB) return false;
    for (size_t i = 0; i < o->n_sections; i++) {
        uint64_t at = o->sections[i].sh_name;
        if (at < names->sh_size && names->sh_size - at >= sizeof wanted &&
            memcmp(o->bytes + names->sh_offset + at, wanted, sizeof wanted) == 0)
            return true;
    }
    return false;
}

debugger_entry *debugger_tell(const elf_object *o, const uint8_t *block) {
    debugger_entry *e = tn_malloc(sizeof *e + o->size);
    if (!e) return NULL;
    Elf64_Ehdr head;
    memcpy(e->file, o->bytes, o->size);
    memcpy(&head, o->bytes, sizeof head);
    for (size_t i = 0; i < o->n_sections; i++) {
        Elf64_Shdr section = o->sections[i];
        if (o->places[i] == NOT_PLACED) continue;
        section.sh_addr = (uintptr_t)block + o->places[i];
        memcpy(e->file + head.e_shoff + i * sizeof section, &section, sizeof section);
    }
    e->code = (struct code_entry){.file = e->file, .bytes = o->size};
    pthread_mutex_lock(&lock);
    e->code.next = __jit_debug_descriptor.first;
    if (e->code.next) e->code.next->previous = &e->code;
    __jit_debug_descriptor.first = &e->code;
    tell(ACTION_REGISTER, &e->code);
    pthread_mutex_unlock(&lock);
    return e;
}

void debugger_forget(debugger_entry *e) {
    if (!e) return;
    pthread_mutex_lock(&lock);
    if (e->code.next) e->code.next->previous = e->code.previous;
    if (e->code.previous)
        e->code.previous->next = e->code.next;
    else
        __jit_debug_descriptor.first = e->code.next;
    tell(ACTION_UNREGISTER, &e->code);
    pthread_mutex_unlock(&lock);
    tn_free(e);
}
