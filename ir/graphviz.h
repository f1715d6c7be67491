/* Modules as drawings: the language of Graphviz (https://graphviz.org/doc/info/lang.html). */
#ifndef TN_IR_GRAPHVIZ_H
#define TN_IR_GRAPHVIZ_H

#include "ir/graph.h"

/* The module as a directed graph, to be freed with tn_text_free; NULL: no memory. */
char *module_graphviz(const tn_module *m);

#endif
