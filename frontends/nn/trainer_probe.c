/* Which op made the first number that is not finite.
 *
 * in:  a trainer whose step was refused, its batch
 * out: the op, and the line of the user's source that built it
 * law: states are as they were before the step, so the step is made once more, each op on its own, and every float it
 *      makes is looked at; nodes stand behind their operands, so the first one with a NaN made it
 *
 * Infinite values are often meant (a mask of -inf); they count only where there is no NaN.
 */
#include "frontends/nn/trainer.h"

#include "ir/build.h"
#include "ir/dtype.h"
#include "runtime/diag.h"

#include <string.h>

/* What is asked of one value: two results of the probe. */
typedef struct question {
    value_id value;
    bool is_made; /* by work, not by a view of something or a choice between values */
} question;

typedef struct probe {
    tn_module *module;
    tn_graph *main;
    nn_port *in, *out;
    question *questions;
    size_t n_questions;
    uint8_t *answers; /* of each question: has a NaN, has an infinity */
} probe;

static tn_val any(tn_val flags) { return tn_reduce("or", flags, TN_NO_INTS, false); }

/* In place of main's results come answers about its floats. */
static bool ask(probe *p) {
    tn_graph *g = p->main;
    size_t n_values = g->n_values;
    g->n_results = 0;
    for (size_t i = 0; i < g->n_params; i++) g->params[i].binding = BINDING_RUN;
    p->questions = ARENA_ARRAY(&p->module->memory, question, n_values + 1);
    if (!p->questions) return module_no_memory(p->module);
    for (size_t v = 0; v < n_values; v++) {
        const node *n = graph_node_of(g, (value_id)v);
        loop_class class = op_table[n->op].loop_class;
        if (!dtype_is_float(graph_type(g, (value_id)v)->dtype) || n->op == TN_OP_constant) continue;
        bool is_made = class != CLASS_VIEW && n->op != TN_OP_select && n->op != TN_OP_param;
        p->questions[p->n_questions++] = (question){(value_id)v, is_made};
        tn_val x = {g, (value_id)v};
        tn_output(g, NULL, any(tn_is_nan(x)));
        tn_output(g, NULL, any(tn_is_inf(x)));
    }
    return p->module->error.status == TN_OK;
}

static bool run_probe(const tn_trainer *t, probe *p, const tn_tensor *batch, uint64_t *random) {
    tn_compile_options options = t->compile;
    options.no_fusion = true;
    options.nan_check = false; /* it asks for itself */
    tn_program *program = tn_compile_module(p->module, &options);
    tn_exec *exec = program ? tn_exec_new(program, &(tn_exec_options){.pool = t->o.pool}) : NULL;
    int n_inputs = program ? tn_program_n_inputs(program) : 0, n_outputs = 2 * (int)p->n_questions;
    tn_tensor *inputs = tn_calloc((size_t)n_inputs + 1, sizeof *inputs);
    tn_tensor *outputs = tn_calloc((size_t)n_outputs + 1, sizeof *outputs);
    p->answers = tn_calloc((size_t)n_outputs + 1, 1);
    double rate = t->rate;
    bool ok = exec && inputs && outputs && p->answers && tn_program_n_outputs(program) == n_outputs;
    for (int i = 0; ok && i < n_inputs; i++) {
        int number = p->in[i].number;
        switch (p->in[i].kind) {
        case NN_PORT_STATE: inputs[i] = t->states[number].tensor; break;
        case NN_PORT_BATCH: inputs[i] = batch[number]; break;
        default: inputs[i] = tn_tensor_of(TN_F64, &rate, 0, NULL);
        }
        if (p->in[i].kind == NN_PORT_STATE && number == t->random) inputs[i].data = random;
    }
    for (int i = 0; ok && i < n_outputs; i++) outputs[i] = tn_tensor_of(TN_BOOL, &p->answers[i], 0, NULL);
    ok = ok && tn_exec_run(exec, inputs, n_inputs, outputs, n_outputs) == TN_OK;
    tn_free(inputs);
    tn_free(outputs);
    tn_exec_free(exec);
    tn_program_free(program);
    return ok;
}

/* The first value with a NaN, else the first with an infinity; n_questions: there is none. */
static size_t find_first(const probe *p, bool *is_nan) {
    for (int infinity = 0; infinity < 2; infinity++)
        for (size_t i = 0; i < p->n_questions; i++) {
            *is_nan = !infinity;
            if (p->answers[2 * i + (size_t)infinity] && (*is_nan || p->questions[i].is_made)) return i;
        }
    return p->n_questions;
}

static void tell(tn_trainer *t, const probe *p, size_t i, bool is_nan) {
    const node *n = graph_node_of(p->main, p->questions[i].value);
    char text[TN_DIAG_MESSAGE_BYTES], described[BUILD_TEXT];
    tn_location place = {NULL, 0};
    location_items(p->module, n->locations, 1, &place);
    const char *what = is_nan ? "NaN" : "infinity";
    value_describe(p->main, p->questions[i].value, described, sizeof described);
    memcpy(text, t->error.message, sizeof text);
    if (n->op == TN_OP_param)
        diag_fail(&t->error, t->error.status, "%s; there is a %s in its input: %s", text, what, described);
    else
        diag_fail(&t->error, t->error.status, "%s; the first %s comes from %s: %s", text, what, op_name((tn_op)n->op),
                  described);
    t->error.file = module_intern(t->m->module, place.file);
    t->error.line = place.line;
}

void nn_probe(tn_trainer *t, const tn_tensor *batch, const tn_model_size *sizes, uint64_t *random) {
    probe p = {.module = NULL};
    bool is_nan;
    p.module = nn_train_graph(t, NN_RUN_STEP, sizes, &p.in, &p.out, NULL);
    if (!p.module) return;
    p.main = tn_module_main(p.module);
    if (ask(&p) && run_probe(t, &p, batch, random)) {
        size_t first = find_first(&p, &is_nan);
        if (first < p.n_questions) tell(t, &p, first, is_nan);
    }
    tn_free(p.answers);
    tn_free(p.in);
    tn_free(p.out);
    tn_module_free(p.module);
}
