/* The pages of LLVM's library that hold its code and tables.
 *
 * in:  the library, wherever the linker has put it: a shared object, or this program
 * out: its pages that come from a file as they are go back; who calls LLVM again has them from the file's cache
 * law: segments that are ever writable, as those with relocations are, stay
 */
#include "compiler/codegen/codegen.h"
#include "compiler/codegen/llvm_library.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

/* The bytes of a segment in whole pages, outwards: the file has those around them, too. */
static void return_segment(const struct dl_phdr_info *object, const ElfW(Phdr) * segment) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = object->dlpi_addr + segment->p_vaddr;
    uintptr_t end = (begin + segment->p_memsz + page - 1) / page * page;
    begin = begin / page * page;
    madvise((void *)begin, end - begin, MADV_DONTNEED); /* NOLINT: addresses come as numbers */
}

static bool holds(const struct dl_phdr_info *object, const ElfW(Phdr) * segment, uintptr_t address) {
    return segment->p_type == PT_LOAD && address - object->dlpi_addr - segment->p_vaddr < segment->p_memsz;
}

static int return_object(struct dl_phdr_info *object, size_t bytes, void *ctx) {
    bool is_library = false;
    (void)bytes;
    for (int i = 0; i < object->dlpi_phnum; i++) is_library |= holds(object, &object->dlpi_phdr[i], *(uintptr_t *)ctx);
    for (int i = 0; is_library && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W)) return_segment(object, segment);
    }
    return is_library;
}

void codegen_return_pages(void) {
    uintptr_t somewhere = llvm_address();
    if (somewhere) dl_iterate_phdr(return_object, &somewhere);
}
