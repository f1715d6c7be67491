/* A model and its data, as the commands work with them. */
#ifndef TN_CLI_MODEL_H
#define TN_CLI_MODEL_H

#include "frontends/cli/options.h"
#include "ir/eval.h"
#include "tenon.h"

/* Prints "file:place: error: message"; returns EXIT_INPUT. */
int report(const char *file, const tn_diag *diag);

/* Loads .onnx or .tn by the file's name. NULL: the error is on stderr. */
tn_module *model_load(const char *path);

/* The options that concern compilation. */
void model_compile_options(const arguments *a, tn_compile_options *options);

/* Compiles; *milliseconds gets the time. NULL: the error is on stderr. */
tn_program *model_compile(tn_module *m, const char *path, const tn_compile_options *options, double *milliseconds);

/* Tensors of a run. Parameters that are weights have no data (they have their own). */
typedef struct run_data {
    tn_graph *main;
    eval_tensor *inputs; /* one for each parameter of main */
    int n_inputs;
    eval_tensor *outputs;
    int n_outputs;
} run_data;

/* Inputs from files and random values, as the options say; sizes from files, --set, else 1.
 * 0 or EXIT_INPUT with the error on stderr. `quiet`: doesn't tell which inputs are random. */
int run_data_load(run_data *d, tn_module *m, const arguments *a, bool quiet);
void run_data_free(run_data *d);

/* Runs compiled code; outputs are new tensors. Returns the status, *diag on failure; TN_ERR_INDEX
 * and TN_ERR_ASSERT come with outputs. */
tn_status run_data_execute(run_data *d, tn_exec *exec, tn_diag *diag);
tn_status run_data_interpret(run_data *d, bool magnitudes, tn_diag *diag);
void run_data_free_outputs(run_data *d);

double clock_ms(void);

/* name with every character but letters, digits, '.', '_', '-' as '_'. */
void file_name(const char *name, char *out, size_t bytes);

#endif
