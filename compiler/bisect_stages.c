/* The first stage that leaves, and the first value.
 *
 * in:  a case
 * out: a finding
 * law: a stage is at fault when what it makes leaves the interpreter's, and what it was given does not
 *
 * What is wrong after one pass is wrong after those behind it, so that passes are halved. The program as a whole tells
 * whether there is anything to look for.
 */
#include "compiler/bisect.h"

#include "compiler/shrink.h"
#include "ir/eval_state.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

int bisect_stage_of(int other) { return (int)n_passes + other; }

const char *bisect_stage_name(int stage) {
    static const char *const others[] = {[BISECT_LOOPS] = "loops",
                                         [BISECT_LLVM] = "llvm",
                                         [BISECT_PLAN] = "plan",
                                         [BISECT_PREPARE] = "prepare",
                                         [BISECT_THREADS] = "threads"};
    if (stage < 0) return "none";
    return stage < (int)n_passes ? pass_table[stage].name : others[stage - (int)n_passes];
}

/* ---- What is found ------------------------------------------------------------------------------------------ */

void bisect_add_locations(bisect_finding *f, const bisect_case *c, const tn_graph *g, location_id set) {
    tn_location items[LOCATION_MAX];
    size_t n = location_items(g->module, set, LOCATION_MAX, items);
    for (size_t i = 0; i < n && i < LOCATION_MAX; i++) {
        bool is_new = true;
        for (size_t k = 0; k < f->n_locations; k++)
            is_new &= f->locations[k].line != items[i].line || strcmp(f->locations[k].file, items[i].file) != 0;
        if (!is_new || f->n_locations == LOCATION_MAX) continue;
        items[i].file = module_intern(c->module, items[i].file); /* g's module may go */
        if (items[i].file) f->locations[f->n_locations++] = items[i];
    }
}

void bisect_name_value(bisect_finding *f, const bisect_case *c, const tn_graph *g, value_id v, const eval_tensor *got,
                       const departure *apart) {
    const node *n = graph_node_of(g, v);
    if (g->values[v].name)
        snprintf(f->value, sizeof f->value, "%%%s", g->values[v].name);
    else
        snprintf(f->value, sizeof f->value, "%%%u", (unsigned)v);
    snprintf(f->op, sizeof f->op, "%s", op_name((tn_op)n->op));
    f->n_locations = 0;
    bisect_add_locations(f, c, g, n->locations);
    eval_index_text(got, apart->at, f->index, sizeof f->index);
    f->apart = *apart;
}

/* ---- Stages of a compilation ----------------------------------------------------------------------------------- */

enum { NO_PASS = 1000, MOST_PASSES = 32 };

typedef struct stages {
    const bisect_case *c;
    compilation made; /* up to its last stage */
    tn_module *after[MOST_PASSES];
    int last;      /* pass */
    int narrowing; /* the pass that makes weights narrow; NO_PASS: none does */
    tensor_set want, want_narrow;
    bool is_out; /* of memory */
} stages;

static int pass_number(const char *name) {
    for (int i = 0; i < (int)n_passes; i++)
        if (strcmp(pass_table[i].name, name) == 0) return i;
    return -1;
}

static bool keep_stage(void *ctx, compilation *made, const char *stage) {
    stages *s = ctx;
    int i = pass_number(stage);
    if (i < 0) return true;
    s->after[i] = module_clone(made->module);
    s->is_out |= !s->after[i];
    return !s->is_out;
}

static bool stages_open(stages *s, const bisect_case *c, const char *last, tn_diag *diag) {
    *s = (stages){.c = c, .last = pass_number(last), .narrowing = c->narrow > 0 ? pass_number("quantise") : NO_PASS};
    compilation_goal goal = {.prefix = "", .last = last, .inspect = keep_stage, .inspect_ctx = s};
    if (compilation_run(&s->made, c->module, &c->options, &goal) && !s->is_out) return true;
    *diag = s->made.diag;
    if (diag->status == TN_OK) diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    return false;
}

