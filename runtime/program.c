/* Programs as objects: made by the compiler, described to callers, run by the convenience call.
 *
 * in:  what the compiler filled in (program.h)
 * out: checked descriptions; tn_run
 * law: after program_seal the description never changes; what does is under the lock
 */
#include "runtime/program.h"

#include <string.h>

#include "runtime/exec.h"
#include "runtime/weights.h"

tn_program *program_new(const char *name) {
    tn_program *p = tn_calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        tn_free(p);
        return NULL;
    }
    atomic_init(&p->references, 1);
    p->live_bytes = -1;
    p->name = arena_strdup(&p->memory, name != NULL ? name : "program");
    if (p->name != NULL) return p;
    tn_program_free(p);
    return NULL;
}

tn_program *tn_program_retain(tn_program *program) {
    if (program != NULL) atomic_fetch_add(&program->references, 1);
    return program;
}

static void free_idle(tn_exec *e) {
    for (tn_exec *next; e != NULL; e = next) {
        next = e->next_idle;
        tn_exec_free(e);
    }
}

void tn_program_free(tn_program *p) {
    if (p == NULL || atomic_fetch_sub(&p->references, 1) != 1) return;
    free_idle(p->idle);
    weight_set_free(p->set);
    if (!p->raw_released && p->release_weights != NULL) p->release_weights(p->release_weights_ctx);
    tn_program_free(p->prepare);
    tn_pool_free(p->pool);
    if (p->destroy != NULL) p->destroy(p->destroy_ctx);
    pthread_mutex_destroy(&p->lock);
    arena_free(&p->memory);
    tn_free(p);
}

/* ---- Checking what the compiler filled in -------------------------------------------------------------- */

static bool dim_is_sound(const tn_program *p, const tn_dim_info *dim) {
    if (dim->kind == TN_DIM_CONSTANT) return dim->value >= 0;
    if (dim->kind == TN_DIM_SYMBOL) return dim->value >= 0 && dim->value < p->n_symbols;
    return dim->kind == TN_DIM_EXPRESSION && p->bind != NULL;
}

static const char *check_infos(const tn_program *p, const tn_tensor_info *infos, uint32_t n) {
    if (n > INT32_MAX || (n > 0 && infos == NULL)) return "a table is missing";
    for (uint32_t i = 0; i < n; i++) {
        if (infos[i].name == NULL) return "a tensor has no name";
        if (infos[i].rank < 0 || infos[i].rank > TN_MAX_RANK) return "a tensor's rank is out of range";
        if (tn_dtype_bits(infos[i].dtype) == 0) return "a tensor's dtype has no data";
        for (int axis = 0; axis < infos[i].rank; axis++)
            if (!dim_is_sound(p, &infos[i].dims[axis])) return "a tensor's dim is malformed";
    }
    return NULL;
}

static const char *check_states(const tn_program *p) {
    for (uint32_t j = 0; j < p->n_outputs; j++) {
        int32_t i = p->outputs[j].state_input;
        if (i < 0) continue;
        if ((uint32_t)i >= p->n_inputs || p->inputs[i].dtype != p->outputs[j].dtype ||
            p->inputs[i].rank != p->outputs[j].rank)
            return "a state pair does not fit";
        for (uint32_t k = 0; k < j; k++)
            if (p->outputs[k].state_input == i) return "two outputs take one input's buffer";
    }
    return NULL;
}

static const char *check_weights(const tn_program *p) {
    uint32_t n_prepared = p->prepare != NULL ? p->prepare->n_outputs : 0;
    if (p->n_weights > INT32_MAX || (p->n_weights > 0 && p->weights == NULL) || (p->n_packed > 0 && p->packed == NULL))
        return "a table is missing";
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const char *wrong = check_infos(p, &p->weights[i].info, 1);
        if (wrong != NULL) return wrong;
        for (int axis = 0; axis < p->weights[i].info.rank; axis++)
            if (p->weights[i].info.dims[axis].kind != TN_DIM_CONSTANT) return "a weight's shape is not static";
    }
    if (p->prepare != NULL && p->prepare->n_inputs != p->n_weights) return "prepare does not take the weights";
    for (uint32_t i = 0; i < p->n_packed; i++) {
        const program_packed *packed = &p->packed[i];
        if (packed->kind == PACKED_RAW ? packed->index >= p->n_weights
                                       : packed->kind == PACKED_PREPARED && packed->index >= n_prepared)
            return "a packed weight is malformed";
    }
    return NULL;
}

