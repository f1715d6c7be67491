/* One run: from tensors to a frame, through the code, and back.
 *
 * in:  input and output tensors
 * out: outputs written; or an error that tells what was wrong and where
 * law: all is checked before the code runs; it sees contiguous memory that does not overlap
 *      but for state pairs; nothing is allocated when sizes are as before
 */
#include "runtime/exec.h"

#include <string.h>

#include "runtime/trace.h"
#include "runtime/weights.h"

/* ---- Which memory each tensor uses ------------------------------------------------------------------- */

static bool has_elements(const tn_tensor *t) { return tn_tensor_elements(t) > 0; }

static bool takes_buffer(const tn_tensor *output) { return output->data == NULL || !tn_tensor_is_contiguous(output); }

/* The input whose next value output `j` is, or NULL. */
static const tn_tensor *state_of(const tn_exec *e, uint32_t j) {
    int32_t i = e->program->outputs[j].state_input;
    return i < 0 ? NULL : &e->inputs[i];
}

/* The output that takes input i's buffer, or -1. */
static int32_t state_output(const tn_program *p, uint32_t i) {
    for (uint32_t j = 0; j < p->n_outputs; j++)
        if (p->outputs[j].state_input == (int32_t)i) return (int32_t)j;
    return -1;
}

/* Takes what the caller gave for output `j`, whose shape is known from the binding. */
static tn_status take_output(tn_exec *e, uint32_t j, const tn_tensor *given, bool needs_data) {
    const tn_program *p = e->program;
    const tn_tensor_info *info = &p->outputs[j];
    tn_tensor *t = &e->outputs[j];
    const tn_tensor *state = state_of(e, j);
    /* A buffer of ours that comes back, from a tensor filled in by an earlier run, is not given. */
    bool is_ours = given != NULL && given->data == e->output_buffers[j].data;
    if (given == NULL || given->data == NULL || is_ours) {
        if (state != NULL && tn_tensor_is_contiguous(state))
            t->data = state->data;
        else if (needs_data && has_elements(t))
            return diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: output '%s': has no data, and tn_run keeps none", p->name,
                             info->name);
        return TN_OK;
    }
    tn_status status = check_tensor(p, "output", info, given, false, &e->error);
    if (status != TN_OK) return status;
    for (int axis = 0; axis < t->rank; axis++) {
        if (given->shape[axis] != t->shape[axis])
            return mismatch(p, "output", info, given, TN_ERR_SHAPE, &e->error, "axis %d: %lld is not %lld", axis,
                            (long long)t->shape[axis], (long long)given->shape[axis]);
        if (given->has_strides && given->strides[axis] == 0 && given->shape[axis] > 1 && has_elements(t))
            return diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: output '%s': stride 0 on axis %d would write over itself",
                             p->name, info->name, axis);
    }
    *t = *given;
    return TN_OK;
}

/* What the code will write for output `j`, or could after its buffer has grown. */
static tn_tensor written_region(const tn_exec *e, uint32_t j) {
    if (!takes_buffer(&e->outputs[j])) return e->outputs[j];
    int64_t capacity = (int64_t)e->output_buffers[j].capacity;
    return tn_tensor_of(TN_U8, e->output_buffers[j].data, 1, &capacity);
}

static tn_status overlap(tn_exec *e, uint32_t j, const char *role, const char *name) {
    return diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: output '%s' overlaps %s '%s'", e->program->name,
                     e->program->outputs[j].name, role, name);
}

/* Strided inputs are copied before anything is written, so they may overlap; except with the
 * buffer they are copied into, or that is about to move. */
static bool may_meet(const tn_exec *e, uint32_t j, uint32_t i) {
    const tn_tensor *input = &e->inputs[i];
    bool is_state = e->program->outputs[j].state_input == (int32_t)i, is_copied = !tn_tensor_is_contiguous(input);
    if (is_state && !is_copied && written_region(e, j).data == input->data) return true; /* in place */
    return is_copied && !is_state && !takes_buffer(&e->outputs[j]);
}

/* All pairs: a training step has some hundred states, so what a pair costs counts. */
static tn_status check_overlaps(tn_exec *e) {
    const tn_program *p = e->program;
    for (uint32_t i = 0; i < p->n_inputs; i++) e->input_ranges[i] = tensor_range_of(&e->inputs[i]);
    for (uint32_t j = 0; j < p->n_outputs; j++) {
        tn_tensor region = written_region(e, j);
        e->output_ranges[j] = has_elements(&e->outputs[j]) ? tensor_range_of(&region) : (tensor_range){0, 0};
    }
    for (uint32_t j = 0; j < p->n_outputs; j++) {
        for (uint32_t i = 0; i < p->n_inputs; i++)
            if (tensor_ranges_meet(e->output_ranges[j], e->input_ranges[i]) && !may_meet(e, j, i))
                return overlap(e, j, "input", p->inputs[i].name);
        for (uint32_t k = 0; k < j; k++)
            if (tensor_ranges_meet(e->output_ranges[j], e->output_ranges[k]))
                return overlap(e, j, "output", p->outputs[k].name);
    }
    return TN_OK;
}