static void stages_close(stages *s) {
    for (size_t i = 0; i < n_passes; i++) tn_module_free(s->after[i]);
    tensor_set_free(&s->want);
    tensor_set_free(&s->want_narrow);
    compilation_end(&s->made);
}

/* A fault of the model (an index out of range, an assertion) still gives outputs. */
static bool has_outputs(tn_status status) {
    return status == TN_OK || status == TN_ERR_INDEX || status == TN_ERR_ASSERT || status == TN_ERR_CUSTOM;
}

static bool find_reference(stages *s, tn_diag *diag) {
    eval_options with_magnitudes = {.magnitudes = true};
    bisect_tell(s->c, "the interpreter: as imported");
    return has_outputs(bisect_interpret(s->c, s->c->module, &with_magnitudes, &s->want, NULL, diag));
}

/* With narrow weights it is right that results change where they are made so; from there on they are to stay. */
static bool find_narrow_reference(stages *s, tn_diag *diag) {
    eval_options with_magnitudes = {.magnitudes = true};
    if (s->narrowing == NO_PASS || s->want_narrow.items) return true;
    bisect_tell(s->c, "the interpreter: with narrow weights");
    return has_outputs(bisect_interpret(s->c, s->after[s->narrowing], &with_magnitudes, &s->want_narrow, NULL, diag));
}

/* The outputs of a stage against what they are to be; the first that leaves is the finding's value. */
static bool outputs_leave(const stages *s, int stage, const tensor_set *got, bisect_finding *f) {
    const tensor_set *want = stage > s->narrowing ? &s->want_narrow : &s->want;
    double tolerance = stage == s->narrowing ? s->c->narrow : BISECT_WHOLE;
    for (size_t r = 0; r < want->n; r++) {
        departure apart = bisect_compare(&got->items[r], &want->items[r], tolerance);
        if (!apart.leaves) continue;
        if (f) {
            const tn_graph *g = module_main(s->c->module);
            bisect_name_value(f, s->c, g, g->results[r].value, &want->items[r], &apart);
            snprintf(f->value, sizeof f->value, "output %.150s", g->results[r].name);
        }
        return true;
    }
    return false;
}

/* Whether the module leaves after pass i. */
static bool stage_leaves(stages *s, int i, bool *leaves, bisect_finding *f, tn_diag *diag) {
    tensor_set got;
    eval_options plain = {0};
    if (i > s->narrowing && !find_narrow_reference(s, diag)) return false;
    bisect_tell(s->c, "the interpreter: after %s", pass_table[i].name);
    tn_status status = bisect_interpret(s->c, s->after[i], &plain, &got, NULL, diag);
    bool ok = has_outputs(status);
    /* Where the interpreter stops, though it did not as imported, the pass is at fault as well. */
    *leaves = !ok ? status != TN_ERR_MEMORY : outputs_leave(s, i, &got, f);
    if (!ok && *leaves && f) snprintf(f->note, sizeof f->note, "the interpreter stops: %.160s", diag->message);
    tensor_set_free(&got);
    return ok || *leaves;
}

/* After pass `high` it leaves, as imported it does not. */
static bool find_pass(stages *s, int high, bisect_finding *f, tn_diag *diag) {
    int low = -1;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        bool leaves;
        if (!stage_leaves(s, middle, &leaves, f, diag)) return false;
        if (leaves)
            high = middle;
        else
            low = middle;
    }
    f->stage = high;
    return true;
}

/* ---- The first value of a pass ---------------------------------------------------------------------------------------
 *
 * Passes keep names of values and places in the source: of those that have one before and after, each is compared. */

enum { KEY_BYTES = 300 };

/* A value by what survives a pass: its name, else the place that it is from. False: it has neither. */
static bool value_key(const tn_graph *g, value_id v, char key[KEY_BYTES]) {
    tn_location at;
    if (g->values[v].name) return snprintf(key, KEY_BYTES, "%%%.250s", g->values[v].name) > 0;
    if (location_items(g->module, graph_node_of(g, v)->locations, 1, &at) != 1) return false;
    snprintf(key, KEY_BYTES, "%.250s:%d", at.file, at.line);
    return true;
}

