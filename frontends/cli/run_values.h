/* Values of a model as users name them: --watch and --stats. */
#ifndef TN_CLI_RUN_VALUES_H
#define TN_CLI_RUN_VALUES_H

#include "frontends/cli/model.h"

/* A value of one of the module's functions. */
typedef struct wanted_value {
    const tn_graph *graph;
    value_id value;
    int64_t times; /* how often it has been seen */
} wanted_value;

typedef struct wanted_values {
    wanted_value *items; /* from tn_malloc */
    size_t n, capacity;
} wanted_values;

/* Adds those of `list`, with commas between: a name with or without %, a number as dumps show it, op:NAME for all results
 * of an op. `in_bodies`: of any function, else of main alone. EXIT_DONE, or EXIT_INPUT with the error on stderr. */
int wanted_by_list(wanted_values *w, const session *s, const char *list, bool in_bodies);

/* Adds all values of main that are inputs, weights, or computed: no constants, and no views. */
int wanted_all(wanted_values *w, const session *s);

/* "%h", "%12", "@body %12". Returns text. */
char *wanted_label(const tn_graph *g, value_id v, char *text, size_t bytes);
/* "mlp.c:14 mlp.c:15", or "". Returns text. */
char *wanted_places(const tn_graph *g, value_id v, char *text, size_t bytes);

#endif
