/* Batches from a dataset.
 *
 * in:  a dataset, a batch size, a seed, where to start
 * out: batches in order, epoch after epoch
 * law: which examples a batch has follows from seed, epoch and position alone, whoever reads it and when; a failed
 *      example fails its batch, and every call from then on until a seek
 *
 * Two slots: the caller has one, a thread fills the other. A slot changes hands under the lock and is touched by its
 * owner alone. The thread looks between examples whether it is to stop.
 */
#include "frontends/data/dataset.h"
#include "frontends/data/permutation.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { N_SLOTS = 2, DEFAULT_BATCH = 32, ALIGNMENT = 64 };

typedef struct place {
    int64_t epoch, position;
} place;

typedef struct slot {
    tn_tensor *fields;
    int64_t size;
    place at;
    bool is_full, is_last;
    tn_status status;
    tn_diag diag;
} slot;

struct tn_loader {
    tn_dataset *dataset;
    int64_t batch_size, usable; /* examples of an epoch that get into a batch */
    uint64_t seed;
    bool shuffle;
    permutation order; /* of the epoch that is being read; the filler's */
    int64_t order_epoch;
    slot slots[N_SLOTS];
    int held; /* the slot that the caller has, or -1 */
    int next; /* the one that comes next */
    place told;
    /* Shared, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    place cursor; /* what is read next */
    int to_fill;
    bool is_filling, is_ending, has_failed;
    /* Read between examples without the lock. */
    atomic_bool stop;
    pthread_t thread;
    bool has_thread;
};

/* ---- Filling a slot ------------------------------------------------------------------------ */

static int64_t example_at(tn_loader *l, place at) {
    if (!l->shuffle) return at.position;
    if (l->order_epoch != at.epoch) {
        l->order = permutation_of(l->dataset->count, l->seed, (uint64_t)at.epoch);
        l->order_epoch = at.epoch;
    }
    return permutation_at(&l->order, at.position);
}

static size_t example_bytes(const tn_field *f) {
    tn_tensor example = tn_tensor_of(f->dtype, NULL, f->rank, f->shape);
    return (size_t)tn_tensor_bytes(&example);
}

