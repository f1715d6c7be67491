/* The entries that frame_driver.c calls, in an object file that is linked when the first of them is called.
 *
 * in:  m.o in the working folder
 * out: m_bind and m_run of it, and m_prepare_bind and m_prepare_run with HAS_PREPARE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/link.h"

static void *find(const char *name) {
    static linked_objects *linked;
    static char bytes[1 << 20];
    tn_diag diag = {0};
    if (!linked) {
        FILE *f = fopen("m.o", "rb");
        size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
        linked = link_objects(&(object_file){bytes, n}, 1, &diag);
        memset(bytes, 0, n);
        if (f) fclose(f);
    }
    void *function = linked ? link_find(linked, name) : NULL;
    if (function) return function;
    fprintf(stderr, "link_driver: %s: %s\n", name, diag.message);
    exit(1);
}

#define BIND(name)                                                                                                     \
    int32_t name(const int64_t *symbols, int64_t *bound);                                                              \
    int32_t name(const int64_t *symbols, int64_t *bound) {                                                             \
        void *found = find(#name);                                                                                     \
        tn_bind_fn function;                                                                                           \
        memcpy(&function, &found, sizeof found);                                                                       \
        return function(symbols, bound);                                                                               \
    }
#define RUN(name)                                                                                                      \
    int32_t name(const tn_frame *frame);                                                                               \
    int32_t name(const tn_frame *frame) {                                                                              \
        void *found = find(#name);                                                                                     \
        tn_run_fn function;                                                                                            \
        memcpy(&function, &found, sizeof found);                                                                       \
        return function(frame);                                                                                        \
    }

BIND(m_bind)
RUN(m_run)
#ifdef HAS_PREPARE
BIND(m_prepare_bind)
RUN(m_prepare_run)
#endif
