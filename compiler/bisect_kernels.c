/* Kernels alone: what the interpreter gives each is given to its loop tree and to its code, too.
 *
 * in:  a compilation as far as loop trees
 * out: the first kernel whose code (or loop tree) does not make of its operands what the interpreter makes of them, and
 *      whether it is the loop tree that is wrong or the code made from it
 * law: a kernel is compared on operands that are right, so that what was wrong before it does not count
 */
#include "compiler/bisect.h"

#include "compiler/kernel_title.h"
#include "ir/build.h"
#include "ir/eval_state.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

typedef struct kernel_program {
    const tn_graph *fused;
    tn_module *module;
    tn_program *program;
} kernel_program;

typedef struct kernel_check {
    const bisect_case *c;
    compilation *made;
    bool with_code;
    kernel_program *programs;
    size_t n_programs, programs_capacity;
    bisect_finding *f;
    tn_diag *diag;
    bool failed; /* in *diag */
    size_t n_calls;
} kernel_check;

/* One call of a kernel. */
typedef struct kernel_call {
    const tn_graph *fused;
    eval_tensor *operands, *results; /* borrowed; the interpreter's */
    int64_t *sizes;                  /* of fused's symbols */
    eval_tensor *want;               /* with magnitudes; made when it is needed */
} kernel_call;

/* ---- Programs of one kernel --------------------------------------------------------------------------------- */

/* A main that calls the kernel, in a module of its own. */
static tn_module *call_module(tn_graph *fused) {
    tn_module *m = tn_function_module(fused);
    tn_graph *kernel = m ? module_main(m) : NULL;
    if (!kernel || !(kernel->name = module_intern(m, "kernel"))) return m;
    tn_graph *main = module_add_graph(m, "main");
    if (!main || !graph_copy_symbols(main, kernel)) return m;
    value_id *operands = ARENA_ARRAY(&m->memory, value_id, kernel->n_params + 1);
    value_id *results = ARENA_ARRAY(&m->memory, value_id, kernel->n_results + 1);
    tn_dim *symbols = ARENA_ARRAY(&m->memory, tn_dim, kernel->n_symbols + 1);
    if (!operands || !results || !symbols) return m;
    for (size_t i = 0; i < kernel->n_params; i++)
        operands[i] = graph_add_param(main, kernel->params[i].name, &kernel->params[i].type, BINDING_RUN);
    for (size_t i = 0; i < kernel->n_symbols; i++) symbols[i] = kernel->symbols[i].dim;
    attr attrs[] = {build_func(ATTR_callee, kernel), build_dim_list(ATTR_symbols, symbols, (int)kernel->n_symbols)};
    value_id first;
    uint32_t n;
    if (m->error.status == TN_OK && graph_apply(main, LOCATION_NONE, TN_OP_call, operands, (uint32_t)kernel->n_params,
                                                attrs, kernel->n_symbols ? 2 : 1, &first, 1, &n))
        for (uint32_t i = 0; i < n; i++) graph_add_result(main, kernel->results[i].name, first + i, -1);
    return m;
}

