/* Weight sets: packing and replacing.
 *
 * in:  raw weights by name, or those that the program was built with
 * out: a packed set in the program
 * law: the new set is whole before anyone sees it; runs keep the set they started with
 */
#include "runtime/weights.h"

#include <string.h>

#include "runtime/exec.h"
#include "runtime/fault.h"

enum { ALIGNMENT = 64 };

/* ---- Sets ----------------------------------------------------------------------------------------------- */

void weight_set_free(weight_set *set) {
    if (set == NULL || atomic_fetch_sub(&set->references, 1) != 1) return;
    tn_free(set->block);
    tn_free(set->packed);
    tn_free(set);
}

static weight_set *set_new(const tn_program *p) {
    weight_set *set = tn_calloc(1, sizeof *set);
    if (set == NULL) return NULL;
    atomic_init(&set->references, 1);
    set->packed = tn_calloc(p->n_packed, sizeof *set->packed);
    if (set->packed != NULL) return set;
    weight_set_free(set);
    return NULL;
}

weight_set *program_retain_set(tn_program *p) {
    pthread_mutex_lock(&p->lock);
    weight_set *set = p->set;
    if (set != NULL) atomic_fetch_add(&set->references, 1);
    pthread_mutex_unlock(&p->lock);
    return set;
}

static void replace_set(tn_program *p, weight_set *set) {
    pthread_mutex_lock(&p->lock);
    weight_set *before = p->set;
    p->set = set;
    pthread_mutex_unlock(&p->lock);
    weight_set_free(before);
}

size_t tn_program_weight_bytes(tn_program *p) {
    if (p == NULL) return 0;
    weight_set *set = program_retain_set(p);
    size_t bytes = set != NULL ? set->bytes + p->cached_bytes : 0;
    weight_set_free(set);
    return bytes;
}

/* ---- Packing -------------------------------------------------------------------------------------------- */

/* What goes into one set while it is made. */
typedef struct packing {
    tn_program *program;
    const tn_tensor *raw;   /* one for each weight */
    const bool *is_initial; /* these data outlive the set: no copy needed */
    weight_set *set;
    tn_exec *prepare;    /* NULL: the program has none */
    tn_tensor *prepared; /* its outputs */
    int64_t *offsets;    /* in the block: prepared outputs, then copies of raw weights; -1: none */
    tn_diag *diag;
} packing;

static tn_status no_memory(const packing *k) {
    return diag_fail(k->diag, TN_ERR_MEMORY, "%s: no memory for packed weights", k->program->name);
}

/* Places `bytes` at the end of the block. False: does not fit in 63 bits. */
static bool place(int64_t bytes, int64_t *total, int64_t *offset) {
    int64_t padded;
    if (__builtin_add_overflow(bytes, ALIGNMENT - 1, &padded)) return false;
    padded -= padded % ALIGNMENT;
    *offset = *total;
    return !__builtin_add_overflow(*total, padded, total);
}

/* So that raw and packed weights do not both stay in memory in whole. */
static void drop_pages(void *ctx, int32_t kernel) {
    const tn_program *p = ctx;
    (void)kernel;
    p->drop_pages(p->drop_pages_ctx);
}

static tn_status look_for_nan(packing *k) {
    const tn_program *p = k->program;
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < p->n_weights && status == TN_OK; i++)
        if (p->weights[i].looks_for_nan)
            status = check_for_nan(p, "weight", p->weights[i].info.name, &k->raw[i], k->diag);
    return status;
}

static tn_status bind_prepare(packing *k) {
    tn_program *p = k->program;
    if (p->prepare == NULL) return TN_OK;
    tn_pool *pool = program_retain_pool(p);
    tn_hooks hooks = {.ctx = p, .kernel_end = p->drop_pages != NULL ? drop_pages : NULL};
    k->prepare = tn_exec_new(p->prepare, &(tn_exec_options){.pool = pool, .hooks = &hooks});
    tn_pool_free(pool);
    if (k->prepare == NULL) return no_memory(k);
    tn_status status = tn_exec_bind(k->prepare, k->raw, (int)p->n_weights);
    if (status != TN_OK && k->diag != NULL) *k->diag = *tn_exec_error(k->prepare);
    return status;
}

