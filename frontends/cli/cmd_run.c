/* tenon run: a model on inputs, compiled or interpreted or both. */
#include "frontends/cli/commands.h"
#include "frontends/cli/json.h"
#include "frontends/cli/model.h"
#include "frontends/cli/run_check.h"
#include "frontends/cli/run_nan.h"
#include "frontends/cli/run_watch.h"
#include "frontends/data/npy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct run {
    session s;
    double run_ms;
    json_t *watched, *statistics; /* with --json: of --watch and --stats */
    json_t *checks;               /* of --check and --expect with --json: one object for each output */
} run;

/* ---- Output ---- */

static void summarise(const char *name, const eval_tensor *t) {
    char type[200];
    tn_tensor shape = tn_tensor_of(t->dtype, NULL, t->rank, t->dims);
    double least = INFINITY, greatest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double x = eval_load_number(t, i);
        least = x < least || isnan(x) ? x : least;
        greatest = x > greatest || isnan(x) ? x : greatest;
        sum += x;
    }
    printf("%s: %s", name, tn_tensor_text(&shape, type, sizeof type));
    if (t->n > 0) printf(" min %.6g mean %.6g max %.6g first", least, sum / (double)t->n, greatest);
    for (int64_t i = 0; i < t->n && i < 8; i++) printf(" %.6g", eval_load_number(t, i));
    printf("%s\n", t->n > 8 ? " ..." : "");
}

/* The file of output i, DIR/NAME.npy; false when it is too long. */
static bool output_path(const run *r, const char *folder, int i, char *path, size_t bytes) {
    char file[512];
    file_name(r->s.data.main->results[i].name, file, sizeof file);
    return snprintf(path, bytes, "%s/%s.npy", folder, file) < (int)bytes;
}

/* Names may differ in characters that files don't have. */
static int check_paths(const run *r, const char *folder) {
    char path[1024], other[1024];
    for (int i = 0; i < r->s.data.n_outputs; i++)
        for (int k = 0; k <= i; k++)
            if (!output_path(r, folder, i, path, sizeof path))
                return report_text(folder, "the name of output %s is too long for a file",
                                   r->s.data.main->results[i].name);
            else if (k < i && output_path(r, folder, k, other, sizeof other) && strcmp(path, other) == 0)
                return report_text(path, "both output %s and output %s would be written here",
                                   r->s.data.main->results[k].name, r->s.data.main->results[i].name);
    return EXIT_DONE;
}

static int write_files(const run *r, const char *folder) {
    struct stat found;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return report_text(folder, "the folder cannot be made: %s", strerror(errno));
    if (stat(folder, &found) == 0 && !S_ISDIR(found.st_mode))
        return report_text(folder, "--output-dir: it is there already, and no folder");
    int status = check_paths(r, folder);
    for (int i = 0; !status && i < r->s.data.n_outputs; i++) {
        const eval_tensor *t = &r->s.data.outputs[i];
        char path[1024];
        tn_diag diag = {0};
        if (output_path(r, folder, i, path, sizeof path) &&
            npy_write(path, t->dtype, t->rank, t->dims, t->data, &diag) != TN_OK)
            status = report(path, &diag);
    }
    return status;
}

static int write_outputs(const run *r) {
    const char *folder = TEXT_OF(r->s.a, output_dir);
    if (folder) return write_files(r, folder);
    for (int i = 0; i < r->s.data.n_outputs && !GIVEN(r->s.a, json); i++)
        summarise(r->s.data.main->results[i].name, &r->s.data.outputs[i]);
    return EXIT_DONE;
}

static int write_json(const run *r) {
    json_t *outputs = json_array();
    for (int i = 0; i < r->s.data.n_outputs; i++) {
        const eval_tensor *t = &r->s.data.outputs[i];
        json_t *shape = json_array();
        for (int k = 0; k < t->rank; k++) json_array_append_new(shape, json_integer(t->dims[k]));
        json_array_append_new(outputs, json_pack("{s:s, s:s, s:o}", "name", r->s.data.main->results[i].name, "dtype",
                                                 tn_dtype_name(t->dtype), "shape", shape));
    }
    json_t *all = json_pack("{s:o, s:f, s:f, s:I, s:i}", "outputs", outputs, "compile_ms", r->s.compile_ms, "run_ms",
                            r->run_ms, "arena_bytes", (json_int_t)(r->s.exec ? tn_exec_arena_bytes(r->s.exec) : 0),
                            "kernels", r->s.program ? tn_program_n_kernels(r->s.program) : 0);
    if (r->checks) json_object_set(all, "check", r->checks);
    if (r->watched) json_object_set(all, "watch", r->watched);
    if (r->statistics) json_object_set(all, "stats", r->statistics);
    return print_json(all);
}

/* ---- The command ---- */

static int execute(run *r) {
    tn_diag diag = {0};
    double begin = clock_ms();
    tn_status status = run_data_execute(&r->s.data, r->s.exec, &diag);
    r->run_ms = clock_ms() - begin;
    return status == TN_OK ? EXIT_DONE : report(r->s.path, &diag);
}

static int interpret(run *r) {
    tn_diag diag = {0};
    double begin = clock_ms();
    tn_status status = GIVEN(r->s.a, nan_check) ? interpret_looking_for_nan(&r->s, &diag)
                                                : run_data_interpret(&r->s.data, false, &diag);
    r->run_ms = clock_ms() - begin;
    return status == TN_OK ? EXIT_DONE : report(r->s.path, &diag);
}

int command_run(const arguments *a) {
    run r = {0};
    bool checks = GIVEN(a, check);
    if (GIVEN(a, eval) && checks) return options_complain(a->command, "--eval and --check exclude each other");
    if ((checks || GIVEN(a, expect)) && GIVEN(a, json)) r.checks = json_array();
    if (GIVEN(a, watch) && GIVEN(a, json)) r.watched = json_array();
    if (GIVEN(a, stats) && GIVEN(a, json)) r.statistics = json_array();
    int status = session_load(&r.s, a, FILL_NOTED);
    if (!status) status = watch_values(&r.s, r.watched, r.statistics);
    if (!status && !GIVEN(a, eval)) status = session_compile(&r.s, true);
    if (!status && !GIVEN(a, eval)) status = session_trace_runs(&r.s);
    if (!status) status = GIVEN(a, eval) ? interpret(&r) : execute(&r);
    if (!status) status = write_outputs(&r);
    bool has_run = !status;
    if (!status && GIVEN(a, expect)) status = check_expected(&r.s, r.checks);
    if (!status && checks) status = check_interpreted(&r.s, r.checks);
    if (has_run && GIVEN(a, json) && write_json(&r) != EXIT_DONE) status = EXIT_INPUT;
    if (has_run) session_print_profile(&r.s, 1);
    if (tracing_write(&r.s.tracing) != EXIT_DONE) status = EXIT_INPUT;
    json_decref(r.checks);
    json_decref(r.watched);
    json_decref(r.statistics);
    session_close(&r.s);
    return status;
}