static kernel_program *program_of(kernel_check *k, const tn_graph *fused) {
    for (size_t i = 0; i < k->n_programs; i++)
        if (k->programs[i].fused == fused) return &k->programs[i];
    if (!array_reserve((void **)&k->programs, &k->programs_capacity, k->n_programs + 1, sizeof *k->programs)) {
        diag_fail(k->diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    kernel_program *p = &k->programs[k->n_programs];
    *p = (kernel_program){.fused = fused, .module = call_module((tn_graph *)(uintptr_t)fused)};
    k->n_programs++;
    bisect_tell(k->c, "kernel %zu: its code", k->n_programs);
    if (!p->module)
        diag_fail(k->diag, TN_ERR_MEMORY, "out of memory");
    else if (p->module->error.status != TN_OK)
        *k->diag = p->module->error;
    else
        p->program = bisect_compile(p->module, &k->c->options, k->diag);
    return p->program ? p : NULL;
}

/* ---- One call ------------------------------------------------------------------------------------------------ */

/* The interpreter again, with magnitudes that begin with the kernel's operands. */
static bool find_want(kernel_check *k, kernel_call *call) {
    eval_options with_magnitudes = {.magnitudes = true, .symbols = call->fused->n_symbols ? call->sizes : NULL};
    if (call->want) return true;
    if (!(call->want = tn_calloc(call->fused->n_results + 1, sizeof *call->want)))
        return diag_fail(k->diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
    tn_status status = eval_graph(call->fused, call->operands, call->want, &with_magnitudes, k->diag);
    return status == TN_OK || status == TN_ERR_INDEX;
}

static bool same_bits(const eval_tensor *a, const eval_tensor *b) {
    size_t bytes = (size_t)a->n * eval_dtype_bytes(a->dtype);
    return a->n == b->n && a->dtype == b->dtype && (bytes == 0 || memcmp(a->data, b->data, bytes) == 0);
}

/* Result r of a way to compute the kernel. */
static bool result_leaves(kernel_check *k, kernel_call *call, const eval_tensor *got, size_t r, departure *apart) {
    *apart = (departure){0};
    if (same_bits(got, &call->results[r])) return false;
    if (!find_want(k, call)) return !(k->failed = true);
    *apart = bisect_compare(got, &call->want[r], BISECT_KERNEL);
    return apart->leaves;
}

/* Number of the first result that leaves; the count of results: none does. */
static size_t code_leaves(kernel_check *k, kernel_call *call, departure *apart) {
    size_t n = call->fused->n_results, r = 0;
    kernel_program *p = program_of(k, call->fused);
    tensor_set got = {0};
    tn_status status = p ? bisect_run(p->program, module_main(p->module), call->operands, call->sizes, 1, &got, k->diag)
                         : TN_ERR_INTERNAL;
    if (status != TN_OK && status != TN_ERR_INDEX)
        k->failed = true;
    else
        while (r < n && !result_leaves(k, call, &got.items[r], r, apart) && !k->failed) r++;
    tensor_set_free(&got);
    return k->failed ? n : r;
}

static size_t loops_leave(kernel_check *k, kernel_call *call, departure *apart) {
    const tn_graph *fused = call->fused;
    const lt_kernel *loops = plan_kernel_of(&k->made->plan, fused)->loops;
    size_t n = fused->n_results, r = 0;
    void **buffers = (void **)tn_calloc(fused->n_params + n + 1, sizeof *buffers);
    int64_t *extents = tn_calloc(loops->n_extents + 1, sizeof *extents);
    eval_tensor *got = tn_calloc(n + 1, sizeof *got);
    bool ok = buffers && extents && got;
    for (uint32_t i = 0; ok && i < loops->n_extents; i++)
        for (size_t s = 0; s < fused->n_symbols; s++)
            if (fused->symbols[s].dim == loops->extents[i]) extents[i] = call->sizes[s];
    for (size_t i = 0; ok && i < fused->n_params; i++) buffers[i] = call->operands[i].data;
    for (size_t i = 0; ok && i < n; i++) {
        got[i] = call->results[i];
        got[i].magnitude = NULL;
        got[i].borrowed = false;
        got[i].data = buffers[fused->n_params + i] = tn_calloc((size_t)got[i].n + 1, 8);
        ok = got[i].data != NULL;
    }
    if (!ok) diag_fail(k->diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = ok ? lt_eval(loops, buffers, extents, k->diag) : TN_ERR_MEMORY;
    if (ok && status != TN_OK && status != TN_ERR_INDEX) {
        /* It accesses what is not its own. */
        *apart = (departure){.leaves = true};
        snprintf(k->f->note, sizeof k->f->note, "%.180s", k->diag->message);
    } else if (ok)
        while (r < n && !result_leaves(k, call, &got[r], r, apart) && !k->failed) r++;
    k->failed |= !ok;
    for (size_t i = 0; got && i < n; i++) eval_tensor_free(&got[i]);
    tn_free(got);
    tn_free((void *)buffers);
    tn_free(extents);
    return k->failed ? n : r;
}

static void name_kernel(kernel_check *k, const kernel_call *call, size_t r, int stage, const departure *apart) {
    const tn_graph *g = call->fused;
    bisect_finding *f = k->f;
    char title[KERNEL_TITLE], note[sizeof f->note];
    memcpy(note, f->note, sizeof note);
    kernel_title(g, title, sizeof title);
    bisect_name_value(f, k->c, g, g->results[r].value, &call->results[r], apart);
    for (size_t i = 0; i < g->n_nodes; i++) bisect_add_locations(f, k->c, g, g->nodes[i].locations);
    snprintf(f->op, sizeof f->op, "kernel of %.180s", title);
    memcpy(f->note, note, sizeof note);
    f->stage = bisect_stage_of(stage);
}

/* With code, the loop tree is looked at only when the code is wrong: it takes longer. */
static void check_call(kernel_check *k, kernel_call *call) {
    departure code = {0}, loops = {0};
    size_t n = call->fused->n_results, in_code = n, in_loops = n;
    if (k->with_code) in_code = code_leaves(k, call, &code);
    if (!k->failed && (in_code < n || !k->with_code)) in_loops = loops_leave(k, call, &loops);
    if (k->failed) return;
    if (in_loops < n)
        name_kernel(k, call, in_loops, BISECT_LOOPS, &loops);
    else if (in_code < n)
        name_kernel(k, call, in_code, BISECT_LLVM, &code);
}

/* ---- All calls -------------------------------------------------------------------------------------------------- */

static bool observe(void *ctx, const eval_frame *frame, bool is_done) {
    kernel_check *k = ctx;
    const node *n = frame->node;
    if (!is_done || n->op != TN_OP_call) return true;
    const tn_graph *fused = attr_find(&n->attrs, ATTR_callee)->func;
    if (!fused->is_kernel || !plan_kernel_of(&k->made->plan, fused)) return true;
    const tn_dim *symbols = node_callee_symbols(n, fused);
    kernel_call call = {.fused = fused,
                        .operands = tn_calloc(n->n_operands + 1, sizeof *call.operands),
                        .results = &frame->values[n->first_result],
                        .sizes = tn_calloc(fused->n_symbols + 1, sizeof *call.sizes)};
    bool ok = call.operands && call.sizes;
    for (uint32_t i = 0; ok && i < n->n_operands; i++) {
        call.operands[i] = frame->values[n->operands[i]];
        call.operands[i].magnitude = NULL;
        call.operands[i].borrowed = true;
    }
    for (size_t i = 0; ok && i < fused->n_symbols; i++) ok = symbols && eval_dim_in(frame, symbols[i], &call.sizes[i]);
    bisect_tell(k->c, "kernel call %zu", ++k->n_calls);
    if (ok)
        check_call(k, &call);
    else
        k->failed = diag_fail(k->diag, TN_ERR_MEMORY, "out of memory") != TN_OK;
    for (size_t r = 0; call.want && r < fused->n_results; r++) eval_tensor_free(&call.want[r]);
    tn_free(call.want);
    tn_free(call.operands);
    tn_free(call.sizes);
    return !k->failed && k->f->stage == BISECT_NONE;
}

bool bisect_check_kernels(const bisect_case *c, compilation *made, bool with_code, bisect_finding *f,
                          tensor_set *packed, tn_diag *diag) {
    tn_diag own = {0}; /* of kernels; the run's says that it was stopped */
    kernel_check k = {.c = c, .made = made, .with_code = with_code, .f = f, .diag = &own};
    eval_options options = {.observe = observe, .ctx = &k};
    tensor_set outputs = {0};
    f->stage = BISECT_NONE;
    tn_status status = bisect_interpret(c, made->module, &options, &outputs, packed, diag);
    tensor_set_free(&outputs);
    for (size_t i = 0; i < k.n_programs; i++) {
        tn_program_free(k.programs[i].program);
        tn_module_free(k.programs[i].module);
    }
    tn_free(k.programs);
    if (k.failed) *diag = own;
    if (k.failed) return false;
    return f->stage != BISECT_NONE || status == TN_OK || status == TN_ERR_INDEX || status == TN_ERR_ASSERT;
}