typedef struct kept_value {
    char *key;
    eval_tensor tensor;
} kept_value;

typedef struct value_table {
    const bisect_case *c;
    kept_value *items;
    size_t n, capacity, bytes;
    bool is_full;
    bisect_finding *f;
    bool found;
} value_table;

static kept_value *find_kept(const value_table *t, const char *key) {
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->items[i].key, key) == 0) return &t->items[i];
    return NULL;
}

static void *copy_bytes(const void *from, size_t n) {
    void *to = from ? tn_malloc(n + 1) : NULL;
    return to ? memcpy(to, from, n) : NULL;
}

/* The last value of a key is what its op came to. */
static bool keep_value(value_table *t, const char *key, const eval_tensor *from) {
    enum { MOST_BYTES = 2000000000 };
    size_t bytes = (size_t)from->n * eval_dtype_bytes(from->dtype), more = (size_t)from->n * sizeof(double);
    kept_value *at = find_kept(t, key);
    if (t->bytes + bytes + more > MOST_BYTES) t->is_full = true;
    if (t->is_full) return true;
    if (!at) {
        if (!array_reserve((void **)&t->items, &t->capacity, t->n + 1, sizeof *t->items)) return false;
        at = &t->items[t->n];
        *at = (kept_value){.key = copy_bytes(key, strlen(key) + 1)};
        if (!at->key) return false;
        t->n++;
    }
    eval_tensor_free(&at->tensor);
    at->tensor = *from;
    at->tensor.borrowed = false;
    at->tensor.data = copy_bytes(from->data, bytes);
    at->tensor.magnitude = copy_bytes(from->magnitude, more);
    t->bytes += bytes + more;
    return at->tensor.data || bytes == 0;
}

static bool keep_values(void *ctx, const eval_frame *frame, bool is_done) {
    value_table *t = ctx;
    const node *n = frame->node;
    char key[KEY_BYTES];
    if (!is_done || frame->caller || n->op == TN_OP_param || n->op == TN_OP_constant) return true;
    const eval_tensor *made = &frame->values[n->first_result];
    if (made->dtype == TN_TOKEN || !value_key(frame->graph, n->first_result, key)) return true;
    return keep_value(t, key, made);
}

/* Whether no later node of the function has the key. */
static bool is_last_of_key(const tn_graph *g, const node *n, const char *key) {
    char other[KEY_BYTES];
    for (const node *later = n + 1; later < g->nodes + g->n_nodes; later++)
        if (value_key(g, later->first_result, other) && strcmp(key, other) == 0) return false;
    return true;
}

static bool compare_value(void *ctx, const eval_frame *frame, bool is_done) {
    value_table *t = ctx;
    const node *n = frame->node;
    const tn_graph *g = frame->graph;
    char key[KEY_BYTES];
    if (!is_done || n->op == TN_OP_param || !value_key(g, n->first_result, key)) return true;
    const kept_value *kept = find_kept(t, key);
    const eval_tensor *made = &frame->values[n->first_result];
    bool is_same_value = kept && made->data && kept->tensor.dtype == made->dtype && kept->tensor.rank == made->rank &&
                         memcmp(kept->tensor.dims, made->dims, (size_t)made->rank * sizeof *made->dims) == 0;
    if (!is_same_value || !is_last_of_key(g, n, key)) return true;
    departure apart = bisect_compare(made, &kept->tensor, BISECT_WHOLE);
    if (!apart.leaves) return true;
    bisect_name_value(t->f, t->c, g, n->first_result, made, &apart);
    t->found = true;
    return false;
}

static void find_value(stages *s, int pass, bisect_finding *f) {
    value_table t = {.c = s->c, .f = f};
    eval_options keep = {.magnitudes = true, .observe = keep_values, .ctx = &t};
    eval_options look = {.observe = compare_value, .ctx = &t};
    tensor_set outputs;
    tn_diag diag;
    if (pass == s->narrowing) return; /* all values are off there */
    bisect_tell(s->c, "values before %s", pass_table[pass].name);
    bisect_interpret(s->c, pass ? s->after[pass - 1] : s->c->module, &keep, &outputs, NULL, &diag);
    tensor_set_free(&outputs);
    bisect_tell(s->c, "values after %s", pass_table[pass].name);
    bisect_interpret(s->c, s->after[pass], &look, &outputs, NULL, &diag);
    tensor_set_free(&outputs);
    for (size_t i = 0; i < t.n; i++) {
        tn_free(t.items[i].key);
        eval_tensor_free(&t.items[i].tensor);
    }
    tn_free(t.items);
}

