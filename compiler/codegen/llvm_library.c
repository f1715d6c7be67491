/* Loading LLVM (see llvm_library.h, build.mk). */
#include "compiler/codegen/llvm_library.h"

#ifdef TN_LAZY_LLVM

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "runtime/diag.h"

/* Of llvm_stubs.awk: names one after the other, and where their functions are. */
extern const char tn_llvm_names[] __attribute__((visibility("hidden")));
extern const uint64_t tn_llvm_count __attribute__((visibility("hidden")));
extern void *tn_llvm_table[] __attribute__((visibility("hidden")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool is_loaded; /* set last */
static char reason[400];      /* why not */

/* The file that Tenon was built with, then any of its name. */
static void *open_library(void) {
    void *library = dlopen(TN_LLVM_FILE, RTLD_LAZY | RTLD_LOCAL);
    const char *slash = strrchr(TN_LLVM_FILE, '/');
    if (!library && slash) library = dlopen(slash + 1, RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        snprintf(reason, sizeof reason, "%s", why ? why : "it cannot be opened");
    }
    return library;
}

static void load(void) {
    void *library = open_library();
    const char *name = tn_llvm_names;
    for (uint64_t i = 0; library && i < tn_llvm_count; i++, name += strlen(name) + 1) {
        tn_llvm_table[i] = dlsym(library, name);
        if (tn_llvm_table[i]) continue;
        snprintf(reason, sizeof reason, "it has no %s", name);
        return; /* it stays: a constructor may have left traces */
    }
    atomic_store(&is_loaded, library != NULL);
}

bool llvm_load(tn_diag *diag) {
    pthread_once(&once, load);
    if (atomic_load(&is_loaded)) return true;
    diag_fail(diag, TN_ERR_UNSUPPORTED, "LLVM %s, which compiles, cannot be loaded: %s", TN_LLVM_VERSION, reason);
    return false;
}

uintptr_t llvm_address(void) { return atomic_load(&is_loaded) ? (uintptr_t)tn_llvm_table[0] : 0; }

#else

#include <llvm-c/Core.h>

bool llvm_load(tn_diag *diag) {
    (void)diag;
    return true;
}

uintptr_t llvm_address(void) { return (uintptr_t)LLVMGetVersion; }

#endif
