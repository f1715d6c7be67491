/* Listing, counting and removing entries (see cache_evict.h). */
#include "compiler/cache_evict.h"

#include "compiler/cache_folder.h"
#include "runtime/alloc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DIGITS = 2 * sizeof(digest), LEFT_BEHIND_SECONDS = 3600 };

typedef struct entry {
    char name[DIGITS + sizeof CACHE_SUFFIX];
    struct timespec used;
    uint64_t bytes;
} entry;

typedef struct entry_list {
    entry *items;
    size_t n, capacity;
    uint64_t bytes;
} entry_list;

static bool is_entry(const char *name) {
    return strspn(name, "0123456789abcdef") == DIGITS && strcmp(name + DIGITS, CACHE_SUFFIX) == 0;
}

static bool is_temporary(const char *name) {
    size_t length = strspn(name, "0123456789-");
    return length > 0 && strcmp(name + length, CACHE_TEMPORARY) == 0;
}

/* Takes an entry up; a temporary file goes when it is older than `seconds`. */
static bool take_file(int folder, const char *name, time_t seconds, entry_list *list) {
    struct stat info;
    if (!is_entry(name) && !is_temporary(name)) return true;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return true; /* gone meanwhile */
    if (is_temporary(name)) {
        if (time(NULL) - info.st_mtime >= seconds) unlinkat(folder, name, 0);
        return true;
    }
    if (!array_reserve((void **)&list->items, &list->capacity, list->n + 1, sizeof *list->items)) return false;
    entry *e = &list->items[list->n++];
    *e = (entry){.used = info.st_mtim, .bytes = (uint64_t)info.st_size};
    memcpy(e->name, name, sizeof e->name);
    list->bytes += e->bytes;
    return true;
}

/* False: the folder cannot be read, or no memory. To be freed either way. */
static bool list_entries(int folder, time_t seconds, entry_list *list) {
    *list = (entry_list){0};
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
    DIR *all = copy < 0 ? NULL : fdopendir(copy);
    if (!all) {
        if (copy >= 0) close(copy);
        return false;
    }
    bool ok = true;
    for (const struct dirent *d; ok && (d = readdir(all));) ok = take_file(folder, d->d_name, seconds, list);
    closedir(all);
    return ok;
}

static int by_use(const void *x, const void *y) {
    const struct timespec *a = &((const entry *)x)->used, *b = &((const entry *)y)->used;
    if (a->tv_sec != b->tv_sec) return a->tv_sec < b->tv_sec ? -1 : 1;
    return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

void cache_evict(int folder, uint64_t limit) {
    entry_list list;
    if (list_entries(folder, LEFT_BEHIND_SECONDS, &list) && list.bytes > limit) {
        qsort(list.items, list.n, sizeof *list.items, by_use);
        for (size_t i = 0; i < list.n && list.bytes > limit; i++) {
            unlinkat(folder, list.items[i].name, 0);
            list.bytes -= list.items[i].bytes;
        }
    }
    tn_free(list.items);
}

bool cache_folder_total(const cache_folder *folder, cache_totals *totals) {
    entry_list list;
    bool ok = list_entries(folder->descriptor, LEFT_BEHIND_SECONDS, &list);
    *totals = (cache_totals){list.n, list.bytes};
    tn_free(list.items);
    return ok;
}

bool cache_folder_clear(const cache_folder *folder, cache_totals *removed) {
    entry_list list;
    bool ok = list_entries(folder->descriptor, 0, &list);
    *removed = (cache_totals){0};
    for (size_t i = 0; i < list.n; i++) {
        if (unlinkat(folder->descriptor, list.items[i].name, 0) != 0) continue;
        removed->entries++;
        removed->bytes += list.items[i].bytes;
    }
    tn_free(list.items);
    return ok;
}
