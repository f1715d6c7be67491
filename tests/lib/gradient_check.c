/* Gradients against central differences (gradient_check.h). */
#include "tests/lib/gradient_check.h"

#include "tests/lib/compare.h"

#include "ir/dtype.h"
#include "ir/graph.h"
#include "ir/samples_shape.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_ELEMENTS = 24 };

static bool say(char *message, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, GRADIENT_MESSAGE, format, arguments);
    va_end(arguments);
    return false;
}

tn_ints gradient_wrt(const tn_graph *f, int64_t *wrt) {
    int n = 0;
    for (size_t i = 0; i < f->n_params; i++)
        if (f->params[i].type.dtype == TN_F64) wrt[n++] = (int64_t)i;
    return (tn_ints){n, wrt};
}

/* ---- Tensors --------------------------------------------------------------------------------------- */

eval_tensor *gradient_inputs(sampler *s, const tn_graph *f, char *message) {
    eval_tensor *in = tn_calloc(f->n_params + 1, sizeof *in);
    for (size_t i = 0; in && i < f->n_params; i++)
        if (!tensor_sampled(s, f, i, &in[i])) {
            say(message, "no input for %s", f->params[i].name);
            gradient_inputs_free(in, f->n_params);
            return NULL;
        }
    return in;
}

void gradient_inputs_free(eval_tensor *in, size_t n) {
    for (size_t i = 0; in && i < n; i++) eval_tensor_free(&in[i]);
    tn_free(in);
}

static bool run(const tn_graph *f, const eval_tensor *in, eval_tensor *out, char *message) {
    eval_options options = {.max_elements = 1 << 24, .max_steps = 1 << 22};
    tn_diag diag;
    memset(out, 0, f->n_results * sizeof *out);
    tn_status status = eval_graph(f, in, out, &options, &diag);
    return status == TN_OK || say(message, "%s: %s %.900s", f->name, tn_status_name(status), diag.message);
}

/* ---- The sum that is differentiated ------------------------------------------------------------------ */

typedef struct differences {
    const tn_graph *f;
    eval_tensor *in, *out;
    const eval_tensor *cotangents; /* of the float results */
    double scale;                  /* of the terms of the last sum */
    char *message;
} differences;

static bool weighted_sum(differences *d, double *sum) {
    if (!run(d->f, d->in, d->out, d->message)) return false;
    size_t n = 0;
    *sum = d->scale = 0;
    for (size_t r = 0; r < d->f->n_results; r++) {
        if (!dtype_is_float(d->out[r].dtype)) continue;
        const eval_tensor *weights = &d->cotangents[n++];
        for (int64_t i = 0; i < d->out[r].n; i++) {
            double term = eval_load_float(&d->out[r], i) * eval_load_float(weights, i);
            if (!isfinite(term)) continue; /* the extreme of nothing: a constant */
            *sum += term;
            d->scale += fabs(term);
        }
    }
    for (size_t r = 0; r < d->f->n_results; r++) eval_tensor_free(&d->out[r]);
    return true;
}

/* Four points around element i of parameter p, `h` apart: exact for polynomials of degree 4. */
static bool slope(differences *d, size_t p, int64_t i, double h, double *result) {
    static const double weights[] = {1, -8, 8, -1};
    static const int steps[] = {-2, -1, 1, 2};
    double at = eval_load_float(&d->in[p], i), sum;
    *result = 0;
    for (int k = 0; k < 4; k++) {
        eval_store_float(&d->in[p], i, at + steps[k] * h);
        if (!weighted_sum(d, &sum)) return false;
        *result += weights[k] * sum / (12 * h);
    }
    eval_store_float(&d->in[p], i, at);
    return true;
}

