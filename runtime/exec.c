/* Execs as objects: made, told names, asked, freed.
 *
 * in:  a program and options
 * out: everything that one run at a time needs
 * law: all arrays are made here with their final size; a failure leaves nothing behind
 */
#include "runtime/exec.h"

#include <string.h>

#include "runtime/trace.h"

enum { MOST_WORKERS = 1024 };

/* ---- Buffers --------------------------------------------------------------------------------------- */

bool buffer_reserve(exec_buffer *b, size_t bytes) {
    if (bytes <= b->capacity && b->data != NULL) return true;
    buffer_free(b); /* first, so that both are never held at once */
    b->data = tn_aligned_alloc(64, bytes);
    if (b->data == NULL) return false;
    b->capacity = bytes;
    tn_touch_pages(b->data, bytes);
    return true;
}

void buffer_free(exec_buffer *b) {
    tn_free(b->data);
    *b = (exec_buffer){0};
}

/* ---- Making and freeing ----------------------------------------------------------------------------- */

static bool allocate_arrays(tn_exec *e) {
    const tn_program *p = e->program;
    arena *a = &e->memory;
    size_t n_bound = TN_BOUND_DIMS;
    for (uint32_t i = 0; i < p->n_inputs; i++) n_bound += (size_t)p->inputs[i].rank;
    for (uint32_t i = 0; i < p->n_outputs; i++) n_bound += (size_t)p->outputs[i].rank;
    e->set_inputs = ARENA_ARRAY(a, set_tensor, p->n_inputs);
    e->set_outputs = ARENA_ARRAY(a, set_tensor, p->n_outputs);
    e->set_symbols = ARENA_ARRAY(a, int64_t, p->n_symbols);
    e->inputs = ARENA_ARRAY(a, tn_tensor, p->n_inputs);
    e->outputs = ARENA_ARRAY(a, tn_tensor, p->n_outputs);
    e->symbols = ARENA_ARRAY(a, int64_t, p->n_symbols);
    e->sources = ARENA_ARRAY(a, symbol_source, p->n_symbols);
    e->bound = ARENA_ARRAY(a, int64_t, n_bound);
    e->bound_symbols = ARENA_ARRAY(a, int64_t, p->n_symbols);
    e->input_pointers = ARENA_ARRAY(a, void *, p->n_inputs);
    e->output_pointers = ARENA_ARRAY(a, void *, p->n_outputs);
    e->input_ranges = ARENA_ARRAY(a, tensor_range, p->n_inputs);
    e->output_ranges = ARENA_ARRAY(a, tensor_range, p->n_outputs);
    e->input_copies = ARENA_ARRAY(a, exec_buffer, p->n_inputs);
    e->output_buffers = ARENA_ARRAY(a, exec_buffer, p->n_outputs);
    e->hints = ARENA_ARRAY(a, uint64_t, (size_t)e->n_groups);
    e->status = tn_aligned_alloc(64, (size_t)e->workers * 64);
    if (!e->set_inputs || !e->set_outputs || !e->set_symbols || !e->inputs || !e->outputs || !e->symbols ||
        !e->sources || !e->bound || !e->bound_symbols || !e->input_pointers || !e->output_pointers ||
        !e->input_ranges || !e->output_ranges || !e->input_copies || !e->output_buffers || !e->hints || !e->status)
        return false;
    for (uint32_t i = 0; i < p->n_symbols; i++) e->set_symbols[i] = e->symbols[i] = -1;
    return true;
}

static int32_t worker_count(const tn_exec_options *o) {
    if (o->hooks != NULL && o->hooks->parallel_for != NULL) return o->workers == 0 ? 1 : o->workers;
    return tn_pool_workers(o->pool);
}

tn_exec *exec_new(tn_program *program, const tn_exec_options *options, bool holds_program) {
    tn_exec_options o = options != NULL ? *options : (tn_exec_options){0};
    int32_t workers = worker_count(&o);
    if (program == NULL || workers < 1 || workers > MOST_WORKERS) return NULL;
    tn_exec *e = tn_calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->program = holds_program ? tn_program_retain(program) : program;
    e->holds_program = holds_program;
    e->pool = tn_pool_retain(o.pool);
    e->workers = workers;
    e->flush_denormals = o.flush_denormals;
    if (o.hooks != NULL) e->user = *o.hooks;
    e->profile = o.profile;
    e->trace = o.trace;
    if (o.trace != NULL) e->trace_program = trace_add_program(o.trace, program);
    e->n_groups = program_nan_groups(program, &e->looks_for_nan);
    exec_set_hooks(e);
    if (e->trace_program >= 0 && allocate_arrays(e)) return e;
    tn_exec_free(e);
    return NULL;
}

