/* Whether sizes are allowed, told before a run. Private to compiler/. */
#ifndef TN_COMPILER_PLANNED_H
#define TN_COMPILER_PLANNED_H

#include "compiler/stages.h"

/* `values` has one for each symbol of g. TN_ERR_CONSTRAINT, with a message, where they are out of bounds or break a
 * constraint; TN_ERR_ARGUMENT where one is missing. */
tn_status planned_check(const tn_graph *g, const tn_symbol_value *values, int n, tn_diag *diag);

#endif
