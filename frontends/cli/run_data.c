/* Tensors of a run: from files or random, through compiled code or the interpreter (see model.h). */
#include "frontends/cli/model.h"
#include "frontends/cli/npy.h"
#include "frontends/cli/picture.h"
#include "frontends/onnx/tensorproto.h"
#include "runtime/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *file, const char *format, const char *what)
{
    tn_diag diag = {.status = TN_ERR_ARGUMENT};
    snprintf(diag.message, sizeof diag.message, format, what);
    return report(file, &diag);
}

/* ---- Files ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool make_tensor(eval_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const void *data)
{
    tn_tensor shape = tn_tensor_of(dtype, NULL, rank, dims);
    int64_t bytes = tn_tensor_bytes(&shape);
    *t = (eval_tensor){.dtype = dtype, .rank = rank, .n = tn_tensor_elements(&shape)};
    if (rank > 0)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    t->data = bytes >= 0 ? tn_calloc((size_t)bytes + 1, 1) : NULL;
    if (t->data && data)
        memcpy(t->data, data, (size_t)bytes);
    return t->data != NULL;
}

static int read_numpy(const char *path, eval_tensor *t)
{
    npy_array array;
    tn_diag diag = {0};
    if (npy_read(path, &array, &diag) != TN_OK)
        return report(path, &diag);
    bool ok = make_tensor(t, array.dtype, array.rank, array.dims, array.data);
    npy_free(&array);
    return ok ? 0 : fail(path, "%s", "out of memory");
}

static int read_proto(const char *path, eval_tensor *t)
{
    onnx_tensor_file file;
    tn_diag diag = {0};
    if (tensorproto_file_open(path, &file, &diag) != TN_OK)
        return report(path, &diag);
    bool ok = make_tensor(t, file.info.dtype, file.info.rank, file.info.dims, file.data);
    tensorproto_file_close(&file);
    return ok ? 0 : fail(path, "%s", "out of memory");
}

/* Up to three numbers "A[,B,C]"; one stands for all channels. */
static bool read_channels(const char *text, float out[3])
{
    int n = 0;
    for (char *end; text && *text && n < 3; text = *end == ',' ? end + 1 : end) {
        out[n++] = strtof(text, &end);
        if (end == text || (*end && *end != ','))
            return false;
    }
    if (n == 1)
        out[1] = out[2] = out[0];
    return n == 1 || n == 3;
}

static int read_picture(const char *path, const arguments *a, eval_tensor *t)
{
    picture_options options = {.is_bgr = GIVEN(a, image_bgr)};
    const char *layout = TEXT_OF(a, image_layout), *size = TEXT_OF(a, image_size);
    if (size && (sscanf(size, "%dx%d", &options.width, &options.height) != 2 || options.width < 1 || options.height < 1))
        return fail(path, "--image-size: %s is not WxH", size);
    if (layout && strcmp(layout, "nchw") != 0 && strcmp(layout, "nhwc") != 0)
        return fail(path, "--image-layout: %s is neither nchw nor nhwc", layout);
    options.layout = layout && strcmp(layout, "nhwc") == 0 ? PICTURE_NHWC : PICTURE_NCHW;
    if ((GIVEN(a, image_mean) && !read_channels(TEXT_OF(a, image_mean), options.mean)) ||
        (GIVEN(a, image_scale) && !read_channels(TEXT_OF(a, image_scale), options.scale)))
        return fail(path, "%s", "--image-mean and --image-scale take one number, or three with commas between");
    int64_t dims[4];
    float *values;
    tn_diag diag = {0};
    if (picture_load(path, &options, dims, &values, &diag) != TN_OK)
        return report(path, &diag);
    bool ok = make_tensor(t, TN_F32, 4, dims, values);
    tn_free(values);
    return ok ? 0 : fail(path, "%s", "out of memory");
}

static int read_input(const char *path, const arguments *a, eval_tensor *t)
{
    if (ends_with(path, ".npy"))
        return read_numpy(path, t);
    return ends_with(path, ".pb") ? read_proto(path, t) : read_picture(path, a, t);
}

