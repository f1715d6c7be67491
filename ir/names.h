/* What values are called in the text form, and which value somebody means.
 *
 * A value goes by its name where that is its alone, else by a number (%12), as tn_module_print writes it.
 */
#ifndef TN_IR_NAMES_H
#define TN_IR_NAMES_H

#include "ir/near.h"
#include "ir/text.h"

#define VALUE_NAMED UINT32_MAX

/* The number of each value of g, VALUE_NAMED for those that go by their names; from tn_malloc, NULL: no memory. */
uint32_t *graph_number_values(const tn_graph *g);

/* The name that v was given: a parameter's, or its own. NULL or empty: none. */
const char *value_given_name(const tn_graph *g, value_id v);

/* %x, %12, %"odd name", by the numbers of graph_number_values. */
void text_value(text_buffer *b, const tn_graph *g, const uint32_t *numbers, value_id v);

/* One value of a module. */
typedef struct value_place {
    const tn_graph *graph;
    value_id value;
} value_place;

/* The values of m that `text` means, functions in the order of the module, `first` (or NULL) before all others:
 *   x, %x, %"odd name"   what has this name, or is the result of a function that has it
 *   12, %12              the value of that number in the text form; of `first` alone (NULL: of main)
 *   @f:x                 likewise, in the function f alone
 * A number without % is looked up as a name first. Fills up to `capacity` places and returns how many there are; 0
 * too when there is no memory. */
size_t module_find_values(const tn_module *m, const tn_graph *first, const char *text, value_place *found,
                          size_t capacity);

/* Offers the names of all values and results of m. */
void module_offer_values(const tn_module *m, near_names *near);

/* ": did you mean a, b or c?" of names of values that are like `text`, or "" when none is. Returns out. */
const char *module_near_values(const tn_module *m, const char *text, char *out, size_t bytes);

#endif
