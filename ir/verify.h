/* What the two halves of the verifier share. */
#ifndef TN_IR_VERIFY_H
#define TN_IR_VERIFY_H

#include "ir/op.h"

typedef struct verifier {
    const tn_module *module;
    const tn_graph *graph; /* being checked */
    tn_diag *diag;
    tn_status status;
} verifier;

/* Records "PLACE: RULE: message" unless there is one already; always false. `n` is a node of the
 * graph, or NULL. */
bool verify_error(verifier *v, const node *n, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool verify_no_memory(verifier *v);

/* Applies the rules of all nodes again, in a module of its own (ir/verify_rules.c). The
 * structure has been found sound. */
bool verify_rules(verifier *v);

#endif