tn_exec *tn_exec_new(tn_program *program, const tn_exec_options *options) { return exec_new(program, options, true); }

void tn_exec_free(tn_exec *e) {
    if (e == NULL) return;
    for (uint32_t i = 0; e->input_copies != NULL && i < e->program->n_inputs; i++) buffer_free(&e->input_copies[i]);
    for (uint32_t i = 0; e->output_buffers != NULL && i < e->program->n_outputs; i++)
        buffer_free(&e->output_buffers[i]);
    buffer_free(&e->arena);
    buffer_free(&e->scratch);
    tn_free(e->status);
    arena_free(&e->memory);
    tn_pool_free(e->pool);
    if (e->holds_program) tn_program_free(e->program);
    tn_free(e);
}

/* ---- Names ---------------------------------------------------------------------------------------------- */

static const char *name_of_input(const tn_program *p, uint32_t i) { return p->inputs[i].name; }
static const char *name_of_output(const tn_program *p, uint32_t i) { return p->outputs[i].name; }
static const char *name_of_symbol(const tn_program *p, uint32_t i) { return p->symbols[i].name; }

static tn_status unknown_name(tn_exec *e, const char *role, const char *name, program_name *name_of, uint32_t n) {
    return program_unknown_name(e->program, role, name, name_of, n, &e->error);
}

static void keep_tensor(set_tensor *slot, const tn_tensor *tensor) {
    *slot = tensor == NULL ? (set_tensor){0} : (set_tensor){true, *tensor};
}

tn_status tn_exec_set_input(tn_exec *e, const char *name, const tn_tensor *tensor) {
    if (e == NULL) return TN_ERR_ARGUMENT;
    e->error.status = TN_OK;
    int i = tn_program_find_input(e->program, name);
    if (i < 0) return unknown_name(e, "input", name, name_of_input, e->program->n_inputs);
    keep_tensor(&e->set_inputs[i], tensor);
    return TN_OK;
}

tn_status tn_exec_set_output(tn_exec *e, const char *name, const tn_tensor *tensor) {
    if (e == NULL) return TN_ERR_ARGUMENT;
    e->error.status = TN_OK;
    int i = tn_program_find_output(e->program, name);
    if (i < 0) return unknown_name(e, "output", name, name_of_output, e->program->n_outputs);
    keep_tensor(&e->set_outputs[i], tensor);
    return TN_OK;
}

tn_status tn_exec_set_symbol(tn_exec *e, const char *name, int64_t value) {
    if (e == NULL) return TN_ERR_ARGUMENT;
    e->error.status = TN_OK;
    int i = tn_program_find_symbol(e->program, name);
    if (i < 0) return unknown_name(e, "symbol", name, name_of_symbol, e->program->n_symbols);
    e->set_symbols[i] = value < 0 ? -1 : value;
    return TN_OK;
}

/* ---- Questions -------------------------------------------------------------------------------------------- */

const tn_tensor *tn_exec_output(const tn_exec *e, int i) {
    if (e == NULL || !e->outputs_known || i < 0 || (uint32_t)i >= e->program->n_outputs) return NULL;
    return &e->outputs[i];
}

const tn_tensor *tn_exec_output_named(const tn_exec *e, const char *name) {
    return e == NULL ? NULL : tn_exec_output(e, tn_program_find_output(e->program, name));
}

int64_t tn_exec_symbol(const tn_exec *e, int i) {
    return e == NULL || i < 0 || (uint32_t)i >= e->program->n_symbols ? -1 : e->symbols[i];
}

size_t tn_exec_arena_bytes(const tn_exec *e) {
    return e == NULL || !e->is_bound ? 0 : (size_t)e->bound[TN_BOUND_ARENA_BYTES] + tn_exec_scratch_bytes(e);
}

size_t tn_exec_scratch_bytes(const tn_exec *e) {
    return e == NULL || !e->is_bound ? 0 : (size_t)e->bound[TN_BOUND_SCRATCH_BYTES] * (size_t)e->workers;
}

const tn_diag *tn_exec_error(const tn_exec *e) { return e == NULL || e->error.status == TN_OK ? NULL : &e->error; }
