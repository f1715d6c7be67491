/* A model's function `forward`, run by the interpreter (see nn_forward.h). */
#include "tests/lib/nn_forward.h"

#include "frontends/nn/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static double next_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(*state >> 11) * 0x1p-52 - 1;
}

void nn_numbers(double *out, int64_t n, uint64_t seed) {
    uint64_t state = seed * 2654435761u + 12345;
    for (int i = 0; i < 4; i++) next_number(&state);
    for (int64_t i = 0; i < n; i++) out[i] = next_number(&state);
}

void nn_scramble(tn_model *m, uint64_t seed) {
    tn_diag diag;
    if (tn_model_initialise(m, seed, &diag) != TN_OK) fail_msg("%s:%d: %s", diag.file, diag.line, diag.message);
    for (int i = 0; i < tn_model_n_parameters(m); i++) {
        tn_parameter p = tn_model_parameter_of(m, i);
        double *data = p.tensor.data;
        nn_numbers(data, tn_tensor_elements(&p.tensor), seed + (uint64_t)i);
        for (int64_t k = 0; !p.is_trainable && k < tn_tensor_elements(&p.tensor); k++) data[k] = 1 + data[k] / 2;
    }
}

static bool symbol_value(void *ctx, tn_dim leaf, int64_t *value) {
    (void)leaf;
    *value = *(const int64_t *)ctx;
    return true;
}

void nn_forward_open(nn_forward *r, tn_model *m, bool training, uint64_t step, int64_t n, const void *const *inputs) {
    static uint64_t random[4];
    static bool is_training;
    const tn_diag *error = tn_model_error(m);
    if (error) fail_msg("%s:%d: %s", error->file ? error->file : "", error->line, error->message);
    const tn_graph *g = m->forward;
    int n_given = 0;
    *r = (nn_forward){m, tn_calloc(g->n_params + 1, sizeof *r->in), tn_calloc(g->n_results + 1, sizeof *r->out)};
    random[0] = 7, random[2] = step << 20;
    is_training = training;
    for (size_t i = 0; i < g->n_params; i++) {
        const tn_type *type = &g->params[i].type;
        eval_tensor *t = &r->in[i];
        *t = (eval_tensor){.dtype = (tn_dtype)type->dtype, .rank = type->rank, .n = 1, .borrowed = true};
        for (int k = 0; k < t->rank; k++) {
            assert_true(dim_eval(m->module->dims, type->dims[k], symbol_value, &n, &t->dims[k]));
            t->n *= t->dims[k];
        }
        nn_role role = m->params[i].role;
        t->data = role == NN_TRAINING ? (void *)&is_training : role == NN_RANDOM ? (void *)random : m->params[i].data;
        if (role == NN_INPUT || role == NN_TARGET) t->data = (void *)inputs[n_given++];
    }
    eval_options options = {0};
    tn_diag diag;
    if (eval_graph(g, r->in, r->out, &options, &diag) != TN_OK)
        fail_msg("%s:%d: %s", diag.file, diag.line, diag.message);
}

const eval_tensor *nn_forward_tensor(const nn_forward *r, const char *name) {
    const tn_graph *g = r->m->forward;
    for (size_t i = 0; i < g->n_results; i++)
        if (strcmp(g->results[i].name, name) == 0) return &r->out[i];
    fail_msg("no result %s", name);
    return NULL;
}

const double *nn_forward_result(const nn_forward *r, const char *name) { return nn_forward_tensor(r, name)->data; }

const double *nn_forward_parameter(const nn_forward *r, const char *name) {
    int i = tn_model_find_parameter(r->m, name);
    if (i < 0) fail_msg("no parameter %s", name);
    return tn_model_parameter_of(r->m, i).tensor.data;
}

void nn_forward_close(nn_forward *r) {
    for (size_t i = 0; i < r->m->forward->n_results; i++) eval_tensor_free(&r->out[i]);
    tn_free(r->in);
    tn_free(r->out);
    *r = (nn_forward){0};
}

void assert_numbers(const double *is, const double *wanted, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(is[i] - wanted[i]) <= 1e-12 * fmax(1, fabs(wanted[i]))))
            fail_msg("%s: element %d is %.17g, should be %.17g", what, (int)i, is[i], wanted[i]);
}