static const char *check_program(tn_program *p) {
    const char *wrong = check_infos(p, p->inputs, p->n_inputs);
    if (wrong == NULL) wrong = check_infos(p, p->outputs, p->n_outputs);
    if (wrong == NULL) wrong = check_states(p);
    if (wrong == NULL) wrong = check_weights(p);
    if (wrong != NULL) return wrong;
    if (p->run == NULL) return "there is no run entry";
    if ((p->n_symbols > 0 && p->symbols == NULL) || (p->n_constraints > 0 && p->constraints == NULL) ||
        (p->n_sites > 0 && p->sites == NULL) || (p->n_kernels > 0 && p->kernels == NULL) ||
        (p->n_customs > 0 && p->customs == NULL))
        return "a table is missing";
    if (p->n_symbols > INT32_MAX || p->n_kernels > INT32_MAX) return "a table is too large";
    for (uint32_t i = 0; i < p->n_symbols; i++)
        if (p->symbols[i].name == NULL) return "a symbol has no name";
    for (uint32_t i = 0; i < p->n_sites; i++)
        if ((unsigned)p->sites[i].kind >= SITE_KIND_COUNT || p->sites[i].op == NULL) return "a site is malformed";
    for (uint32_t i = 0; i < p->n_constraints; i++)
        if (p->constraints[i].message == NULL) return "a constraint has no message";
    return NULL;
}

tn_status program_seal(tn_program *p, tn_diag *diag) {
    tn_status status = p->prepare != NULL ? program_seal(p->prepare, diag) : TN_OK;
    if (status != TN_OK) return status;
    const char *wrong = check_program(p);
    if (wrong != NULL) return diag_fail(diag, TN_ERR_INTERNAL, "%s: malformed program: %s", p->name, wrong);
    return weights_load_initial(p, diag);
}

/* ---- Descriptions ------------------------------------------------------------------------------------------ */

const char *tn_program_name(const tn_program *p) { return p != NULL ? p->name : ""; }

int tn_program_n_inputs(const tn_program *p) { return p != NULL ? (int)p->n_inputs : 0; }

int tn_program_n_outputs(const tn_program *p) { return p != NULL ? (int)p->n_outputs : 0; }

int tn_program_n_weights(const tn_program *p) { return p != NULL ? (int)p->n_weights : 0; }

int tn_program_n_symbols(const tn_program *p) { return p != NULL ? (int)p->n_symbols : 0; }

int tn_program_n_kernels(const tn_program *p) { return p != NULL ? (int)p->n_kernels : 0; }

int64_t tn_program_live_bytes(const tn_program *p) { return p != NULL ? p->live_bytes : -1; }

const tn_tensor_info *tn_program_input(const tn_program *p, int i) {
    return i >= 0 && i < tn_program_n_inputs(p) ? &p->inputs[i] : NULL;
}

const tn_tensor_info *tn_program_output(const tn_program *p, int i) {
    return i >= 0 && i < tn_program_n_outputs(p) ? &p->outputs[i] : NULL;
}

const tn_tensor_info *tn_program_weight(const tn_program *p, int i) {
    return i >= 0 && i < tn_program_n_weights(p) ? &p->weights[i].info : NULL;
}

const tn_symbol_info *tn_program_symbol(const tn_program *p, int i) {
    return i >= 0 && i < tn_program_n_symbols(p) ? &p->symbols[i] : NULL;
}

const tn_kernel_info *tn_program_kernel(const tn_program *p, int i) {
    return i >= 0 && i < tn_program_n_kernels(p) ? &p->kernels[i] : NULL;
}

static int find_info(const tn_tensor_info *infos, int n, const char *name) {
    for (int i = 0; name != NULL && i < n; i++)
        if (strcmp(infos[i].name, name) == 0) return i;
    return -1;
}

int tn_program_find_input(const tn_program *p, const char *name) {
    return p != NULL ? find_info(p->inputs, (int)p->n_inputs, name) : -1;
}

