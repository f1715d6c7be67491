/* A model and its data, as the commands work with them. */
#ifndef TN_CLI_MODEL_H
#define TN_CLI_MODEL_H

#include "frontends/cli/options.h"
#include "frontends/cli/run_trace.h"
#include "ir/eval.h"
#include "tenon.h"
#include "tenon_onnx.h"

/* Prints "file:place: error: message"; returns EXIT_INPUT. */
int report(const char *file, const tn_diag *diag);

/* Loads .onnx or .tn by the file's name. NULL: the error is on stderr. */
tn_module *model_load(const char *path);
/* With options for an ONNX model. */
tn_module *model_load_with(const char *path, const tn_onnx_options *options);

/* The options that concern compilation. */
void model_compile_options(const arguments *a, tn_compile_options *options);

/* Compiles; *milliseconds gets the time. NULL: the error is on stderr. */
tn_program *model_compile(tn_module *m, const char *path, const tn_compile_options *options, double *milliseconds);

/* What inputs that are not given are filled with. */
typedef enum filling {
    FILL_NOTED, /* random values, said so on stderr */
    FILL_QUIET, /* random values */
    FILL_NONE,  /* nothing: their sizes alone count */
} filling;

/* Tensors of a run. Weights with values in the model have no data here. In a model with a function `prepare`
 * (a dump of a late stage) the weights that users know are its parameters, and main's are what it makes of them. */
typedef struct run_data {
    tn_graph *main, *prepare; /* prepare may be NULL */
    eval_tensor *inputs;      /* one for each parameter of main */
    bool *is_given;           /* those that are files, likewise */
    eval_tensor *raw;         /* one for each parameter of prepare */
    int n_inputs, n_raw;
    eval_tensor *outputs;
    int n_outputs;
    int64_t *symbols; /* their values, as far as they are known before a run */
} run_data;

/* Inputs from files and random values, as the options say; sizes from files, --set, else the least that is
 * allowed. EXIT_DONE, or another status with the error on stderr. */
int run_data_load(run_data *d, tn_module *m, const arguments *a, filling how);
void run_data_free(run_data *d);

/* Parameter i, from 0 to n_inputs + n_raw - 1, of both functions as one list; NULL: prepare makes it. */
const param *run_data_param(const run_data *d, int i);
eval_tensor *run_data_tensor(const run_data *d, int i);
bool run_data_is_weight(const run_data *d, int i);

/* Items NAME=VALUE of options (names may hold a '=', too): the number of the name, one of n, *value what stands behind it;
 * -1: there is no such. And the complaint about that, which tells the names there are and near ones. */
typedef const char *run_data_name(const run_data *d, int i); /* NULL: it has none */
int run_data_find(const run_data *d, const char *item, run_data_name *name, int n, const char **value);
int run_data_complain(const run_data *d, const char *path, const char *option, const char *item, const char *what,
                      run_data_name *name, int n);

/* The values of main's symbols, one for each, to be freed with tn_free; NULL: no memory. */
tn_symbol_value *run_data_symbols(const run_data *d);

/* Takes an item of --set apart: the symbol is its first *length bytes. EXIT_DONE, or EXIT_USAGE with the error on stderr. */
int parse_size(const arguments *a, const char *item, size_t *length, int64_t *value);

/* The tensors that a program takes, in its order: to be freed with tn_free; NULL: no memory. */
tn_tensor *run_data_tensors(const run_data *d, int *n);

/* Runs compiled code; outputs are new tensors. Returns the status, *diag on failure; TN_ERR_INDEX
 * and TN_ERR_ASSERT come with outputs. Inputs keep their values, also those that are state. */
tn_status run_data_execute(run_data *d, tn_exec *exec, tn_diag *diag);
tn_status run_data_interpret(run_data *d, bool magnitudes, tn_diag *diag);
/* The options are main's alone. */
tn_status run_data_interpret_with(run_data *d, const eval_options *options, tn_diag *diag);
/* The value of a dim of main; false: a symbol of it is not known before a run. */
bool run_data_size(const run_data *d, tn_dim dim, int64_t *value);
void run_data_free_outputs(run_data *d);

/* run_file.c: a tensor from a .npy, .pb or picture file, with the --image options. */
int read_input_file(const char *path, const arguments *a, eval_tensor *t);
/* A zeroed tensor, or with a copy of `data`; false: no memory. */
bool make_tensor(eval_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const void *data);
int report_text(const char *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a command works with, opened step by step as far as it needs. */
typedef struct session {
    const arguments *a;
    const char *path;
    tn_module *module;
    run_data data;
    tn_program *program;
    tn_pool *pool;
    tn_profile *profile; /* NULL without --profile */
    tn_exec *exec;
    tracing tracing;
    bool is_probe; /* it looks at another one's values: no report of its own, no checks */
    double load_ms, compile_ms;
} session;

/* Loads the model and its inputs. The caller calls session_close in any case. */
int session_load(session *s, const arguments *a, filling how);
/* Compiles it, or takes it from the cache (`uses_cache`, unless --cache says otherwise), and makes an exec with as many
 * threads as asked for, with symbols that no input tells set. */
int session_compile(session *s, bool uses_cache);
/* With --trace: runs from now on are traced, by a new exec. */
int session_trace_runs(session *s);
/* Of s->program: weights that were given as files, or are random because the model has no values for them. */
int session_set_weights(session *s);
void session_close(session *s);

/* The time of each kernel, in `runs` runs, to stderr. */
void session_print_profile(const session *s, int runs);

double clock_ms(void);

/* Whether `text` ends with `end`. */
bool ends_with(const char *text, const char *end);

/* name with every character but letters, digits, '.', '_', '-' as '_'. */
void file_name(const char *name, char *out, size_t bytes);

#endif