/* ---- Making room --------------------------------------------------------------------------------------- */

static tn_status reserve(tn_exec *e, exec_buffer *b, int64_t bytes, const char *what, const char *name) {
    if (buffer_reserve(b, (size_t)bytes)) return TN_OK;
    return diag_fail(&e->error, TN_ERR_MEMORY, "%s: no memory: %lld bytes for %s%s%s%s", e->program->name,
                     (long long)bytes, what, name ? " '" : "", name ? name : "", name ? "'" : "");
}

static tn_status reserve_arena(tn_exec *e) {
    int64_t scratch;
    if (__builtin_mul_overflow(e->bound[TN_BOUND_SCRATCH_BYTES], (int64_t)e->workers, &scratch))
        return diag_fail(&e->error, TN_ERR_LIMIT, "%s: scratch memory does not fit in 63 bits", e->program->name);
    tn_status status = TN_OK;
    if (e->bound[TN_BOUND_ARENA_BYTES] > 0)
        status = reserve(e, &e->arena, e->bound[TN_BOUND_ARENA_BYTES], "the arena", NULL);
    if (status == TN_OK && scratch > 0) status = reserve(e, &e->scratch, scratch, "scratch", NULL);
    return status;
}

/* Copies a tensor to contiguous memory; both have been checked. */
static void copy_out_of(const tn_tensor *from, void *to) {
    tn_tensor packed = tn_tensor_of(from->dtype, to, from->rank, from->shape);
    tn_tensor_copy(&packed, from);
}

/* Strided inputs go to buffers of ours; those paired as state get their copy in place_outputs. */
static tn_status place_inputs(tn_exec *e) {
    const tn_program *p = e->program;
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const tn_tensor *t = &e->inputs[i];
        e->input_pointers[i] = t->data != NULL ? t->data : (void *)e->status; /* no elements: any address */
        if (tn_tensor_is_contiguous(t) || state_output(p, i) >= 0) continue;
        tn_status status = reserve(e, &e->input_copies[i], tn_tensor_bytes(t), "a copy of input", p->inputs[i].name);
        if (status != TN_OK) return status;
        copy_out_of(t, e->input_copies[i].data);
        e->input_pointers[i] = e->input_copies[i].data;
    }
    return TN_OK;
}

static tn_status place_outputs(tn_exec *e) {
    const tn_program *p = e->program;
    for (uint32_t j = 0; j < p->n_outputs; j++) {
        tn_tensor *t = &e->outputs[j];
        void *target = t->data;
        if (takes_buffer(t)) {
            tn_status status = reserve(e, &e->output_buffers[j], tn_tensor_bytes(t), "output", p->outputs[j].name);
            if (status != TN_OK) return status;
            target = e->output_buffers[j].data;
            if (t->data == NULL) t->data = target;
        }
        const tn_tensor *state = state_of(e, j);
        if (state != NULL && state->data != target) {
            if (has_elements(state)) copy_out_of(state, target);
            e->input_pointers[p->outputs[j].state_input] = target;
        }
        e->output_pointers[j] = target;
    }
    return TN_OK;
}

static void copy_strided_outputs(tn_exec *e) {
    for (uint32_t j = 0; j < e->program->n_outputs; j++) {
        const tn_tensor *t = &e->outputs[j];
        if (e->output_pointers[j] == t->data) continue;
        tn_tensor packed = tn_tensor_of(t->dtype, e->output_pointers[j], t->rank, t->shape);
        tn_tensor_copy(t, &packed);
    }
}

/* ---- Running --------------------------------------------------------------------------------------------- */

static tn_status call_program(tn_exec *e, const weight_set *weights) {
    const tn_program *p = e->program;
    exec_clear_status(e);
    atomic_store(&e->bad_worker, -1);
    tn_frame frame = {
        .version = TN_FRAME_VERSION,
        .size = sizeof frame,
        .inputs = e->input_pointers,
        .outputs = e->output_pointers,
        .weights = weights != NULL ? weights->packed : NULL,
        .arena = e->arena.data,
        .scratch = e->scratch.data,
        .symbols = e->symbols,
        .status = e->status,
        .workers = e->workers,
        .hooks = e->needs_hooks ? &e->hooks : NULL,
    };
    uint64_t begin = tn_trace_now(e->trace);
    fpmode before = fpmode_enter(e->flush_denormals);
    int32_t refused = p->run(&frame);
    fpmode_leave(before);
    if (e->trace != NULL)
        trace_add(e->trace, (trace_event){.kind = TRACE_RUN,
                                          .begin_ns = begin,
                                          .end_ns = tn_trace_now(e->trace),
                                          .program = e->trace_program,
                                          .kernel = -1});
    int32_t bad_worker = atomic_load(&e->bad_worker);
    if (refused != 0)
        return diag_fail(&e->error, TN_ERR_INTERNAL, "%s: the code refused the frame (check %d)", p->name, refused);
    if (bad_worker != -1)
        return diag_fail(&e->error, TN_ERR_ARGUMENT,
                         "%s: parallel_for used a worker id that is not in [0, %d): some chunks did not run", p->name,
                         e->workers);
    return exec_decode_status(e);
}

