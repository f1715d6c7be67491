/* Memory: checked allocation and arenas.
 *
 * Every allocation of Tenon's goes through here, so that the hostile build
 * (-DTN_HOSTILE_MALLOC) can make each one fail in turn. NULL means out of memory
 * (or a size that overflows); callers turn it into TN_ERR_MEMORY.
 */
#ifndef TN_RUNTIME_ALLOC_H
#define TN_RUNTIME_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *tn_malloc(size_t bytes);
void *tn_calloc(size_t count, size_t bytes);
void *tn_realloc(void *old, size_t bytes); /* `old` stays valid on failure */
void *tn_aligned_alloc(size_t alignment, size_t bytes);
void tn_free(void *p); /* for all of the above */

/* Gets the pages of [p, p + bytes), which are to be written, from the system now
 * and not when they are first touched. */
void tn_touch_pages(void *p, size_t bytes);

/* Gives the system back what the process has freed, after much was: what malloc keeps for later is memory that nobody
 * else has. */
void tn_return_freed(void);

#ifdef TN_HOSTILE_MALLOC
/* The allocation number `nth` from now (0: the next) fails, and all after it while `sticky`.
 * UINT64_MAX: none. Returns how many were made since the last call. */
uint64_t tn_malloc_fail_at(uint64_t nth, bool sticky);
#endif

/* A region of memory given back as a whole. Zero-initialise to start; nothing is freed
 * piecemeal. `limit_bytes` 0 means none. */
typedef struct arena {
    struct arena_block *head;
    size_t used_bytes; /* handed out in all */
    size_t limit_bytes;
} arena;

void *arena_alloc(arena *a, size_t count, size_t bytes_each); /* zeroed, 16-aligned; NULL: no memory */
char *arena_strndup(arena *a, const char *text, size_t length);
char *arena_strdup(arena *a, const char *text);
char *arena_printf(arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_free(arena *a);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), 1, sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), (size_t)(n), sizeof(type)))

/* Makes room for one more in a growing heap array: doubles `capacity` as needed.
 * False: out of memory, the array is as it was. */
bool array_reserve(void **items, size_t *capacity, size_t needed, size_t bytes_each);

#endif