static int read_given(run_data *d, const arguments *a)
{
    const option_list *given = LIST_OF(a, input);
    for (int i = 0; i < given->n; i++) {
        const char *equals = strchr(given->items[i], '=');
        int which = -1;
        for (int k = 0; equals && k < d->n_inputs; k++)
            if (strlen(d->main->params[k].name) == (size_t)(equals - given->items[i]) &&
                strncmp(d->main->params[k].name, given->items[i], (size_t)(equals - given->items[i])) == 0)
                which = k;
        if (!equals)
            return fail(NULL, "--input: %s is not NAME=FILE", given->items[i]);
        if (which < 0)
            return fail(NULL, "--input: the model has no input named as in %s", given->items[i]);
        eval_tensor_free(&d->inputs[which]);
        int status = read_input(equals + 1, a, &d->inputs[which]);
        if (status)
            return status;
    }
    return 0;
}

/* ---- Sizes ---- */

typedef struct sizes {
    const run_data *data;
    const arguments *a;
    bool bad;
} sizes;

/* The value of a symbol: an axis of a given input that is just that symbol, --set, or 1. */
static bool size_of(void *ctx, tn_dim leaf, int64_t *value)
{
    sizes *s = ctx;
    const run_data *d = s->data;
    const tn_module *m = d->main->module;
    const char *name = dim_symbol_name(m->dims, leaf);
    *value = 1;
    for (size_t i = 0; i < d->main->n_symbols; i++)
        if (d->main->symbols[i].dim == leaf && d->main->symbols[i].low > 1)
            *value = d->main->symbols[i].low;
    const option_list *set = LIST_OF(s->a, set);
    for (int i = 0; i < set->n && name; i++) {
        size_t length = strlen(name);
        if (strncmp(set->items[i], name, length) == 0 && set->items[i][length] == '=')
            *value = strtoll(set->items[i] + length + 1, NULL, 10);
    }
    for (int i = 0; i < d->n_inputs; i++) {
        const tn_type *type = graph_type(d->main, d->main->params[i].value);
        for (int k = 0; d->inputs[i].data && k < type->rank && type->rank == d->inputs[i].rank; k++)
            if (type->dims[k] == leaf)
                *value = d->inputs[i].dims[k];
    }
    return true;
}

static int check_set(const run_data *d, const arguments *a)
{
    const option_list *set = LIST_OF(a, set);
    for (int i = 0; i < set->n; i++) {
        const char *equals = strchr(set->items[i], '=');
        bool known = false;
        char *end = NULL;
        for (size_t k = 0; equals && k < d->main->n_symbols; k++) {
            const char *name = dim_symbol_name(d->main->module->dims, d->main->symbols[k].dim);
            known |= strlen(name) == (size_t)(equals - set->items[i]) && strncmp(name, set->items[i], strlen(name)) == 0;
        }
        if (!equals || strtoll(equals + 1, &end, 10) < 0 || end == equals + 1 || *end)
            return fail(NULL, "--set: %s is not SYMBOL=INT", set->items[i]);
        if (!known)
            return fail(NULL, "--set: the model has no symbol named as in %s", set->items[i]);
    }
    return 0;
}

/* ---- Random values ---- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Floats in [-1, 1), integers in [0, 8), bools. */
static void fill_random(eval_tensor *t, uint64_t seed)
{
    bool is_float = t->dtype == TN_F16 || t->dtype == TN_BF16 || t->dtype == TN_F32 || t->dtype == TN_F64;
    for (int64_t i = 0; i < t->n; i++) {
        uint64_t bits = next_random(&seed);
        if (is_float)
            eval_store_float(t, i, (double)(bits >> 11) * 0x1p-52 - 1);
        else
            eval_store_int(t, i, (int64_t)(bits >> 32) & (t->dtype == TN_BOOL ? 1 : 7));
    }
}

