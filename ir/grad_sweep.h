/* Reverse mode within one function (grad_sweep.c), and what control flow needs of it (grad_control.c, grad.c). */
#ifndef TN_IR_GRAD_SWEEP_H
#define TN_IR_GRAD_SWEEP_H

#include "ir/dtype.h"
#include "ir/grad.h"

/* Gradients are those of floats. */
static inline bool grad_is_float(const tn_graph *g, value_id v) {
    return dtype_is_float((tn_dtype)graph_type(g, v)->dtype);
}

/* A list of numbers, in the module's memory. */
typedef struct numbers {
    uint32_t *items;
    uint32_t n;
} numbers;

/* How to go back through a control op. It was replaced by one that also gives what its backward function needs, behind
 * the results it had. The backward function takes, in this order, what is listed here. */
typedef struct control_record {
    struct control_record *next;
    size_t node;         /* of the replacement, in the function being built */
    tn_graph *backward;  /* the function, body or first branch that goes back */
    tn_graph *otherwise; /* if: the second branch that does */
    uint32_t n_results;  /* that the op had before */
    numbers
        carried; /* scan: results whose cotangents are carried, to become those of the operands with the same numbers */
    numbers fixed;    /* scan: operands that are carried unchanged */
    numbers operands; /* (scan: sequences) */
    numbers given;    /* call: results that are given as they are */
    /* here: the results behind n_results */
    numbers results; /* whose cotangents are given (scan: as sequences) */
    numbers gives;   /* operands whose cotangents come out, behind those of `carried` and `fixed` */
} control_record;

/* A function under construction: forward nodes first, then those of the sweep. */
typedef struct tape {
    tn_graph *g;
    size_t n_forward; /* of its nodes, with the decompositions that a sweep has put beside composites; set by it */
    control_record *controls;
} tape;

/* Where a gradient comes from: a value and its cotangent. */
typedef struct seed {
    value_id value, cotangent;
} seed;

/* Appends the cotangents of the values `wrt` to the function: those of the seeds' values carried back through its
 * nodes. gradients[i] is that of wrt[i], VALUE_NONE where it is zero. False: the diagnostic is in the module. */
bool grad_sweep(tape *t, const seed *seeds, size_t n_seeds, const value_id *wrt, size_t n_wrt, value_id *gradients);

/* Values of g that depend on the marked parameters through floats, and those that the marked results depend on; a
 * byte each, to be freed. NULL: no memory (recorded). */
uint8_t *grad_find_varied(const tn_graph *g, const bool *params);
uint8_t *grad_find_useful(const tn_graph *g, const bool *results);

/* What the cotangents of results are. */
typedef enum seeding { SEED_PARAMETERS, SEED_ONES } seeding;

/* grad.c: f copied, with the cotangent of each marked float result, as a parameter behind its own or as ones, and the
 * gradients of the marked parameters; `primals` are f's results in it. */
typedef struct joint {
    tn_graph *g;
    size_t n_there;    /* how many nodes of it were there before the sweep */
    size_t n_forward;  /* and with decompositions of composites, which stand behind them; the way back begins here */
    value_id *primals; /* f's results; in the module's memory, as are all arrays here */
    size_t n_primals;
    value_id *cotangents; /* of the marked results, in order */
    size_t n_cotangents;
    value_id *gradients; /* of the marked parameters, in order; zero ones are zeros */
    size_t n_gradients;
} joint;
bool grad_joint(const tn_graph *f, const bool *params, const bool *results, seeding how, joint *j);

/* grad_checkpoints.c: the way there in segments of nodes, and what is kept of all but the last one for the way back. */
typedef struct checkpoints {
    uint32_t *segment, n_segments; /* of each node of the way there, decompositions too */
    uint8_t *is_kept;              /* what later segments read, and what cannot be done twice */
} checkpoints;
bool grad_place_checkpoints(const joint *j, checkpoints *c); /* false: no memory; to be freed in any case */
void grad_checkpoints_free(checkpoints *c);

/* grad_remat.c: replaces the joint's function by one whose way back makes anew what is not kept. */
bool grad_remake_joint(joint *j);

/* grad_control.c: appends control node n of `from` to the tape's function as one that can be gone back through;
 * `params` tells of each operand, `results` of each result whether its gradient is wanted. */
bool grad_record_control(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                         value_id *map);
/* grad_while.c: the same loop as a scan of so many steps. False: the number is not known (recorded). */
typedef struct bounded_while {
    tn_graph *step; /* maps what is carried as one round does, or leaves it when there is none any more */
    tn_dim rounds;
} bounded_while;
bool grad_bound_while(const tn_graph *g, const node *n, bounded_while *w);

#endif