int tn_program_find_output(const tn_program *p, const char *name) {
    return p != NULL ? find_info(p->outputs, (int)p->n_outputs, name) : -1;
}

int tn_program_find_symbol(const tn_program *p, const char *name) {
    for (int i = 0; name != NULL && i < tn_program_n_symbols(p); i++)
        if (strcmp(p->symbols[i].name, name) == 0) return i;
    return -1;
}

/* ---- The convenience run ------------------------------------------------------------------------------------- */

void tn_program_set_pool(tn_program *p, tn_pool *pool) {
    if (p == NULL) return;
    tn_pool_retain(pool);
    pthread_mutex_lock(&p->lock);
    tn_pool *before = p->pool;
    tn_exec *idle = p->idle;
    p->pool = pool;
    p->idle = NULL;
    p->pool_generation++;
    pthread_mutex_unlock(&p->lock);
    free_idle(idle);
    tn_pool_free(before);
}

tn_pool *program_retain_pool(tn_program *p) {
    pthread_mutex_lock(&p->lock);
    tn_pool *pool = tn_pool_retain(p->pool);
    pthread_mutex_unlock(&p->lock);
    return pool;
}

/* An exec that nobody uses, or a new one; NULL: no memory. */
static tn_exec *take_exec(tn_program *p) {
    pthread_mutex_lock(&p->lock);
    tn_exec *e = p->idle;
    if (e != NULL) p->idle = e->next_idle;
    uint64_t generation = p->pool_generation;
    tn_pool *pool = e == NULL ? tn_pool_retain(p->pool) : NULL;
    pthread_mutex_unlock(&p->lock);
    if (e != NULL) return e;
    e = exec_new(p, &(tn_exec_options){.pool = pool}, false);
    tn_pool_free(pool);
    if (e != NULL) e->pool_generation = generation;
    return e;
}

static void give_exec(tn_program *p, tn_exec *e) {
    pthread_mutex_lock(&p->lock);
    if (e->error.status != TN_OK) p->error = e->error;
    bool is_current = e->pool_generation == p->pool_generation;
    if (is_current) {
        e->next_idle = p->idle;
        p->idle = e;
    }
    pthread_mutex_unlock(&p->lock);
    if (!is_current) tn_exec_free(e);
}

static tn_status program_fail(tn_program *p, tn_status status, const char *message) {
    pthread_mutex_lock(&p->lock);
    diag_fail(&p->error, status, "%s: %s", p->name, message);
    pthread_mutex_unlock(&p->lock);
    return status;
}

tn_status tn_run(tn_program *p, const tn_tensor *inputs, tn_tensor *outputs) {
    if (p == NULL) return TN_ERR_ARGUMENT;
    if (inputs == NULL && p->n_inputs > 0) return program_fail(p, TN_ERR_ARGUMENT, "inputs is NULL");
    if (outputs == NULL && p->n_outputs > 0) return program_fail(p, TN_ERR_ARGUMENT, "outputs is NULL");
    tn_exec *e = take_exec(p);
    if (e == NULL) return program_fail(p, TN_ERR_MEMORY, "no memory");
    tn_status status = exec_run(e, inputs, outputs, true);
    give_exec(p, e);
    return status;
}

tn_status tn_program_error(tn_program *p, tn_diag *diag) {
    if (p == NULL || diag == NULL) return TN_ERR_ARGUMENT;
    pthread_mutex_lock(&p->lock);
    *diag = p->error;
    pthread_mutex_unlock(&p->lock);
    return diag->status;
}

/* ---- Names ------------------------------------------------------------------------------------------ */

tn_status program_unknown_name(const tn_program *p, const char *role, const char *name, program_name *name_of,
                               uint32_t n, tn_diag *diag) {
    if (name == NULL) return diag_fail(diag, TN_ERR_ARGUMENT, "%s: %s name is NULL", p->name, role);
    char known[400] = "";
    line list = {known, sizeof known, 0};
    for (uint32_t i = 0; i < n; i++) line_add(&list, "%s%s", i > 0 ? ", " : "", name_of(p, i));
    return diag_fail(diag, TN_ERR_ARGUMENT, "%s: no %s is called '%s' (it has %s)", p->name, role, name,
                     n > 0 ? known : "none");
}
