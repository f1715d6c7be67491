/* Memory: checked allocation and arenas.
 *
 * in:  sizes, also hostile ones
 * out: memory, or NULL when there is none or the size overflows
 * law: nothing else in Tenon calls malloc; no size gives NULL but for want of memory, so 0 bytes
 *      give a pointer too
 */
#include "runtime/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* ---- Allocation ---------------------------------------------------------------------------- */

#ifdef TN_HOSTILE_MALLOC
#include <stdatomic.h>

/* The one place with global state: the build in which allocations fail on purpose. */
static _Atomic uint64_t made, fail_at = UINT64_MAX;
static _Atomic bool fail_sticky;

uint64_t tn_malloc_fail_at(uint64_t nth, bool sticky) {
    fail_sticky = sticky;
    fail_at = nth;
    return atomic_exchange(&made, 0);
}

static bool must_fail(void) {
    uint64_t number = atomic_fetch_add(&made, 1), nth = fail_at;
    return number == nth || (fail_sticky && number > nth);
}
#else
static bool must_fail(void) { return false; }
#endif

static bool is_possible(size_t bytes) { return bytes <= PTRDIFF_MAX && !must_fail(); }

void *tn_malloc(size_t bytes) { return is_possible(bytes) ? malloc(bytes ? bytes : 1) : NULL; }

void *tn_calloc(size_t count, size_t bytes) {
    if (bytes != 0 && count > PTRDIFF_MAX / bytes) return NULL;
    size_t total = count * bytes;
    return is_possible(total) ? calloc(1, total ? total : 1) : NULL;
}

void *tn_realloc(void *old, size_t bytes) { return is_possible(bytes) ? realloc(old, bytes ? bytes : 1) : NULL; }

/* Weights and activations that outgrow the TLB are read faster from few large pages. */
enum { HUGE_PAGE = 2 << 20, LEAST_HUGE_PAGES = 2 };

static void ask_for_huge_pages(void *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
    madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish: refusing it is no error */
#else
    (void)p, (void)bytes;
#endif
}

void *tn_aligned_alloc(size_t alignment, size_t bytes) {
    void *p = NULL;
    bool is_large = bytes >= LEAST_HUGE_PAGES * HUGE_PAGE;
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    if (is_large && alignment < HUGE_PAGE) alignment = HUGE_PAGE;
    if (!is_possible(bytes) || posix_memalign(&p, alignment, bytes ? bytes : 1) != 0) return NULL;
    if (is_large) ask_for_huge_pages(p, bytes);
    return p;
}

void tn_free(void *p) { free(p); }

/* More than that may be more than there is, and is had in large pages, of which few are touched. */
enum { MOST_TOUCHED = 1 << 30 };

void tn_touch_pages(void *p, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), skipped = -(uintptr_t)p & (page - 1);
    if (bytes <= MOST_TOUCHED && bytes >= skipped + page) /* an older kernel refuses, which is no error */
        madvise((char *)p + skipped, (bytes - skipped) / page * page, MADV_POPULATE_WRITE);
#else
    (void)p, (void)bytes;
#endif
}

void tn_return_freed(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

/* ---- Arenas: blocks that double in size, handed out from the front --------------------------- */

enum { ARENA_ALIGN = 16, ARENA_FIRST_BYTES = 4096, ARENA_LARGEST_BYTES = 1 << 20 };

typedef struct arena_block {
    struct arena_block *next;
    size_t used, capacity;
    _Alignas(ARENA_ALIGN) char data[];
} arena_block;

/* A block with room for `bytes` becomes the head. */
static bool arena_grow(arena *a, size_t bytes) {
    size_t capacity = a->head == NULL ? ARENA_FIRST_BYTES : a->head->capacity * 2;
    if (capacity > ARENA_LARGEST_BYTES) capacity = ARENA_LARGEST_BYTES;
    if (capacity < bytes) capacity = bytes;
    arena_block *block = tn_calloc(1, sizeof *block + capacity);
    if (block == NULL) return false;
    block->capacity = capacity;
    block->next = a->head;
    a->head = block;
    return true;
}

void *arena_alloc(arena *a, size_t count, size_t bytes_each) {
    if (bytes_each != 0 && count > (PTRDIFF_MAX - 4096) / bytes_each) return NULL;
    size_t bytes = (count * bytes_each + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (bytes == 0) bytes = ARENA_ALIGN;
    if (a->limit_bytes != 0 && (a->used_bytes > a->limit_bytes || bytes > a->limit_bytes - a->used_bytes)) return NULL;
    if ((a->head == NULL || a->head->capacity - a->head->used < bytes) && !arena_grow(a, bytes)) return NULL;
    void *p = a->head->data + a->head->used;
    a->head->used += bytes;
    a->used_bytes += bytes;
    return p;
}

char *arena_strndup(arena *a, const char *text, size_t length) {
    if (length == SIZE_MAX) return NULL;
    char *copy = arena_alloc(a, length + 1, 1);
    if (copy != NULL && length != 0) memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(arena *a, const char *text) { return arena_strndup(a, text, strlen(text)); }

char *arena_printf(arena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : arena_alloc(a, (size_t)length + 1, 1);
    if (text == NULL) return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

void arena_free(arena *a) {
    for (arena_block *block = a->head, *next; block != NULL; block = next) {
        next = block->next;
        tn_free(block);
    }
    a->head = NULL;
    a->used_bytes = 0;
}

/* ---- Growing arrays ---------------------------------------------------------------------------- */

bool array_reserve(void **items, size_t *capacity, size_t needed, size_t bytes_each) {
    if (needed <= *capacity) return true;
    size_t wanted = *capacity < 4 ? 8 : *capacity * 2;
    if (*capacity > PTRDIFF_MAX / 2 || wanted < needed) wanted = needed;
    if (bytes_each != 0 && wanted > PTRDIFF_MAX / bytes_each) return false;
    void *old;
    memcpy(&old, (const void *)items, sizeof old); /* *items may be declared as any pointer type */
    void *grown = tn_realloc(old, wanted * bytes_each);
    if (grown == NULL) return false;
    memcpy((void *)items, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}