static tn_status lay_out(packing *k) {
    tn_program *p = k->program;
    uint32_t n_prepared = p->prepare != NULL ? p->prepare->n_outputs : 0;
    int64_t total = 0;
    bool fits = true;
    k->prepared = tn_calloc(n_prepared, sizeof *k->prepared);
    k->offsets = tn_malloc(((size_t)n_prepared + p->n_weights) * sizeof *k->offsets);
    if (k->prepared == NULL || k->offsets == NULL) return no_memory(k);
    for (uint32_t i = 0; i < n_prepared; i++) {
        k->prepared[i] = *tn_exec_output(k->prepare, (int)i);
        fits = fits && place(tn_tensor_bytes(&k->prepared[i]), &total, &k->offsets[i]);
    }
    int64_t *copies = k->offsets + n_prepared;
    for (uint32_t i = 0; i < p->n_weights; i++) copies[i] = -1;
    for (uint32_t i = 0; i < p->n_packed; i++) {
        uint32_t w = p->packed[i].index;
        if (p->packed[i].kind != PACKED_RAW || k->is_initial[w] || copies[w] >= 0) continue;
        fits = fits && place(tn_tensor_bytes(&k->raw[w]), &total, &copies[w]);
    }
    if (!fits) return diag_fail(k->diag, TN_ERR_LIMIT, "%s: packed weights do not fit in 63 bits", p->name);
    k->set->bytes = (size_t)total;
    k->set->block = tn_aligned_alloc(ALIGNMENT, (size_t)total);
    return k->set->block != NULL ? TN_OK : no_memory(k);
}

static tn_status run_prepare(packing *k) {
    if (k->prepare == NULL) return TN_OK;
    uint32_t n = k->program->prepare->n_outputs;
    for (uint32_t i = 0; i < n; i++) k->prepared[i].data = k->set->block + k->offsets[i];
    if (k->program->drop_pages != NULL) k->program->drop_pages(k->program->drop_pages_ctx);
    tn_status status = tn_exec_run(k->prepare, k->raw, (int)k->program->n_weights, k->prepared, (int)n);
    if (status != TN_OK && k->diag != NULL) *k->diag = *tn_exec_error(k->prepare);
    return status;
}

static bool is_taken_for_former(const packing *k, uint32_t i) {
    return FAULT(packed_alike) && i > 0 && tn_tensor_bytes(&k->prepared[i]) == tn_tensor_bytes(&k->prepared[i - 1]);
}

static void point_packed(packing *k) {
    const tn_program *p = k->program;
    const int64_t *copies = k->offsets + (p->prepare != NULL ? p->prepare->n_outputs : 0);
    for (uint32_t i = 0; i < p->n_weights; i++) {
        if (copies[i] < 0) continue;
        tn_tensor copy = tn_tensor_of(k->raw[i].dtype, k->set->block + copies[i], k->raw[i].rank, k->raw[i].shape);
        tn_tensor_copy(&copy, &k->raw[i]);
    }
    for (uint32_t i = 0; i < p->n_packed; i++) {
        const program_packed *packed = &p->packed[i];
        char *from = NULL;
        if (packed->kind == PACKED_PREPARED)
            from = k->prepared[packed->index - is_taken_for_former(k, packed->index)].data;
        else if (packed->kind == PACKED_CONSTANT)
            from = (void *)(uintptr_t)packed->data;
        else
            from = copies[packed->index] >= 0 ? k->set->block + copies[packed->index] : k->raw[packed->index].data;
        k->set->packed[i] = from;
    }
}

static tn_status pack(tn_program *p, const tn_tensor *raw, const bool *is_initial, weight_set **set, tn_diag *diag) {
    packing k = {.program = p, .raw = raw, .is_initial = is_initial, .set = set_new(p), .diag = diag};
    tn_status status = k.set == NULL ? no_memory(&k) : TN_OK;
    if (status == TN_OK) status = look_for_nan(&k);
    if (status == TN_OK) status = bind_prepare(&k);
    if (status == TN_OK) status = lay_out(&k);
    if (status == TN_OK) status = run_prepare(&k);
    if (status == TN_OK) point_packed(&k);
    tn_exec_free(k.prepare);
    tn_free(k.prepared);
    tn_free(k.offsets);
    if (status == TN_OK)
        *set = k.set;
    else
        weight_set_free(k.set);
    return status;
}

/* ---- Initial and given weights ---------------------------------------------------------------------------- */

static bool is_missing(const program_weight *w) {
    tn_tensor t = tensor_of_info(&w->info, w->data);
    return w->data == NULL && tn_tensor_elements(&t) != 0;
}

