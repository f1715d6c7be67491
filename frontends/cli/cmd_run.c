/* tenon run: a model on inputs, compiled or interpreted or both. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/npy.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct run {
    const arguments *a;
    const char *path;
    tn_module *module;
    tn_program *program;
    tn_exec *exec;
    tn_pool *pool;
    tn_profile *profile;
    run_data data;
    double compile_ms, run_ms;
} run;

/* ---- Output ---- */

static bool is_float(tn_dtype d) { return d == TN_F16 || d == TN_BF16 || d == TN_F32 || d == TN_F64; }

static double element(const eval_tensor *t, int64_t i) { return is_float(t->dtype) ? eval_load_float(t, i) : (double)eval_load_int(t, i); }

static void summarise(const char *name, const eval_tensor *t)
{
    char type[200];
    tn_tensor shape = tn_tensor_of(t->dtype, NULL, t->rank, t->dims);
    double least = INFINITY, greatest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double x = element(t, i);
        least = x < least ? x : least;
        greatest = x > greatest ? x : greatest;
        sum += x;
    }
    printf("%s: %s", name, tn_tensor_text(&shape, type, sizeof type));
    if (t->n > 0)
        printf(" min %.6g mean %.6g max %.6g first", least, sum / (double)t->n, greatest);
    for (int64_t i = 0; i < t->n && i < 8; i++)
        printf(" %.6g", element(t, i));
    printf("%s\n", t->n > 8 ? " ..." : "");
}

static int write_outputs(const run *r)
{
    const char *folder = TEXT_OF(r->a, output_dir);
    if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST) {
        tn_diag diag = {.status = TN_ERR_IO};
        snprintf(diag.message, sizeof diag.message, "the folder cannot be made: %s", strerror(errno));
        return report(folder, &diag);
    }
    for (int i = 0; i < r->data.n_outputs; i++) {
        const eval_tensor *t = &r->data.outputs[i];
        const char *name = r->data.main->results[i].name;
        if (!folder) {
            if (!GIVEN(r->a, json))
                summarise(name, t);
            continue;
        }
        char file[512], path[1024];
        tn_diag diag = {0};
        file_name(name, file, sizeof file);
        snprintf(path, sizeof path, "%s/%s.npy", folder, file);
        if (npy_write(path, t->dtype, t->rank, t->dims, t->data, &diag) != TN_OK)
            return report(path, &diag);
    }
    return EXIT_DONE;
}

