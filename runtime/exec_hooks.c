/* What compiled code calls back, on behalf of one exec.
 *
 * in:  calls of the hooks in a frame, whose ctx is the exec
 * out: the pool's or the caller's parallel_for, times of kernels, users' own ops
 * law: every chunk runs in the exec's floating-point mode and with a worker id below its
 *      number of workers, or not at all
 */
#include "runtime/exec.h"
#include "runtime/trace.h"

/* One parallel loop on its way through the pool; lives on the stack of the run. */
typedef struct chunk_call {
    tn_exec *exec;
    tn_chunk_fn body;
    void *arg;
} chunk_call;

static void run_chunk(void *arg, int64_t chunk, int32_t worker) {
    const chunk_call *call = arg;
    tn_exec *e = call->exec;
    if (worker < 0 || worker >= e->workers) {
        atomic_store(&e->bad_worker, worker < 0 ? INT32_MAX : worker);
        return;
    }
    uint64_t begin = e->trace != NULL ? tn_trace_now(e->trace) : 0;
    fpmode before = fpmode_enter(e->flush_denormals);
    call->body(call->arg, chunk, worker);
    fpmode_leave(before);
    if (e->trace != NULL)
        trace_add(e->trace, (trace_event){.kind = TRACE_CHUNK,
                                          .begin_ns = begin,
                                          .end_ns = tn_trace_now(e->trace),
                                          .program = e->trace_program,
                                          .kernel = e->trace_kernel,
                                          .loop = e->trace_loop,
                                          .chunk = chunk,
                                          .worker = worker});
}

static void hook_parallel_for(void *ctx, int64_t n, tn_chunk_fn body, void *arg) {
    tn_exec *e = ctx;
    chunk_call call = {e, body, arg};
    if (e->user.parallel_for != NULL)
        e->user.parallel_for(e->user.ctx, n, run_chunk, &call);
    else
        tn_pool_parallel_for(e->pool, n, run_chunk, &call);
    e->trace_loop++;
}

static void hook_kernel_begin(void *ctx, int32_t kernel) {
    tn_exec *e = ctx;
    if (e->user.kernel_begin != NULL) e->user.kernel_begin(e->user.ctx, kernel);
    e->trace_kernel = kernel;
    e->trace_loop = 0;
    if (e->trace != NULL) e->trace_kernel_ns = tn_trace_now(e->trace);
    if (e->profile != NULL) e->kernel_start_ns = profile_now_ns();
}

static void hook_kernel_end(void *ctx, int32_t kernel) {
    tn_exec *e = ctx;
    if (e->trace != NULL)
        trace_add(e->trace, (trace_event){.kind = TRACE_KERNEL,
                                          .begin_ns = e->trace_kernel_ns,
                                          .end_ns = tn_trace_now(e->trace),
                                          .program = e->trace_program,
                                          .kernel = kernel});
    if (e->looks_for_nan) exec_take_status(e);
    if (e->profile != NULL) profile_add(e->profile, kernel, profile_now_ns() - e->kernel_start_ns);
    if (e->user.kernel_end != NULL) e->user.kernel_end(e->user.ctx, kernel);
}

static int32_t hook_custom(void *ctx, int32_t op, void *const *operands, void *const *results, const int64_t *dims) {
    tn_exec *e = ctx;
    const tn_program *p = e->program;
    if (e->user.custom != NULL) return e->user.custom(e->user.ctx, op, operands, results, dims);
    if (op < 0 || (uint32_t)op >= p->n_customs || p->customs[op].call == NULL) return -1;
    return p->customs[op].call(p->customs[op].ctx, operands, results, dims);
}

static void hook_print(void *ctx, const char *message, const tn_tensor *value) {
    tn_exec *e = ctx;
    e->user.print(e->user.ctx, message, value);
}

void exec_set_hooks(tn_exec *e) {
    bool times = e->profile != NULL || e->trace != NULL;
    e->hooks = (tn_hooks){.ctx = e};
    if (e->workers > 1 || e->user.parallel_for != NULL) e->hooks.parallel_for = hook_parallel_for;
    if (times || e->user.kernel_begin != NULL) e->hooks.kernel_begin = hook_kernel_begin;
    if (times || e->user.kernel_end != NULL || e->looks_for_nan) e->hooks.kernel_end = hook_kernel_end;
    if (e->program->n_customs > 0) e->hooks.custom = hook_custom;
    if (e->user.print != NULL) e->hooks.print = hook_print;
    e->needs_hooks = e->hooks.parallel_for != NULL || e->hooks.kernel_begin != NULL || e->hooks.kernel_end != NULL ||
                     e->hooks.custom != NULL || e->hooks.print != NULL;
}
