/* The loop classes: each turns a fused function into a tuned loop tree.
 *
 * lower.c asks the classes in the order of its table; the first that takes the function
 * lowers it, and `map` takes everything that can be computed element by element.
 */
#ifndef TN_LOOPS_CLASSES_H
#define TN_LOOPS_CLASSES_H

#include "compiler/loops/access.h"

/* True when the class has a form for this function. */
typedef bool class_takes(const tn_graph *fused);
/* The kernel, or NULL with a diagnostic in the module. */
typedef lt_kernel *class_lower(tn_graph *fused, const machine *m);

class_takes map_takes, reduce_takes, cumulate_takes, contract_takes, attention_takes, conv_takes, bottleneck_takes,
    winograd_takes, winograd_kernel_takes, conv_weights_takes, window_takes, index_takes, sort_takes;
class_lower map_lower, reduce_lower, cumulate_lower, contract_lower, attention_lower, conv_lower, bottleneck_lower,
    winograd_lower, winograd_kernel_lower, conv_weights_lower, window_lower, index_lower, sort_lower;

/* The only node of that op, or NULL when there is none or more than one. */
const node *lower_single(const tn_graph *fused, tn_op op);
bool lower_has_class(const tn_graph *fused, loop_class c);

/* Computed element by element, from its operands at one index each. */
bool lower_is_element(const node *n);
/* One or two instructions. */
bool lower_is_light(tn_op op);
/* There are results, all of that type's shape as they are stored (access_stored). */
bool lower_has_results_like(const tn_graph *fused, const tn_type *type);

/* The only dot, conv or window of a function whose other members are computed element by element from
 * its result, all results of that shape; NULL: the function is not like that. */
const node *lower_anchor(const tn_graph *fused, tn_op op);
/* Stores all results at `index` of the anchor's result v, given its sum there. */
void lower_store_anchor(access *a, value_id v, const tn_dim *index, lt_value sum);

/* Lanes that suit all dtypes of the function: of its widest one. */
uint32_t lower_lanes(const tn_graph *fused, const machine *m);
/* The same, no more than a known extent needs. */
uint32_t lower_lanes_for(const tn_graph *fused, const machine *m, tn_dim extent);

/* Vector loops that cover [begin, end) with `body`. A static length is covered by whole vectors, of
 * which the last two may overlap: elements may be done twice. */
typedef void lower_body(void *ctx, tn_dim at);
void lower_run(access *a, tn_dim begin, tn_dim end, lower_body *body, void *ctx);

/* What the loads and stores of the kernel's vector loops cost that are neither contiguous nor
 * uniform: 1 for each with a stride, 2 for each other. */
uint32_t lower_scattered(const lt_kernel *k);

/* lt_note on a kernel (or NULL) that is lowered already; returns it. */
lt_kernel *lower_noted(lt_kernel *k, const machine *m, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