/* The weights that this run reads, to be freed by weight_set_free. */
static tn_status take_weights(tn_exec *e, weight_set **weights) {
    tn_program *p = e->program;
    *weights = p->n_packed > 0 ? program_retain_set(p) : NULL;
    if (p->n_packed == 0 || *weights != NULL) return TN_OK;
    const char *name = program_missing_weight(p);
    return diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: weight '%s' has no values: give them with tn_program_set_weights",
                     p->name, name != NULL ? name : "?");
}

/* Checks outputs and makes room; after that only the code itself can fail. */
static tn_status prepare_memory(tn_exec *e, const tn_tensor *outputs, bool outputs_need_data) {
    tn_status status;
    for (uint32_t j = 0; j < e->program->n_outputs; j++) {
        const set_tensor *set = &e->set_outputs[j];
        const tn_tensor *given = outputs != NULL ? &outputs[j] : set->is_set ? &set->tensor : NULL;
        if ((status = take_output(e, j, given, outputs_need_data)) != TN_OK) return status;
    }
    if ((status = check_overlaps(e)) != TN_OK || (status = reserve_arena(e)) != TN_OK) return status;
    if ((status = place_inputs(e)) != TN_OK) return status;
    return place_outputs(e);
}

tn_status exec_run(tn_exec *e, const tn_tensor *inputs, tn_tensor *outputs, bool outputs_need_data) {
    const tn_program *p = e->program;
    weight_set *weights;
    e->outputs_known = false;
    e->error.status = TN_OK;
    if (p->n_inputs > 0) memmove(e->inputs, inputs, p->n_inputs * sizeof *inputs);
    tn_status status = exec_bind(e, true);
    if (status == TN_OK) status = prepare_memory(e, outputs, outputs_need_data);
    if (status == TN_OK) status = exec_check_inputs(e);
    if (status == TN_OK) status = take_weights(e, &weights);
    if (status != TN_OK) return status;
    status = call_program(e, weights);
    weight_set_free(weights);
    if (status == TN_ERR_INTERNAL || status == TN_ERR_ARGUMENT) return status; /* nothing sensible was written */
    copy_strided_outputs(e);
    e->outputs_known = true;
    for (uint32_t j = 0; outputs != NULL && j < p->n_outputs; j++) outputs[j] = e->outputs[j];
    return status;
}

/* ---- Public calls ------------------------------------------------------------------------------------------- */

/* Positional inputs, or those set by name put into e->inputs. */
static tn_status collect_inputs(tn_exec *e, const tn_tensor *inputs, int n) {
    const tn_program *p = e->program;
    if (inputs == NULL && n == 0) {
        for (uint32_t i = 0; i < p->n_inputs; i++) {
            if (!e->set_inputs[i].is_set)
                return diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: input '%s' is not given", p->name, p->inputs[i].name);
            e->inputs[i] = e->set_inputs[i].tensor;
        }
        return TN_OK;
    }
    if (inputs == NULL || n < 0 || (uint32_t)n != p->n_inputs)
        return diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: %d inputs are given, the program has %u", p->name,
                         inputs == NULL ? 0 : n, p->n_inputs);
    if (n > 0) memmove(e->inputs, inputs, (size_t)n * sizeof *inputs);
    return TN_OK;
}

static bool exec_take(tn_exec *e) { return e != NULL && !atomic_exchange(&e->in_use, true); }

static tn_status exec_give_back(tn_exec *e, tn_status status) {
    atomic_store(&e->in_use, false);
    return status;
}

tn_status tn_exec_run(tn_exec *e, const tn_tensor *inputs, int n_inputs, tn_tensor *outputs, int n_outputs) {
    if (!exec_take(e)) return TN_ERR_ARGUMENT;
    e->outputs_known = false;
    e->error.status = TN_OK;
    tn_status status = collect_inputs(e, inputs, n_inputs);
    if (status != TN_OK) return exec_give_back(e, status);
    bool are_named = outputs == NULL && n_outputs == 0;
    if (!are_named && (outputs == NULL || n_outputs < 0 || (uint32_t)n_outputs != e->program->n_outputs))
        return exec_give_back(e, diag_fail(&e->error, TN_ERR_ARGUMENT, "%s: %d outputs are given, the program has %u",
                                           e->program->name, outputs == NULL ? 0 : n_outputs, e->program->n_outputs));
    return exec_give_back(e, exec_run(e, e->inputs, outputs, false));
}

tn_status tn_exec_bind(tn_exec *e, const tn_tensor *inputs, int n_inputs) {
    if (!exec_take(e)) return TN_ERR_ARGUMENT;
    e->outputs_known = false;
    e->error.status = TN_OK;
    tn_status status = collect_inputs(e, inputs, n_inputs);
    if (status == TN_OK) status = exec_bind(e, false);
    if (status == TN_OK) status = reserve_arena(e);
    e->outputs_known = status == TN_OK;
    return exec_give_back(e, status);
}
