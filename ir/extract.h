/* Parts of functions as functions, and functions as parts of others (extract.c). */
#ifndef TN_IR_EXTRACT_H
#define TN_IR_EXTRACT_H

#include "ir/graph.h"

typedef struct extraction {
    const char *name;
    const value_id *given; /* become parameters, in this order; each at most once */
    size_t n_given;
    const value_id *asked; /* become results, in this order */
    size_t n_asked;
    const tn_type *given_types;     /* for entries of `given` that are VALUE_NONE: parameters that nothing reads */
    const tn_type *asked_types;     /* for entries of `asked` that are VALUE_NONE: zeros */
    const char *const *asked_names; /* NULL: made up */
    bool effects;                   /* nodes with an effect of their own come along */
} extraction;

/* A new function of the same module that computes what is asked for from what is given. What is given is not computed.
 * NULL: the diagnostic is in the module. */
tn_graph *graph_extract(const tn_graph *from, const extraction *x);

/* Appends all nodes of `from` but its parameters, for which map[] has values of `to`; enters the others. Both are
 * functions of one module, with the same symbols. */
bool graph_inline(tn_graph *to, const tn_graph *from, value_id *map);

/* Parameter number `index` of `from` as one more of `to`, with its initial data; a state becomes an input.
 * VALUE_NONE after an error. */
value_id graph_copy_input(tn_graph *to, const tn_graph *from, size_t index);

/* Symbols of `to` that `from` has too get the bounds they have there. */
void graph_copy_bounds(tn_graph *to, const tn_graph *from);

#endif
