/* What a program is known by in the cache.
 *
 * in:  a module without errors, options, the machine that code is made for
 * out: a key, and the module's data in an order that follows from what the key is made of
 * law: two compilations with one key make the same program, weights aside: whatever passes, code generation or
 *      messages read is in it. Not in it: values of weights (tn_weight), which only `prepare` reads at run time
 */
#ifndef TN_COMPILER_CACHE_KEY_H
#define TN_COMPILER_CACHE_KEY_H

#include "compiler/digest.h"
#include "ir/graph.h"
#include "tenon_compile.h"

/* A module's data by number: equal numbers stand for the same place in all modules of one key. */
typedef struct module_data {
    const tensor_data **constants; /* of constant nodes: their bytes are in the key */
    size_t n_constants, constants_capacity;
    const param **weights; /* parameters with initial values: name and type are in the key */
    size_t n_weights, weights_capacity;
} module_data;

void module_data_free(module_data *data);

/* `machine` as codegen_identity writes it. *data is filled as well, and to be freed also after a failure: false is out
 * of memory. */
bool cache_key(digest *key, module_data *data, const tn_module *m, const tn_compile_options *options,
               const char *machine);

#endif
