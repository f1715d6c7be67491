/* Blas: products of matrices become calls of a BLAS library, when that is asked for.
 *
 * in:  functions of primitives
 * out: each `dot` of f32 or f64 whose operands BLAS can read as they lie is an op `custom` named
 *      blas.<dtype>.<a><b>, with n (as it lies) or t (transposed) for each operand, on operands of rank 3:
 *      c[i] = a[i] b[i] for each of c's matrices. Other dots stay as they are
 * law: the same product to rounding, outside the promises on bits, allocation and exit
 *      (compiler/blas.c has the other side of the call)
 *
 * Batch axes must come first and contracted ones lie together, in the same order on both sides: then
 * an operand is [batch, rows, columns] or its transpose without moving anything. What `prepare` does runs
 * once and keeps Tenon's own products.
 */
#include "compiler/passes/passes.h"
#include "ir/build.h"

#include <string.h>

typedef struct matrix_form {
    bool is_transposed; /* [batch, contracted, free] of the first operand, [batch, free, contracted] of the second */
    tn_dim dims[3];     /* as it lies */
} matrix_form;

/* Contracted axes of one side, in the order of the other's, are neighbours behind the batch or at the end. */
static bool read_operand(const tn_graph *g, const node *dot, int side, matrix_form *form) {
    const attr *batch = attr_find(&dot->attrs, ATTR_batch), *contract = attr_find(&dot->attrs, ATTR_contract);
    const tn_type *type = graph_type(g, dot->operands[side]);
    int64_t n_batch = batch ? batch->split : 0, n = contract ? contract->split : 0;
    for (int64_t i = 0; i < n_batch; i++)
        if (batch->ints.items[side * n_batch + i] != i) return false;
    int64_t first = n ? contract->ints.items[side * n] : type->rank;
    for (int64_t i = 0; i < n; i++)
        if (contract->ints.items[side * n + i] != first + i) return false;
    bool is_last = first + n == type->rank;
    if (!is_last && first != n_batch) return false;
    int64_t middle = is_last ? first : first + n;
    dim_table *t = g->module->dims;
    form->dims[0] = dim_product(t, type->dims, (int)n_batch);
    form->dims[1] = dim_product(t, type->dims + n_batch, (int)(middle - n_batch));
    form->dims[2] = dim_product(t, type->dims + middle, (int)(type->rank - middle));
    form->is_transposed = is_last == (side == 1);
    return true;
}

static bool suits_blas(const tn_graph *g, const node *n, matrix_form *forms) {
    if (n->op != TN_OP_dot) return false;
    tn_dtype dtype = (tn_dtype)graph_type(g, n->operands[0])->dtype;
    if ((dtype != TN_F32 && dtype != TN_F64) || attr_int(&n->attrs, ATTR_acc, dtype) != (int64_t)dtype) return false;
    return read_operand(g, n, 0, &forms[0]) && read_operand(g, n, 1, &forms[1]);
}

static bool runs_each_time(const tn_graph *g) { return !g->is_kernel && strcmp(g->name, "prepare") != 0; }

static bool call_blas(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    (void)ctx;
    matrix_form forms[2];
    build b;
    if (!runs_each_time(from) || !suits_blas(from, n, forms)) return graph_copy_node(to, from, n, map);
    tn_val operands[2] = {{to, map[n->operands[0]]}, {to, map[n->operands[1]]}};
    if (!build_open(&b, TN_HERE, "blas", to, operands, 2)) return false;
    for (int i = 0; i < 2; i++) operands[i] = build_reshape(&b, operands[i], 3, forms[i].dims);
    const tn_type *result = graph_type(from, n->first_result);
    char *name = arena_printf(&to->module->memory, "blas.%s.%c%c", tn_dtype_name((tn_dtype)result->dtype),
                              forms[0].is_transposed ? 't' : 'n', forms[1].is_transposed ? 't' : 'n');
    if (!name) return module_error(to->module, TN_ERR_MEMORY, n->locations, "out of memory");
    tn_dim dims[3] = {forms[0].dims[0], forms[0].dims[forms[0].is_transposed ? 2 : 1],
                      forms[1].dims[forms[1].is_transposed ? 1 : 2]};
    attr attrs[] = {build_text(ATTR_name, name), build_int(ATTR_dtype, result->dtype),
                    build_dim_list(ATTR_shape, dims, 3)};
    tn_val product = build_apply(&b, TN_OP_custom, operands, 2, attrs, 3);
    product = build_reshape(&b, product, result->rank, result->dims);
    map[n->first_result] = product.id;
    return tn_is_valid(product);
}

bool pass_blas(tn_module *m, const pass_options *o) {
    return !o->calls_blas || module_rebuild(m, true, call_blas, NULL);
}
