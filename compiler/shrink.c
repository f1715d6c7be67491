/* Making what fails smaller: the engine (see shrink.h). */
#include "compiler/shrink.h"

#include "runtime/alloc.h"

typedef struct reduction {
    const shrink_kind *kind;
    const shrink_test *test;
    void *subject;
    shrink_size size;
    uint64_t *tried; /* hashes of what was tested; a hash table, 0: free */
    size_t n_tried, tried_capacity;
    size_t tries;
    bool is_over;
} reduction;

/* ---- What was tried ---- */

static bool enter(uint64_t *table, size_t capacity, uint64_t hash) {
    size_t slot = (size_t)hash & (capacity - 1);
    while (table[slot] && table[slot] != hash) slot = (slot + 1) & (capacity - 1);
    bool is_new = !table[slot];
    table[slot] = hash;
    return is_new;
}

static bool grow_tried(reduction *r) {
    size_t capacity = r->tried_capacity ? 2 * r->tried_capacity : 256;
    uint64_t *table = tn_calloc(capacity, sizeof *table);
    if (!table) return false;
    for (size_t i = 0; i < r->tried_capacity; i++)
        if (r->tried[i]) enter(table, capacity, r->tried[i]);
    tn_free(r->tried);
    r->tried = table;
    r->tried_capacity = capacity;
    return true;
}

static bool is_new(reduction *r, const void *subject) {
    uint64_t hash = r->kind->hash(subject);
    if (2 * (r->n_tried + 1) > r->tried_capacity && !grow_tried(r)) {
        r->is_over = true;
        return false;
    }
    bool fresh = enter(r->tried, r->tried_capacity, hash ? hash : 1);
    r->n_tried += fresh;
    return fresh;
}

/* ---- One try ---- */

static bool is_smaller(const shrink_size *a, const shrink_size *b) {
    if (a->nodes != b->nodes) return a->nodes < b->nodes;
    if (a->bytes != b->bytes) return a->bytes < b->bytes;
    if (a->ends != b->ends) return a->ends < b->ends;
    return a->elements < b->elements;
}

static void tell(reduction *r, const void *kept, const char *step) {
    if (r->test->tell && !r->test->tell(r->test->ctx, kept, step, &r->size, r->tries)) r->is_over = true;
}

static bool fails(reduction *r, void *subject, const char *step) {
    r->tries++;
    tell(r, NULL, step);
    if (r->test->most_tries && r->tries >= r->test->most_tries) r->is_over = true;
    return r->test->fails(r->test->ctx, subject);
}

/* Whether the subject, edited, is smaller and still fails: it then is the subject. */
static bool try_edit(reduction *r, const shrink_step *step, size_t first, size_t n) {
    void *subject = r->is_over ? NULL : r->kind->copy(r->subject);
    shrink_size size;
    if (!subject) {
        r->is_over = true;
        return false;
    }
    bool is_kept = step->edit(subject, first, n);
    if (is_kept) {
        r->kind->measure(subject, &size);
        is_kept = is_smaller(&size, &r->size) && is_new(r, subject) && fails(r, subject, step->name);
    }
    if (!is_kept) {
        r->kind->release(subject);
        return false;
    }
    r->kind->release(r->subject);
    r->subject = subject;
    r->size = size;
    tell(r, subject, step->name);
    return true;
}

/* ---- Searches ---- */

/* From the last chunk to the first: what is behind is made from what is before. */
static bool search_chunks(reduction *r, const shrink_step *step) {
    bool progress = false;
    for (size_t chunk = step->count(r->subject); chunk > 0 && !r->is_over; chunk /= 2) {
        size_t end = step->count(r->subject);
        while (end > 0 && !r->is_over) {
            size_t first = end > chunk ? end - chunk : 0;
            if (try_edit(r, step, first, end - first)) progress = true;
            size_t left = step->count(r->subject);
            end = first < left ? first : left;
        }
    }
    return progress;
}

static bool search_prefix(reduction *r, const shrink_step *step) {
    bool progress = false;
    size_t low = 0, high = step->count(r->subject);
    while (high - low > 1 && !r->is_over) {
        size_t middle = low + (high - low) / 2;
        if (try_edit(r, step, middle, step->count(r->subject) - middle)) {
            size_t left = step->count(r->subject);
            progress = true;
            high = middle < left ? middle : left;
            if (high < low) high = low;
        } else
            low = middle;
    }
    return progress;
}

static bool (*const searches[])(reduction *r, const shrink_step *step) = {[SHRINK_CHUNKS] = search_chunks,
                                                                          [SHRINK_PREFIX] = search_prefix};

void *shrink(const shrink_kind *kind, void *subject, const shrink_test *test, size_t *tries) {
    reduction r = {.kind = kind, .test = test, .subject = subject};
    kind->measure(subject, &r.size);
    is_new(&r, subject);
    for (bool progress = true; progress && !r.is_over;) {
        progress = false;
        for (size_t i = 0; i < kind->n_steps && !r.is_over; i++)
            progress |= searches[kind->steps[i].search](&r, &kind->steps[i]);
    }
    tn_free(r.tried);
    if (tries) *tries = r.tries;
    return r.subject;
}
