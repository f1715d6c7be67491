/* The plan: which kernels there are, and where every value lives while a function runs.
 *
 * in:  a module after fuse: functions of calls (kernels and others), control ops, constants,
 *      reshape / barrier nodes, which are other names for their operands, and concats of what lies side by side
 * out: loop trees, equal ones once; for each function a place for every value, the bytes of
 *      arena it needs and of scratch its kernels need, as dims over its symbols
 * law: values that live at the same time never share bytes, except that a kernel may write
 *      its result over an operand that dies with it when every element is read before it is
 *      written (plan_arena.c)
 *
 * Plans are made bottom-up: a call is given a part of the caller's arena for as long as it
 * runs, `if` the larger of its branches'; what a loop carries is held twice and swapped, unless the body
 * returns it as it was: that stays where it is.
 */
#ifndef TN_LOOPS_PLAN_H
#define TN_LOOPS_PLAN_H

#include "compiler/loops/loops.h"
#include "ir/op.h"

enum { PLAN_ALIGNMENT = 64 };

typedef enum place_kind {
    PLACE_NONE,     /* tokens, and values nobody reads */
    PLACE_PARAM,    /* the buffer of parameter `index` */
    PLACE_RESULT,   /* `offset` bytes into the caller's buffer for result `index` */
    PLACE_ARENA,    /* `offset` bytes into the function's part of the arena */
    PLACE_CONSTANT, /* data of the node `index`, in the object */
} place_kind;

typedef struct place {
    place_kind kind;
    uint32_t index;
    tn_dim offset;
} place;

typedef struct function_plan {
    tn_graph *graph;
    uint32_t kernel;        /* of a fused function: number of its kernel, and nothing else below but scratch_bytes */
    const int64_t *numbers; /* likewise: values of its kernel's extents behind those of the function (plan_share.c) */
    uint32_t n_numbers;
    const char *const *notes; /* likewise: why its kernel is built as it is (lt_note) */
    uint32_t n_notes;
    const lt_site *sites; /* likewise, for each of the kernel's: where they are in this function */
    place *values;        /* one for each value */
    tn_dim *work_offset;  /* for each node: its call's own part of the arena, or the second copy
                          * of what a loop carries; DIM_INVALID: none */
    tn_dim *work_bytes;
    tn_dim *staged; /* for each result that updates a state with another state's old value: where it
                     * is kept while the states are written; DIM_INVALID: none */
    tn_dim arena_bytes, scratch_bytes;
    tn_dim live_bytes; /* what is in the arena at once, at most; DIM_INVALID: not known, sizes are symbolic */
    const uint32_t
        *lines; /* of each node, and behind them of its header, in the text that debuggers show; NULL: none */
} function_plan;

/* A kernel of the program: several fused functions may share one loop tree. */
typedef struct planned_kernel {
    lt_kernel *loops;
    tn_graph *fused;    /* the first that has it */
    uint32_t site_base; /* number of its first site in the program's table; of its own for each call */
} planned_kernel;

struct given_loops;

typedef struct program_plan {
    tn_module *module;
    const struct given_loops *given; /* loop trees that take the place of lowered ones (section.h); NULL: none */
    planned_kernel *kernels;
    size_t n_kernels, kernels_capacity;
    function_plan *functions; /* callees before callers */
    size_t n_functions, functions_capacity;
    uint32_t *function_index, *kernel_index; /* hash tables: number + 1, capacity a power of 2 */
    size_t function_index_capacity, kernel_index_capacity;
} program_plan;

/* Lowers all kernels that `entry` reaches and plans it and all it calls; may be called for
 * several entries (main, prepare) of one module. False: the diagnostic is in the module; the
 * plan is to be freed all the same. */
bool plan_entry(program_plan *p, tn_graph *entry, const machine *m);
void plan_free(program_plan *p);

const function_plan *plan_of(const program_plan *p, const tn_graph *g);             /* NULL: none */
const planned_kernel *plan_kernel_of(const program_plan *p, const tn_graph *fused); /* NULL: none */

/* Value whose buffer v shares by being another name for it: through reshapes, barriers, and loops that leave it. */
value_id plan_root(const tn_graph *g, value_id v);

/* Fills, for each root value, the index of the node that reads it last: n_nodes for results, SIZE_MAX for what nothing
 * reads. */
void plan_last_uses(const tn_graph *g, size_t *last);

/* How many values a loop carries (0: n is no loop), and whether its body returns number k of them as it was. */
uint32_t plan_carried(const node *n);
bool plan_is_invariant(const node *n, uint32_t k);

/* The attributes by which nodes name functions. */
enum { PLAN_CALLEES = 5 };
extern const attr_name plan_callees[PLAN_CALLEES];

/* An expression over a callee's symbols as one over the caller's, by the call's `symbols`. */
tn_dim plan_in_caller(const tn_graph *callee, const node *call, tn_dim d);

/* Bytes of a kernel's LT_TEMP or LT_SCRATCH buffers, over its extents; each buffer aligned so. */
tn_dim plan_buffer_bytes(const lt_kernel *k, lt_role role, int64_t alignment);

tn_dim plan_value_bytes(const tn_graph *g, value_id v);

/* ---- plan_print.c: where everything lives, to look at ---- */

/* The module's text with the places of its values in comments; large constants as tn_module_print has it. To be freed
 * with tn_text_free; NULL: no memory, or the file failed. */
char *plan_print(const program_plan *p, const char *data_path);

/* ---- plan_share.c: kernels that differ in numbers ---- */

/* Kernels of one structure become one, with the numbers in which they differ as extents, where code is as fast. The
 * last step of a plan: its kernels are no longer what their functions were lowered to. False: the diagnostic is in
 * the module. */
bool plan_share(program_plan *p);

/* ---- plan_join.c: concats ---- */

/* A value lies in the buffer of `whole`, that many bytes from its beginning; VALUE_NONE: nobody asks where. */
typedef struct plan_part {
    value_id whole;
    tn_dim offset;
} plan_part;

/* Fills parts[] for each value, by its root. */
void plan_join(const tn_graph *g, plan_part *parts);

/* ---- plan_arena.c, plan_static.c: lifetimes to offsets ---- */

/* A block wanted from node `from` to node `to`, both inclusive. */
typedef struct lifetime {
    tn_dim bytes;
    tn_dim live_bytes; /* of what is in it: less than `bytes` where it is an arena with gaps */
    size_t from, to;
    tn_dim offset; /* out */
} lifetime;

/* Fills the offsets; *top: the bytes needed in all; *live: what is in the blocks wanted at once, at most, below which
 * no plan comes (DIM_INVALID: sizes are symbolic). False: out of memory. */
bool plan_place(dim_table *t, lifetime *blocks, size_t n, tn_dim *top, tn_dim *live);
bool plan_place_static(dim_table *t, lifetime *blocks, size_t n, tn_dim *top, tn_dim *live);

#endif
