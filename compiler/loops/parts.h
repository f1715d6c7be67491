/* Parts of kernels that several of them have: a loop with all in it, made a function that LLVM compiles once.
 *
 * A convolution is one kernel with each epilogue that is fused into it, in forward and backward; but for that end they
 * are the same code. What plan_share.c cannot make one kernel has such loops in common.
 */
#ifndef TN_LOOPS_PARTS_H
#define TN_LOOPS_PARTS_H

#include "compiler/loops/plan.h"

/* A loop as a kernel of its own: one stage of one chunk that has it. Buffers are numbered in the order in which the
 * loop names them, and are given by the caller, whatever their role; variables 0 to n_variables - 1 are the caller's
 * too. */
typedef struct loop_part {
    lt_kernel *loops;
    uint32_t n_variables;
    const dim_range *ranges; /* of those */
} loop_part;

/* A loop of a kernel that is a part. */
typedef struct part_use {
    const lt_stmt *loop;
    uint32_t part;           /* its number */
    const uint32_t *buffers; /* of the kernel, for each of the part's */
    const tn_dim *variables; /* likewise */
    const tn_dim *extents;   /* likewise */
} part_use;

/* All lies in the module's arena. */
typedef struct loop_parts {
    loop_part *parts;
    size_t n_parts;
    part_use *uses; /* by address of the loop */
    size_t n_uses;
} loop_parts;

/* Of a plan whose kernels stay as they are from now on. False: out of memory. */
bool loop_parts_find(loop_parts *p, const program_plan *plan);

const part_use *loop_part_at(const loop_parts *p, const lt_stmt *loop); /* NULL: the loop is none */

/* ---- part_copy.c ---- */

/* Loops around a loop, and the stage; from the innermost. */
typedef struct loop_nest {
    const struct loop_nest *outer; /* NULL: the stage */
    tn_dim variable, begin, end;
} loop_nest;

/* The loop as a part, and the names that kernel k has for what the caller gives (but `part`). False: it is none since
 * it needs values from outside, records errors or stores past the caches; *out_of_memory is set when that is why. */
bool loop_part_copy(const lt_kernel *k, const loop_nest *nest, const lt_stmt *loop, loop_part *part, part_use *use,
                    bool *out_of_memory);

bool loop_part_equal(const loop_part *a, const loop_part *b);

#endif