const char *program_missing_weight(const tn_program *p) {
    for (uint32_t i = 0; i < p->n_weights; i++)
        if (is_missing(&p->weights[i])) return p->weights[i].info.name;
    return NULL;
}

/* Raw weights are given back once nothing reads them: no set points to them, and no later one
 * will be made from them. */
static void release_raw(tn_program *p) {
    for (uint32_t i = 0; i < p->n_packed; i++)
        if (p->packed[i].kind == PACKED_RAW) return;
    if (p->release_weights == NULL) return;
    p->raw_released = true; /* before anyone else has the program */
    p->release_weights(p->release_weights_ctx);
}

/* Raw tensors while a set is made from them: the initial ones to start with. */
typedef struct raw_list {
    tn_tensor *tensors; /* n_weights of each */
    bool *is_initial;
} raw_list;

static bool raw_list_make(raw_list *raw, const tn_program *p) {
    *raw = (raw_list){tn_calloc(p->n_weights, sizeof *raw->tensors), tn_malloc(p->n_weights * sizeof *raw->is_initial)};
    if (raw->tensors == NULL || raw->is_initial == NULL) return false;
    for (uint32_t i = 0; i < p->n_weights; i++) {
        raw->tensors[i] = tensor_of_info(&p->weights[i].info, p->weights[i].data);
        raw->is_initial[i] = true;
    }
    return true;
}

static void raw_list_free(raw_list *raw) {
    tn_free(raw->tensors);
    tn_free(raw->is_initial);
}

tn_status weights_load_initial(tn_program *p, tn_diag *diag) {
    if (p->n_packed == 0 || program_missing_weight(p) != NULL) return TN_OK;
    raw_list raw;
    weight_set *set = NULL;
    tn_status status = TN_ERR_MEMORY;
    if (raw_list_make(&raw, p))
        status = pack(p, raw.tensors, raw.is_initial, &set, diag);
    else
        diag_fail(diag, status, "%s: no memory for weights", p->name);
    if (status == TN_OK) {
        replace_set(p, set);
        release_raw(p);
    }
    raw_list_free(&raw);
    return status;
}

static int find_weight(const tn_program *p, const char *name) {
    for (uint32_t i = 0; name != NULL && i < p->n_weights; i++)
        if (strcmp(p->weights[i].info.name, name) == 0) return (int)i;
    return -1;
}

static const char *name_of_weight(const tn_program *p, uint32_t i) { return p->weights[i].info.name; }

/* Puts the named tensors into `raw`. */
static tn_status take_given(tn_program *p, const char *const *names, const tn_tensor *tensors, int n, raw_list *raw,
                            tn_diag *diag) {
    for (int k = 0; k < n; k++) {
        int i = find_weight(p, names[k]);
        if (i < 0)
            return program_unknown_name(p, "weight", names[k] ? names[k] : "", name_of_weight, p->n_weights, diag);
        const tn_tensor_info *info = &p->weights[i].info;
        if (!raw->is_initial[i])
            return diag_fail(diag, TN_ERR_ARGUMENT, "%s: weight '%s' is given twice", p->name, info->name);
        tn_status status = check_tensor(p, "weight", info, &tensors[k], true, diag);
        if (status != TN_OK) return status;
        raw->tensors[i] = tensors[k];
        raw->is_initial[i] = false;
    }
    for (uint32_t i = 0; i < p->n_weights; i++)
        if (raw->is_initial[i] && (is_missing(&p->weights[i]) || p->raw_released))
            return diag_fail(diag, TN_ERR_ARGUMENT, "%s: weight '%s' is not given%s", p->name, p->weights[i].info.name,
                             p->raw_released ? ", and its first values are no longer in memory" : "");
    return TN_OK;
}

tn_status tn_program_set_weights(tn_program *p, const char *const *names, const tn_tensor *tensors, int n,
                                 tn_diag *diag) {
    if (p == NULL || n < 0 || (n > 0 && (names == NULL || tensors == NULL)))
        return diag_fail(diag, TN_ERR_ARGUMENT, "tn_program_set_weights: an argument is NULL");
    raw_list raw;
    weight_set *set = NULL;
    tn_status status = TN_ERR_MEMORY;
    if (raw_list_make(&raw, p))
        status = take_given(p, names, tensors, n, &raw, diag);
    else
        diag_fail(diag, status, "%s: no memory for weights", p->name);
    if (status == TN_OK) status = pack(p, raw.tensors, raw.is_initial, &set, diag);
    if (status == TN_OK) replace_set(p, set);
    raw_list_free(&raw);
    return status;
}
