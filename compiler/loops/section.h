/* The `loops` section of a module's text: the loop trees of its kernels, in a dump after that stage.
 *
 * A text with such a section is compiled from its loop trees: each takes the place of what its function is
 * lowered to. It must be equal to that, unless they are trusted: loop trees access memory as they are told to.
 */
#ifndef TN_LOOPS_SECTION_H
#define TN_LOOPS_SECTION_H

#include "compiler/loops/plan.h"

typedef struct given_loops {
    lt_kernel **kernels; /* in the module's memory */
    size_t n;
    bool are_trusted;
} given_loops;

/* Reads the section of m; no kernels when there is none. False: the diagnostic is in m. */
bool given_loops_read(tn_module *m, given_loops *out);

/* What stands for the lowered kernel of that function: the one given, or itself.
 * NULL: the diagnostic is in the module. */
lt_kernel *given_loops_take(const given_loops *given, const tn_graph *fused, lt_kernel *lowered);

/* The section of a plan, with the loop tree of each fused function under its name; from tn_malloc, NULL: no memory. */
char *loops_section_print(const program_plan *p);
/* The same, behind so many lines of a text in which its loop trees get to know their lines (lt_print_lines). Of those
 * that are several functions' each has the lines of the first. */
char *loops_section_print_lines(const program_plan *p, uint32_t lines_before);

#endif