/* ---- The program around kernels ------------------------------------------------------------------------------------------ */

/* Main of the fused module alone, given what the interpreter says prepare makes. */
static bool main_alone_leaves(stages *s, const tensor_set *packed, bool *leaves, tn_diag *diag) {
    tn_module *m = module_clone(s->made.module);
    tn_graph *prepare = m ? module_find(m, "prepare") : NULL;
    tn_program *p = NULL;
    tensor_set inputs = {0}, got = {0};
    bool ok = m && prepare;
    if (ok) {
        module_remove_graph(m, prepare);
        tn_graph *main = module_main(m);
        ok = bisect_inputs_of(s->c, m, packed, &inputs);
        for (size_t i = 0; i < main->n_params; i++)
            if (main->params[i].binding == BINDING_LOAD && inputs.items[i].data) main->params[i].binding = BINDING_RUN;
        ok = ok && (p = bisect_compile(m, &s->c->options, diag)) &&
             has_outputs(bisect_run(p, main, inputs.items, s->c->sizes, 1, &got, diag));
        if (ok) *leaves = outputs_leave(s, (int)n_passes, &got, NULL);
    }
    tensor_set_free(&inputs);
    tensor_set_free(&got);
    tn_program_free(p);
    tn_module_free(m);
    return ok;
}

