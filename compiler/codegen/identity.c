/* What code depends on beside its loop trees, in words (see codegen.h): which LLVM makes it, for which machine.
 *
 * law: LLVM is not asked, which would have to be loaded for it. Its features of a CPU follow from what the CPU says of
 *      itself, and its version from its file
 */
#include "compiler/codegen/codegen.h"

#include <stdio.h>
#include <sys/stat.h>

#include "compiler/codegen/llvm_library.h"
#include "compiler/codegen/target.h"
#include "runtime/diag.h"

/* ---- The CPU -------------------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#include <cpuid.h>

/* Leaves that tell model and features, and bits of them that tell which CPU of several asks. (AMD64 Architecture
 * Programmer's Manual 3, appendix E; Intel's SDM 2A, CPUID.) */
static const struct {
    unsigned leaf, subleaf, ebx_mask;
} leaves[] = {{0, 0, ~0u},    {1, 0, 0x00ffffff}, {7, 0, ~0u},    {7, 1, ~0u},          {0xd, 0, 0},
              {0x19, 0, ~0u}, {0x1e, 1, ~0u},     {0x24, 0, ~0u}, {0x80000001, 0, ~0u}, {0x80000008, 0, 0}};

static void add_cpu(line *t) {
    unsigned a, b, c, d, low = 0, high = 0;
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (__get_cpuid_count(leaves[i].leaf, leaves[i].subleaf, &a, &b, &c, &d))
            line_add(t, " %x.%x.%x.%x", a, b & leaves[i].ebx_mask, c, d);
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE)) /* which registers the system keeps */
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    line_add(t, " xcr %x.%x", low, high);
}
#elif defined(__linux__)
#include <sys/auxv.h>

static void add_cpu(line *t) {
    unsigned long long midr = 0;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "r");
    if (f && fscanf(f, "%llx", &midr) != 1) midr = 0;
    if (f) fclose(f);
    line_add(t, " %llx.%lx.%lx", midr, getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
}
#else
#error "which CPU this is has to be told here"
#endif

/* ---- LLVM, and the whole ---------------------------------------------------------------------------------------------- */

static void add_llvm(line *t) {
    struct stat file = {0};
    if (stat(TN_LLVM_FILE, &file) != 0) file.st_size = 0;
    line_add(t, "LLVM %s %lld %lld.%ld", TN_LLVM_VERSION, (long long)file.st_size, (long long)file.st_mtim.tv_sec,
             file.st_mtim.tv_nsec);
}

static const char *text_or_none(const char *text) { return text ? text : "-"; }

bool codegen_identity(const codegen_target *wanted, char *text, size_t capacity) {
    line t = {text, capacity, 0};
    size_t caches[3];
    text[0] = '\0';
    target_caches(caches);
    add_llvm(&t);
    line_add(&t, "; %s %s %s %s; caches %zu %zu %zu; cpu", text_or_none(wanted->name), text_or_none(wanted->cpu),
             text_or_none(wanted->features), wanted->freestanding ? "alone" : "hosted", caches[0], caches[1],
             caches[2]);
    add_cpu(&t);
    return t.used + sizeof "..." < capacity; /* all of it */
}
