/* Making what fails smaller while it keeps failing: delta debugging.
 *
 * in:  a subject (a module, an ONNX model) that fails, and a test that says whether another one does
 * out: the smallest that the steps came to and that still fails
 * law: each subject that is kept has failed, and is smaller than the one before; what is tried depends on the subject
 *      and the test's answers alone, and nothing is tried twice
 *
 * A kind of subject is a table of steps, each one idea of what to leave out. The engine knows nothing of subjects: a
 * step counts the items that it could leave out, and takes a range of them out of a copy.
 *
 * Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE Transactions on Software
 * Engineering 28 (2002); steps by structure as C-Reduce has them.
 */
#ifndef TN_COMPILER_SHRINK_H
#define TN_COMPILER_SHRINK_H

#include "ir/graph.h"

/* Compared field by field, the first first. */
typedef struct shrink_size {
    size_t nodes;    /* of all functions; parameters are none */
    size_t bytes;    /* of constants and weights that are data */
    size_t ends;     /* inputs and outputs */
    double elements; /* of all values, sizes that are not known counting as large ones */
} shrink_size;

typedef enum shrink_search {
    SHRINK_CHUNKS, /* items [first, first + n) are left out: all, halves, quarters, ... one by one */
    SHRINK_PREFIX, /* all from `first` on are: the shortest that fails is looked for by halving */
} shrink_search;

typedef struct shrink_step {
    const char *name, *doc;
    shrink_search search;
    size_t (*count)(const void *subject);
    /* Changes the subject, a copy. False: nothing is to be done there, or it cannot be. */
    bool (*edit)(void *subject, size_t first, size_t n);
} shrink_step;

typedef struct shrink_kind {
    const shrink_step *steps;
    size_t n_steps;
    void *(*copy)(void *subject); /* NULL: no memory */
    void (*release)(void *subject);
    void (*measure)(const void *subject, shrink_size *size);
    uint64_t (*hash)(const void *subject); /* of all that a test could depend on */
} shrink_kind;

typedef struct shrink_test {
    bool (*fails)(void *ctx, void *subject);
    /* Told of each subject that is kept, and (kept NULL) of each try; may be NULL. False ends the reduction. */
    bool (*tell)(void *ctx, const void *kept, const char *step, const shrink_size *size, size_t tries);
    void *ctx;
    size_t most_tries; /* 0: no limit */
} shrink_test;

/* Takes over `subject`, which is known to fail, and returns what became of it; the caller releases that. *tries (or
 * NULL) gets how many were tested. Out of memory ends it early, with what there is. */
void *shrink(const shrink_kind *kind, void *subject, const shrink_test *test, size_t *tries);

/* ---- Modules (shrink_module.c, shrink_steps.c) ---- */

/* Subjects are tn_module, main is what is reduced, and what it calls. Values that are cut off become inputs. */
shrink_kind shrink_modules(void);
extern const shrink_step shrink_module_steps[];
extern const size_t n_shrink_module_steps;

/* What is done with a value of a function that is built anew. */
typedef enum value_edit {
    VALUE_KEPT,
    VALUE_INPUT,    /* it becomes a parameter (of main alone) */
    VALUE_REPLACED, /* by another one of its type, which stands before it */
    VALUE_ZERO,     /* by zeros */
    VALUE_INLINED,  /* first result of a control op: what it does once (the branch `then`, one round) is in its place */
} value_edit;

/* All zero: nothing but what is dead goes. */
typedef struct graph_edit {
    const uint8_t *what;     /* value_edit of each value; NULL: all are kept */
    const value_id *instead; /* of each value that is replaced */
    const value_id *results; /* values that are returned; NULL: those that are, but for those that drop[] names */
    size_t n_results;
    const bool *drops;       /* of each result: it goes; NULL: none does */
    bool without_bounds;     /* what is stated of symbols goes */
    const tn_dim *from, *to; /* symbols, or constants, and what is put in their place in types and attributes */
    int n_dims;
    const tensor_data *const *data; /* of each value that is a constant: its new content; NULL: that it has. Of
                                     * parameters: their initial content, NULL: none */
} graph_edit;

/* Builds g anew as `edit` says, without dead nodes, and main without parameters that nothing reads. False: it cannot be
 * (types do not fit, no result is left, there is no memory), and its module is good for nothing. */
bool shrink_rebuild(tn_graph *g, const graph_edit *edit);

/* Sizes to take for the symbols of g, small ones that fulfil its constraints where there are such; in the order of its
 * symbols, to be freed with tn_free. NULL: no memory. */
int64_t *shrink_sizes(const tn_graph *g);

/* Nodes that are no parameters, of main and what it calls. */
size_t module_count_nodes(const tn_module *m);

#endif