static void write_json(const run *r)
{
    json_t *outputs = json_array();
    for (int i = 0; i < r->data.n_outputs; i++) {
        const eval_tensor *t = &r->data.outputs[i];
        json_t *shape = json_array();
        for (int k = 0; k < t->rank; k++)
            json_array_append_new(shape, json_integer(t->dims[k]));
        json_array_append_new(outputs, json_pack("{s:s, s:s, s:o}", "name", r->data.main->results[i].name, "dtype", tn_dtype_name(t->dtype),
                                                 "shape", shape));
    }
    json_t *all = json_pack("{s:o, s:f, s:f, s:I, s:i}", "outputs", outputs, "compile_ms", r->compile_ms, "run_ms", r->run_ms, "arena_bytes",
                            (json_int_t)(r->exec ? tn_exec_arena_bytes(r->exec) : 0), "kernels", r->program ? tn_program_n_kernels(r->program) : 0);
    json_dumpf(all, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(all);
}

static void print_profile(const run *r)
{
    for (int i = 0; i < tn_program_n_kernels(r->program); i++) {
        const tn_kernel_info *k = tn_program_kernel(r->program, i);
        fprintf(stderr, "%10.3f ms  %-8s %-10s %s\n", (double)tn_profile_ns(r->profile, i) * 1e-6, k->name, k->class_name, k->locations);
    }
}

/* ---- Checking against the interpreter ---- */

/* Roundings in a row that a compiled result may differ by, in units of the dtype's roundoff times
 * the sum of absolute terms. */
static const double CHECK_SCALED = 1e-5;

static int compare_outputs(const run *r, const run_data *reference)
{
    int status = EXIT_DONE;
    for (int i = 0; i < reference->n_outputs; i++) {
        const eval_tensor *got = &r->data.outputs[i], *want = &reference->outputs[i];
        double worst = 0, scaled = 0;
        bool same_specials = true;
        for (int64_t k = 0; k < want->n; k++) {
            double x = element(got, k), y = element(want, k), difference = fabs(x - y);
            if (isnan(x) != isnan(y) || (isinf(y) && x != y))
                same_specials = false;
            if (isnan(difference))
                continue;
            double scale = want->magnitude ? want->magnitude[k] : fabs(y);
            worst = difference > worst ? difference : worst;
            if (difference > 0 && difference / fmax(scale, 1e-30) > scaled)
                scaled = difference / fmax(scale, 1e-30);
        }
        bool ok = same_specials && (is_float(want->dtype) ? scaled <= CHECK_SCALED * (want->dtype == TN_F16 || want->dtype == TN_BF16 ? 1e3 : 1) : worst == 0);
        printf("%s: largest difference %.3g, %.3g of the sum of absolute terms%s\n", reference->main->results[i].name, worst, scaled,
               ok ? "" : "  TOO LARGE");
        if (!ok)
            status = EXIT_INPUT;
    }
    return status;
}

/* ---- The command ---- */

static int start(run *r)
{
    tn_compile_options options;
    model_compile_options(r->a, &options);
    r->program = model_compile(r->module, r->path, &options, &r->compile_ms);
    if (!r->program)
        return EXIT_INPUT;
    r->pool = tn_pool_new((int)NUMBER_OF(r->a, threads, 0));
    if (GIVEN(r->a, profile))
        r->profile = tn_profile_new(r->program);
    r->exec = tn_exec_new(r->program, &(tn_exec_options){.pool = r->pool, .profile = r->profile});
    if (r->exec && r->pool)
        return EXIT_DONE;
    tn_diag diag = {.status = TN_ERR_ARGUMENT, .message = "no exec: out of memory, or --threads is out of range"};
    return report(r->path, &diag);
}

static int execute(run *r)
{
    tn_diag diag = {0};
    double begin = clock_ms();
    tn_status status = run_data_execute(&r->data, r->exec, &diag);
    r->run_ms = clock_ms() - begin;
    return status == TN_OK ? EXIT_DONE : report(r->path, &diag);
}

static int interpret(run *r, run_data *d)
{
    tn_diag diag = {0};
    double begin = clock_ms();
    tn_status status = run_data_interpret(d, GIVEN(r->a, check), &diag);
    if (!GIVEN(r->a, check))
        r->run_ms = clock_ms() - begin;
    return status == TN_OK ? EXIT_DONE : report(r->path, &diag);
}

static int run_checked(run *r)
{
    run_data reference = r->data;
    reference.outputs = tn_calloc((size_t)r->data.n_outputs + 1, sizeof *reference.outputs);
    int status = reference.outputs ? interpret(r, &reference) : EXIT_INPUT;
    if (!status)
        status = compare_outputs(r, &reference);
    run_data_free_outputs(&reference);
    tn_free(reference.outputs);
    return status;
}

int command_run(const arguments *a)
{
    run r = {.a = a, .path = a->operands[0]};
    int status = EXIT_INPUT;
    r.module = model_load(r.path);
    if (r.module && (status = run_data_load(&r.data, r.module, a, false)) == EXIT_DONE) {
        if (!GIVEN(a, eval))
            status = start(&r);
        if (!status)
            status = GIVEN(a, eval) ? interpret(&r, &r.data) : execute(&r);
        if (!status)
            status = write_outputs(&r);
        if (!status && GIVEN(a, json))
            write_json(&r);
        if (!status && r.profile)
            print_profile(&r);
        if (!status && GIVEN(a, check) && !GIVEN(a, eval))
            status = run_checked(&r);
    }
    tn_exec_free(r.exec);
    tn_profile_free(r.profile);
    tn_program_free(r.program);
    tn_pool_free(r.pool);
    run_data_free(&r.data);
    tn_module_free(r.module);
    return status;
}
