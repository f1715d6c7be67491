/* What changed from one module to another, for people to read.
 *
 * Nodes are matched by what they compute, not by their lines: a value that has another number, a function whose nodes
 * stand in another order are no change, and neither is a node that reads what took the place of a removed one.
 */
#ifndef TN_IR_DIFF_H
#define TN_IR_DIFF_H

#include "ir/text.h"

#define NODE_NONE UINT32_MAX

/* One function in both modules. Arrays are by node or value number; those of a function that is in one module alone
 * are NULL. */
typedef struct function_diff {
    const tn_graph *before, *after; /* NULL: there is no such */
    uint32_t *node_after;           /* of a node before: the same node after, NODE_NONE: it is removed */
    uint32_t *node_before;          /* of a node after: NODE_NONE: it is added */
    value_id *value_after;          /* of a value before: the same value, or what its readers read in its place */
    value_id *value_before;         /* of a value after: likewise */
    const tn_graph **moved_to;      /* of a removed node: the function of `after` that has it now; NULL: none */
    const tn_graph **moved_from;    /* of an added node: the function of `before` that had it */
} function_diff;

typedef struct module_diff {
    const tn_module *before, *after;
    function_diff *functions; /* those of `after` in order, then those that are removed */
    size_t n;
} module_diff;

/* Matches the functions by name and their nodes by structure. False: no memory (free it all the same). */
bool module_diff_make(module_diff *d, const tn_module *before, const tn_module *after);
void module_diff_free(module_diff *d);

/* Appends what changed under the headline `title: nodes before -> after, +ops -ops`; a headline alone where nothing
 * did. */
void text_module_diff(text_buffer *b, const module_diff *d, const char *title);

#endif