static tn_status read_example(const tn_loader *l, slot *s, int64_t row, int64_t index) {
    for (int i = 0; i < l->dataset->n_fields; i++) {
        char *out = (char *)s->fields[i].data + (size_t)row * example_bytes(&l->dataset->fields[i].shown);
        tn_status status = tn_dataset_read(l->dataset, i, index, out, &s->diag);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

/* Reads the batch at `at`; unless told to stop, the slot then holds it or its error. */
static void fill(tn_loader *l, slot *s, place at) {
    int64_t left = l->usable - at.position;
    s->at = at;
    s->size = left < l->batch_size ? left : l->batch_size;
    s->is_last = left <= l->batch_size;
    s->status = TN_OK;
    for (int64_t row = 0; row < s->size && s->status == TN_OK && !l->stop; row++)
        s->status = read_example(l, s, row, example_at(l, (place){at.epoch, at.position + row}));
    for (int i = 0; i < l->dataset->n_fields; i++) s->fields[i].shape[0] = s->size;
}

/* An epoch of which nothing is left has ended. */
static place normal(const tn_loader *l, place at) { return at.position < l->usable ? at : (place){at.epoch + 1, 0}; }

static place behind(const tn_loader *l, const slot *s) {
    return normal(l, (place){s->at.epoch, s->at.position + s->size});
}

/* Fills the next slot; the lock is held before and after, not between. */
static void fill_next(tn_loader *l) {
    slot *s = &l->slots[l->to_fill];
    place at = l->cursor;
    l->is_filling = true;
    pthread_mutex_unlock(&l->lock);
    fill(l, s, at);
    pthread_mutex_lock(&l->lock);
    l->is_filling = false;
    if (!l->stop) {
        s->is_full = true;
        l->has_failed = s->status != TN_OK;
        l->cursor = behind(l, s);
        l->to_fill = (l->to_fill + 1) % N_SLOTS;
    }
    pthread_cond_broadcast(&l->changed);
}

static void *run_thread(void *loader) {
    tn_loader *l = loader;
    pthread_mutex_lock(&l->lock);
    while (!l->is_ending)
        if (l->stop || l->has_failed || l->slots[l->to_fill].is_full)
            pthread_cond_wait(&l->changed, &l->lock);
        else
            fill_next(l);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals go to the program's own threads. Without a thread batches are read when they are asked for. */
static void start_thread(tn_loader *l) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    l->has_thread = pthread_create(&l->thread, NULL, run_thread, l) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- Making and ending --------------------------------------------------------------------- */

static bool make_slots(tn_loader *l) {
    int n = l->dataset->n_fields;
    int64_t most = l->batch_size < l->usable ? l->batch_size : l->usable;
    for (int k = 0; k < N_SLOTS; k++) {
        slot *s = &l->slots[k];
        s->fields = tn_calloc((size_t)n, sizeof *s->fields);
        for (int i = 0; s->fields && i < n; i++) {
            const tn_field *f = &l->dataset->fields[i].shown;
            int64_t shape[TN_MAX_RANK] = {most};
            memcpy(shape + 1, f->shape, (size_t)f->rank * sizeof *shape);
            s->fields[i] = tn_tensor_of(f->dtype, NULL, f->rank + 1, shape);
            int64_t bytes = tn_tensor_bytes(&s->fields[i]);
            s->fields[i].data = bytes >= 0 ? tn_aligned_alloc(ALIGNMENT, (size_t)bytes) : NULL;
            if (!s->fields[i].data) return false;
        }
        if (!s->fields) return false;
    }
    return true;
}

static bool is_place(const tn_loader *l, int64_t epoch, int64_t position) {
    return epoch >= 0 && epoch < INT64_MAX && position >= 0 && position <= l->dataset->count;
}

static tn_status check_options(const tn_loader *l, const tn_loader_options *o, tn_diag *diag) {
    int64_t count = l->dataset->count;
    if (o->batch_size < 0)
        return diag_fail(diag, TN_ERR_ARGUMENT, "batch_size is %" PRId64 ", it must be at least 1 (or 0: 32)",
                         o->batch_size);
    if (l->usable == 0)
        return diag_fail(diag, TN_ERR_ARGUMENT, "the dataset has %" PRId64 " examples, not one batch of %" PRId64 "%s",
                         count, l->batch_size, o->drop_last ? " (drop_last leaves smaller ones out)" : "");
    if (!is_place(l, o->epoch, o->position))
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "cannot start at position %" PRId64 " of epoch %" PRId64 ", expected 0 to %" PRId64
                         ", and 0 on",
                         o->position, o->epoch, count);
    return TN_OK;
}

tn_status tn_loader_new(tn_dataset *dataset, const tn_loader_options *options, tn_loader **loader, tn_diag *diag) {
    *loader = NULL;
    tn_loader_options o = options ? *options : (tn_loader_options){0};
    if (!dataset) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no dataset");
    tn_loader *l = tn_calloc(1, sizeof *l);
    if (!l) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    l->dataset = tn_dataset_retain(dataset);
    l->batch_size = o.batch_size ? o.batch_size : DEFAULT_BATCH;
    l->usable = dataset->count;
    if (o.drop_last && l->batch_size > 0) l->usable -= l->usable % l->batch_size;
    l->seed = o.seed;
    l->shuffle = o.shuffle;
    l->order_epoch = -1;
    l->held = -1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    tn_status status = check_options(l, &o, diag);
    if (status == TN_OK && !make_slots(l))
        status = diag_fail(diag, TN_ERR_MEMORY, "out of memory for batches of %" PRId64 " examples", l->batch_size);
    if (status != TN_OK) {
        tn_loader_free(l);
        return status;
    }
    l->cursor = l->told = normal(l, (place){o.epoch, o.position});
    if (!o.no_prefetch) start_thread(l);
    *loader = l;
    return TN_OK;
}

void tn_loader_free(tn_loader *loader) {
    if (!loader) return;
    loader->stop = true;
    pthread_mutex_lock(&loader->lock);
    loader->is_ending = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    if (loader->has_thread) pthread_join(loader->thread, NULL);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    for (int k = 0; k < N_SLOTS; k++) {
        for (int i = 0; loader->slots[k].fields && i < loader->dataset->n_fields; i++)
            tn_free(loader->slots[k].fields[i].data);
        tn_free(loader->slots[k].fields);
    }
    tn_dataset_free(loader->dataset);
    tn_free(loader);
}

/* ---- What callers do ----------------------------------------------------------------------- */

tn_status tn_loader_next(tn_loader *loader, tn_batch *batch, tn_diag *diag) {
    tn_loader *l = loader;
    *batch = (tn_batch){0};
    if (!l) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no loader");
    pthread_mutex_lock(&l->lock);
    if (l->held >= 0) l->slots[l->held].is_full = false;
    l->held = -1;
    pthread_cond_broadcast(&l->changed);
    slot *s = &l->slots[l->next];
    while (!s->is_full)
        if (l->has_thread)
            pthread_cond_wait(&l->changed, &l->lock);
        else
            fill_next(l);
    if (s->status == TN_OK) {
        l->held = l->next;
        l->next = (l->next + 1) % N_SLOTS;
        l->told = behind(l, s);
    }
    pthread_mutex_unlock(&l->lock);
    if (s->status != TN_OK) { /* the slot stays full: nobody touches it before a seek */
        if (diag) *diag = s->diag;
        return s->status;
    }
    *batch = (tn_batch){s->fields, l->dataset->n_fields, s->size, s->at.epoch, s->at.position, s->is_last};
    return TN_OK;
}

int64_t tn_loader_batches(const tn_loader *loader) {
    return loader ? loader->usable / loader->batch_size + (loader->usable % loader->batch_size != 0) : -1;
}

void tn_loader_tell(const tn_loader *loader, int64_t *epoch, int64_t *position) {
    *epoch = loader->told.epoch;
    *position = loader->told.position;
}

tn_status tn_loader_seek(tn_loader *loader, int64_t epoch, int64_t position) {
    tn_loader *l = loader;
    if (!l || !is_place(l, epoch, position)) return TN_ERR_ARGUMENT;
    l->stop = true;
    pthread_mutex_lock(&l->lock);
    while (l->is_filling) pthread_cond_wait(&l->changed, &l->lock);
    for (int k = 0; k < N_SLOTS; k++) l->slots[k].is_full = false;
    l->cursor = l->told = normal(l, (place){epoch, position});
    l->held = -1;
    l->next = l->to_fill = 0;
    l->has_failed = false;
    l->stop = false;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return TN_OK;
}