static int make_random(run_data *d, int i, const arguments *a, bool quiet)
{
    const param *p = &d->main->params[i];
    const tn_type *type = graph_type(d->main, p->value);
    sizes s = {.data = d, .a = a};
    int64_t dims[TN_MAX_RANK];
    for (int k = 0; k < type->rank; k++)
        if (!dim_eval(d->main->module->dims, type->dims[k], size_of, &s, &dims[k]) || dims[k] < 0)
            return fail(NULL, "input %s: its size cannot be worked out from the symbols", p->name);
    if (!make_tensor(&d->inputs[i], (tn_dtype)type->dtype, type->rank, dims, NULL))
        return fail(NULL, "input %s: out of memory", p->name);
    fill_random(&d->inputs[i], (uint64_t)NUMBER_OF(a, seed, 0) * 1000003u + (uint64_t)i);
    char text[200];
    tn_tensor t = tn_tensor_of(d->inputs[i].dtype, NULL, type->rank, dims);
    if (!quiet)
        fprintf(stderr, "tenon: input '%s' is random: %s, seed %lld\n", p->name, tn_tensor_text(&t, text, sizeof text),
                (long long)NUMBER_OF(a, seed, 0));
    return 0;
}

int run_data_load(run_data *d, tn_module *m, const arguments *a, bool quiet)
{
    tn_graph *g = tn_module_main(m);
    *d = (run_data){.main = g, .n_inputs = (int)g->n_params, .n_outputs = (int)g->n_results};
    d->inputs = tn_calloc(g->n_params + 1, sizeof *d->inputs);
    d->outputs = tn_calloc(g->n_results + 1, sizeof *d->outputs);
    if (!d->inputs || !d->outputs)
        return fail(NULL, "%s", "out of memory");
    int status = read_given(d, a);
    if (!status)
        status = check_set(d, a);
    for (int i = 0; !status && i < d->n_inputs; i++)
        if (!d->inputs[i].data && !(g->params[i].binding == BINDING_LOAD && g->params[i].initial))
            status = make_random(d, i, a, quiet);
    return status;
}

void run_data_free_outputs(run_data *d)
{
    for (int i = 0; d->outputs && i < d->n_outputs; i++)
        eval_tensor_free(&d->outputs[i]);
}

void run_data_free(run_data *d)
{
    for (int i = 0; d->inputs && i < d->n_inputs; i++)
        eval_tensor_free(&d->inputs[i]);
    run_data_free_outputs(d);
    tn_free(d->inputs);
    tn_free(d->outputs);
    *d = (run_data){0};
}

/* ---- Running ---- */

static tn_status take_outputs(run_data *d, const tn_exec *exec, tn_diag *diag)
{
    for (int i = 0; i < d->n_outputs; i++) {
        const tn_tensor *t = tn_exec_output(exec, i);
        if (!t || !make_tensor(&d->outputs[i], t->dtype, t->rank, t->shape, t->data)) {
            *diag = (tn_diag){.status = TN_ERR_MEMORY, .message = "out of memory"};
            return TN_ERR_MEMORY;
        }
    }
    return TN_OK;
}

tn_status run_data_execute(run_data *d, tn_exec *exec, tn_diag *diag)
{
    tn_tensor *inputs = tn_calloc((size_t)d->n_inputs + 1, sizeof *inputs);
    tn_tensor *outputs = tn_calloc((size_t)d->n_outputs + 1, sizeof *outputs);
    tn_status status = TN_ERR_MEMORY;
    int n = 0;
    if (inputs && outputs) {
        for (int i = 0; i < d->n_inputs; i++)
            if (d->main->params[i].binding != BINDING_LOAD)
                inputs[n++] = tn_tensor_of(d->inputs[i].dtype, d->inputs[i].data, d->inputs[i].rank, d->inputs[i].dims);
        status = tn_exec_run(exec, inputs, n, outputs, d->n_outputs);
        if (status != TN_OK && tn_exec_error(exec))
            *diag = *tn_exec_error(exec);
        run_data_free_outputs(d);
        if (status == TN_OK || status == TN_ERR_INDEX || status == TN_ERR_ASSERT) {
            tn_status taken = take_outputs(d, exec, diag);
            status = status == TN_OK ? taken : status;
        }
    }
    tn_free(inputs);
    tn_free(outputs);
    return status;
}

tn_status run_data_interpret(run_data *d, bool magnitudes, tn_diag *diag)
{
    eval_options options = {.magnitudes = magnitudes};
    run_data_free_outputs(d);
    return eval_graph(d->main, d->inputs, d->outputs, &options, diag);
}