/* Stages are right up to the fused module, the program is not. */
static bool find_behind_passes(stages *s, bisect_finding *f, tn_diag *diag) {
    bisect_finding kernel = {.stage = BISECT_NONE};
    tensor_set packed = {0};
    bool ok = bisect_check_kernels(s->c, &s->made, true, &kernel, &packed, diag);
    if (ok && kernel.stage != BISECT_NONE)
        *f = kernel;
    else if (ok) {
        bool leaves = true;
        f->stage = bisect_stage_of(BISECT_PLAN);
        if (packed.items && main_alone_leaves(s, &packed, &leaves, diag) && !leaves)
            f->stage = bisect_stage_of(BISECT_PREPARE);
    }
    tensor_set_free(&packed);
    return ok;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------------------- */

static bool same_bits(const tensor_set *a, const tensor_set *b, size_t *which, int64_t *at) {
    for (size_t r = 0; r < a->n; r++) {
        const eval_tensor *x = &a->items[r], *y = &b->items[r];
        size_t each = eval_dtype_bytes(x->dtype);
        for (int64_t i = 0; i < x->n && each > 0; i++) {
            if (memcmp((char *)x->data + (size_t)i * each, (char *)y->data + (size_t)i * each, each) == 0) continue;
            *which = r;
            *at = i;
            return false;
        }
    }
    return true;
}

static double number(const eval_tensor *t, int64_t i) {
    return dtype_is_float(t->dtype) ? eval_load_float(t, i) : (double)eval_load_int(t, i);
}

static bool check_threads(const bisect_case *c, tn_program *p, const tensor_set *alone, bisect_finding *f,
                          tn_diag *diag) {
    enum { ROUNDS = 3 };
    const tn_graph *g = module_main(c->module);
    for (int threads = 2; threads <= c->threads; threads++) {
        bisect_tell(c, "with %d threads", threads);
        for (int round = 0; round < ROUNDS; round++) {
            tensor_set got = {0};
            size_t which = 0;
            int64_t at = 0;
            bool ok = has_outputs(bisect_run(p, g, c->inputs, c->sizes, threads, &got, diag));
            bool same = ok && same_bits(&got, alone, &which, &at);
            if (ok && !same) {
                departure apart = {true, at, number(&got.items[which], at), number(&alone->items[which], at), 0};
                bisect_name_value(f, c, g, g->results[which].value, &got.items[which], &apart);
                snprintf(f->value, sizeof f->value, "output %.150s", g->results[which].name);
                snprintf(f->note, sizeof f->note, "with %d threads, against 1", threads);
                f->stage = bisect_stage_of(BISECT_THREADS);
            }
            tensor_set_free(&got);
            if (!same) return ok;
        }
    }
    return true;
}

/* ---- All ---------------------------------------------------------------------------------------------------------------------- */

/* The whole program; *leaves tells whether there is anything to look for behind or before it. */
static bool check_program(stages *s, bool with_threads, bool *leaves, bisect_finding *f, tn_diag *diag) {
    const bisect_case *c = s->c;
    const tn_graph *g = module_main(c->module);
    bisect_tell(c, "the compiled program");
    tn_program *p = bisect_compile(c->module, &c->options, diag);
    tensor_set got = {0};
    bool ok = p && has_outputs(bisect_run(p, g, c->inputs, c->sizes, 1, &got, diag));
    *leaves = ok && outputs_leave(s, (int)n_passes, &got, f);
    if (ok && !*leaves && with_threads) ok = check_threads(c, p, &got, f, diag);
    tensor_set_free(&got);
    tn_program_free(p);
    return ok;
}

static bool find_any(stages *s, bool with_value, bisect_finding *f, tn_diag *diag) {
    bool leaves;
    if (!find_reference(s, diag) || !find_narrow_reference(s, diag)) return false;
    if (s->narrowing != NO_PASS && outputs_leave(s, s->narrowing, &s->want_narrow, f))
        return find_pass(s, s->narrowing, f, diag);
    if (!check_program(s, true, &leaves, f, diag)) return false;
    if (!leaves) return true;
    if (!stage_leaves(s, s->last, &leaves, f, diag)) return false;
    if (!leaves) return find_behind_passes(s, f, diag);
    if (!find_pass(s, s->last, f, diag)) return false;
    if (with_value) find_value(s, f->stage, f);
    return true;
}

/* A pass that is known: nothing behind it is looked at. */
static bool find_that_pass(stages *s, int pass, bisect_finding *f, tn_diag *diag) {
    bool leaves = false, before = false;
    if (!find_reference(s, diag) || !stage_leaves(s, pass, &leaves, f, diag)) return false;
    if (leaves && pass > 0 && !stage_leaves(s, pass - 1, &before, NULL, diag)) return false;
    if (leaves && !before) f->stage = pass;
    return true;
}

/* Kernels alone; what is wrong in one shows in the program's outputs, too, or it would not be looked for there. */
static bool find_that_kernel(stages *s, int stage, bisect_finding *f, tn_diag *diag) {
    bisect_finding program;
    bool leaves = true;
    if (!bisect_check_kernels(s->c, &s->made, stage == bisect_stage_of(BISECT_LLVM), f, NULL, diag)) return false;
    if (f->stage != stage) return true;
    if (!find_reference(s, diag) || !find_narrow_reference(s, diag) ||
        !check_program(s, false, &leaves, &program, diag))
        return false;
    if (!leaves) f->stage = BISECT_NONE;
    return true;
}

bool bisect_find(const bisect_case *c, int only, bool with_value, bisect_finding *f, tn_diag *diag) {
    bool is_pass = only >= 0 && only < (int)n_passes;
    bool is_kernel = only == bisect_stage_of(BISECT_LOOPS) || only == bisect_stage_of(BISECT_LLVM);
    stages s;
    *f = (bisect_finding){.stage = BISECT_NONE};
    *diag = (tn_diag){0};
    bool ok = stages_open(&s, c, is_pass ? pass_table[only].name : "loops", diag);
    if (ok && !is_pass) s.last = (int)n_passes - 1;
    if (ok && is_pass)
        ok = find_that_pass(&s, only, f, diag);
    else if (ok && is_kernel)
        ok = find_that_kernel(&s, only, f, diag);
    else if (ok)
        ok = find_any(&s, with_value, f, diag);
    stages_close(&s);
    return ok;
}