static bool check_element(gradient_check *k, differences *d, size_t p, int64_t i, double gradient) {
    double at = eval_load_float(&d->in[p], i), h = 1e-3 * fmax(fabs(at), 0.1), wide, narrow;
    double relative = k->tolerance > 0 ? k->tolerance : 1e-6;
    if (!slope(d, p, i, h, &wide) || !slope(d, p, i, h / 2, &narrow)) return false;
    double allowed = relative * fmax(fabs(gradient), fabs(narrow)) + 1e-8 + 1e-14 * d->scale / h;
    if (!isfinite(narrow) || fabs(wide - narrow) > allowed) {
        k->n_left_out++;
        return true;
    }
    k->n_compared++;
    if (fabs(gradient - narrow) <= allowed) return true;
    return say(d->message, "d_%s[%lld] is %.12g, differences say %.12g (at %.12g)", d->f->params[p].name, (long long)i,
               gradient, narrow, at);
}

/* ---- The whole --------------------------------------------------------------------------------------- */

static bool check_all(gradient_check *k, differences *d, const tn_ints *wrt, const eval_tensor *gradients) {
    for (int w = 0; w < wrt->n; w++) {
        size_t p = (size_t)wrt->items[w];
        int64_t n = d->in[p].n, count = n < MOST_ELEMENTS ? n : MOST_ELEMENTS;
        for (int64_t e = 0; e < count; e++) {
            int64_t i = n <= MOST_ELEMENTS ? e : sampler_range(k->s, 0, n - 1);
            if (!check_element(k, d, p, i, eval_load_float(&gradients[w], i))) return false;
        }
    }
    int all = k->n_compared + k->n_left_out;
    return all < 30 || k->n_left_out * 5 <= all ||
           say(d->message, "%d of %d elements are near a kink", k->n_left_out, all);
}

static bool check_inputs(gradient_check *k, const tn_graph *vjp, eval_tensor *in, const tn_ints *wrt, char *message) {
    eval_tensor *results = tn_calloc(vjp->n_results + 1, sizeof *results),
                *out = tn_calloc(k->f->n_results + 1, sizeof *out);
    differences d = {.f = k->f, .in = in, .out = out, .cotangents = in + k->f->n_params, .message = message};
    bool ok = results && out && run(vjp, in, results, message) && check_all(k, &d, wrt, results);
    for (size_t r = 0; results && r < vjp->n_results; r++) eval_tensor_free(&results[r]);
    tn_free(results);
    tn_free(out);
    return ok;
}

bool gradient_check_run(gradient_check *k, char *message) {
    int64_t numbers[64];
    tn_diag diag;
    if (k->f->n_params > 64) return say(message, "too many parameters");
    tn_ints wrt = gradient_wrt(k->f, numbers);
    if (wrt.n == 0) return true;
    tn_graph *vjp = tn_vjp(k->f, wrt);
    if (!vjp) return say(message, "%.1200s", k->f->module->error.message);
    if (tn_module_verify(k->f->module, &diag) != TN_OK) return say(message, "verify: %.1200s", diag.message);
    for (int i = 0; i < wrt.n; i++)
        if (!type_equal(graph_type(vjp, vjp->results[i].value), &k->f->params[numbers[i]].type))
            return say(message, "d_%s has another type than %s", k->f->params[numbers[i]].name,
                       k->f->params[numbers[i]].name);
    /* Parameters of the vjp are those of f, then the cotangents; readers are looked for in f. */
    eval_tensor *own = gradient_inputs(k->s, k->f, message), *in = tn_calloc(vjp->n_params + 1, sizeof *in);
    bool ok = own && in;
    for (size_t i = 0; ok && i < k->f->n_params; i++) in[i] = own[i];
    for (size_t i = k->f->n_params; ok && i < vjp->n_params; i++) {
        ok = tensor_of_sizes(k->s, vjp, &vjp->params[i].type, &in[i]);
        for (int64_t e = 0; ok && e < in[i].n; e++) eval_store_float(&in[i], e, 2 * sampler_unit(k->s) - 1);
    }
    ok = ok && check_inputs(k, vjp, in, &wrt, message);
    for (size_t i = k->f->n_params; in && i < vjp->n_params; i++) eval_tensor_free(&in[i]);
    gradient_inputs_free(own, k->f->n_params);
    tn_free(in);
    return ok;
}
