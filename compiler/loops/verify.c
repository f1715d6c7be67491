/* The rules of loop trees.
 *
 * in:  a kernel
 * out: true, or false with the place and the rule in *diag
 * law: what passes can be emitted and evaluated; whether indices stay within their buffers is
 *      the evaluator's to check
 */
#include "compiler/loops/loops.h"
#include "compiler/loops/scalar.h"
#include "ir/dtype.h"
#include "ir/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_WIDTH = 256,
    MAX_DEPTH = 64,
    MAX_TILE_ROWS = 64,
    MAX_INNER_STEPS = 4096,
    MAX_TILE_COLUMNS = 1024,
    MAX_TRANSPOSED = 64, /* rows, columns: it is unrolled */
    MAX_UNROLLED_STEPS = 1024,
    MAX_LOCAL_ELEMENTS = 1 << 16
};

typedef struct checker {
    const lt_kernel *kernel;
    const dim_table *dims;
    tn_diag *diag;
    uint32_t stage;
    bool *is_defined;  /* values in scope */
    bool *is_bound;    /* variables in scope */
    bool *was_defined; /* defined anywhere: each once */
    bool *was_bound;
    const lt_stmt *vector; /* the vector loop around, or NULL */
    uint32_t depth;
} checker;

static bool fail(const checker *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(const checker *c, const char *format, ...) {
    if (!c->diag) return false;
    *c->diag = (tn_diag){.status = TN_ERR_VERIFY};
    char text[TN_DIAG_MESSAGE_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(c->diag->message, sizeof c->diag->message, "kernel %s, stage %u: %s", c->kernel->name, c->stage, text);
    return false;
}

/* ---- Dims and values ---- */

typedef struct leaf_check {
    const checker *c;
    bool extents_only;
    bool ok;
} leaf_check;

static bool visit_leaf(void *ctx, tn_dim leaf) {
    leaf_check *check = ctx;
    const checker *c = check->c;
    if (dim_kind_of(c->dims, leaf) == DIM_VARIABLE) {
        uint32_t number = dim_variable_number(c->dims, leaf);
        check->ok = !check->extents_only && number < c->kernel->n_variables && c->is_bound[number];
        if (!check->ok) fail(c, "$%u is not in scope", number);
        return check->ok;
    }
    check->ok = false;
    for (uint32_t i = 0; i < c->kernel->n_extents; i++) check->ok |= c->kernel->extents[i] == leaf;
    if (!check->ok) fail(c, "%s is no extent of the kernel", dim_symbol_name(c->dims, leaf));
    return check->ok;
}

static bool check_dim(const checker *c, tn_dim d, const char *what, bool extents_only) {
    if (d == DIM_INVALID) return fail(c, "%s is no dim", what);
    leaf_check check = {c, extents_only, true};
    dim_visit_leaves(c->dims, d, visit_leaf, &check);
    return check.ok;
}

static bool contains_counter(const checker *c, tn_dim d) {
    return c->vector && dim_contains(c->dims, d, c->vector->loop.variable);
}

static tn_dtype dtype_of(const checker *c, lt_value v) { return c->kernel->value_dtypes[v]; }

static bool check_value(const checker *c, lt_value v) {
    if (v >= c->kernel->n_values) return fail(c, "an operand is no value");
    return c->is_defined[v] || fail(c, "%%%u is not defined here", v);
}

static bool check_typed(const checker *c, lt_value v, tn_dtype dtype, const char *what) {
    if (!check_value(c, v)) return false;
    return dtype_of(c, v) == dtype ||
           fail(c, "%s %%%u is %s, not %s", what, v, tn_dtype_name(dtype_of(c, v)), tn_dtype_name(dtype));
}

static bool define(checker *c, lt_value v, tn_dtype dtype) {
    if (v >= c->kernel->n_values) return fail(c, "a result is no value");
    if (c->was_defined[v]) return fail(c, "%%%u is defined twice", v);
    if (dtype >= TN_DTYPE_COUNT || dtype_of(c, v) != dtype)
        return fail(c, "%%%u is %s, not %s", v, tn_dtype_name(dtype_of(c, v)), tn_dtype_name(dtype));
    return c->was_defined[v] = c->is_defined[v] = true;
}

static bool bind(checker *c, tn_dim variable) {
    if (variable == DIM_INVALID || dim_kind_of(c->dims, variable) != DIM_VARIABLE)
        return fail(c, "a counter is no variable");
    uint32_t number = dim_variable_number(c->dims, variable);
    if (number >= c->kernel->n_variables)
        return fail(c, "$%u is beyond the kernel's %u variables", number, c->kernel->n_variables);
    if (c->was_bound[number]) return fail(c, "$%u is bound twice", number);
    return c->was_bound[number] = c->is_bound[number] = true;
}

/* ---- Statements ---- */

/* `loop`: the loop whose body it is, or NULL. */
static bool check_block(checker *c, const lt_block *block, const lt_stmt *loop);

static bool check_op(checker *c, const lt_stmt *s) {
    tn_op op = s->op.op;
    if (op >= TN_OP_COUNT || op_table[op].loop_class != CLASS_MAP || op == TN_OP_rng_bits)
        return fail(c, "%s is not elementwise", op < TN_OP_COUNT ? op_table[op].name : "an op");
    if (s->op.n_operands > LT_MAX_OPERANDS || (int32_t)s->op.n_operands < op_table[op].min_operands ||
        (int32_t)s->op.n_operands > op_table[op].max_operands)
        return fail(c, "%s cannot take %u operands", op_table[op].name, s->op.n_operands);
    for (uint32_t i = 0; i < s->op.n_operands; i++)
        if (!check_value(c, s->op.operands[i])) return false;
    uint32_t first = op == TN_OP_select ? 1 : 0;
    tn_dtype dtype = dtype_of(c, s->op.operands[first]);
    if (op == TN_OP_select && !check_typed(c, s->op.operands[0], TN_BOOL, "the condition")) return false;
    for (uint32_t i = first + 1; i < s->op.n_operands; i++)
        if (!check_typed(c, s->op.operands[i], dtype, "an operand")) return false;
    tn_dtype result = op == TN_OP_compare || op == TN_OP_is_nan || op == TN_OP_is_inf ? TN_BOOL : dtype;
    if (op == TN_OP_convert || op == TN_OP_bitcast) result = s->dtype;
    if (op == TN_OP_bitcast && (tn_dtype_bits(dtype) != tn_dtype_bits(result) || dtype == TN_BOOL || result == TN_BOOL))
        return fail(c, "bitcast from %s to %s", tn_dtype_name(dtype), tn_dtype_name(result));
    if (op == TN_OP_compare && (s->op.compare < COMPARE_EQ || s->op.compare > COMPARE_GE))
        return fail(c, "no such comparison");
    uint64_t none[LT_MAX_OPERANDS] = {0, 0, 0}, ignored;
    if (!scalar_op(op, s->op.compare, dtype, result, none, &ignored))
        return fail(c, "%s is not defined for %s", op_table[op].name, tn_dtype_name(dtype));
    if (s->dtype != result)
        return fail(c, "%s gives %s, not %s", op_table[op].name, tn_dtype_name(result), tn_dtype_name(s->dtype));
    return define(c, s->result, s->dtype);
}

static bool check_access(checker *c, const lt_stmt *s) {
    if (s->access.buffer >= c->kernel->n_buffers) return fail(c, "an access names no buffer");
    const lt_buffer *b = &c->kernel->buffers[s->access.buffer];
    if (!check_dim(c, s->access.index, "an index", false)) return false;
    if (s->access.guard != LT_NONE && !check_typed(c, s->access.guard, TN_BOOL, "the guard")) return false;
    if (s->dtype != b->dtype)
        return fail(c, "%s holds %s, not %s", b->name, tn_dtype_name(b->dtype), tn_dtype_name(s->dtype));
    if (s->kind == LT_LOAD) return define(c, s->result, s->dtype);
    if (b->role == LT_INPUT) return fail(c, "a store into the input %s", b->name);
    return check_typed(c, s->access.value, s->dtype, "the stored value");
}

static bool check_bind(checker *c, const lt_stmt *s) {
    if (!check_typed(c, s->bind.value, TN_I64, "the bound value") || !check_dim(c, s->bind.limit, "a limit", false) ||
        !check_dim(c, s->bind.element, "an element", false))
        return false;
    if (s->bind.site != LT_NONE && s->bind.site >= c->kernel->n_sites) return fail(c, "a bind names no site");
    return bind(c, s->bind.variable);
}

static bool check_check(checker *c, const lt_stmt *s) {
    if (s->check.site >= c->kernel->n_sites) return fail(c, "a check names no site");
    return check_typed(c, s->check.value, TN_BOOL, "what is checked") &&
           check_dim(c, s->check.element, "an element", false);
}

static bool is_combiner(tn_op op) {
    return op == TN_OP_add || op == TN_OP_mul || op == TN_OP_max || op == TN_OP_min || op == TN_OP_and ||
           op == TN_OP_or;
}

static bool check_combiner(const checker *c, const lt_carry *carry) {
    uint64_t none[LT_MAX_OPERANDS] = {0, 0, 0}, ignored;
    if (!is_combiner(carry->combine))
        return fail(c, "a vector loop cannot combine lanes by %s",
                    carry->combine < TN_OP_COUNT ? op_table[carry->combine].name : "nothing");
    return scalar_op(carry->combine, 0, carry->dtype, carry->dtype, none, &ignored) ||
           fail(c, "%s is not defined for %s", op_table[carry->combine].name, tn_dtype_name(carry->dtype));
}

static bool check_loop_kind(const checker *c, const lt_stmt *s) {
    if (s->loop.kind == LT_VECTOR) {
        uint32_t w = s->loop.width;
        if (w == 0 || w > MAX_WIDTH || (w & (w - 1)))
            return fail(c, "a vector loop of %u lanes: not a power of two up to %d", w, MAX_WIDTH);
        if (c->vector) return fail(c, "a vector loop inside a vector loop");
    } else if (s->loop.kind == LT_UNROLLED) {
        int64_t begin, end;
        if (!dim_is_const(c->dims, s->loop.begin, &begin) || !dim_is_const(c->dims, s->loop.end, &end))
            return fail(c, "an unrolled loop without static bounds");
        if (end > begin && (uint64_t)end - (uint64_t)begin > MAX_UNROLLED_STEPS)
            return fail(c, "an unrolled loop of more than %d steps", MAX_UNROLLED_STEPS);
    } else if (s->loop.kind != LT_SERIAL)
        return fail(c, "no such kind of loop");
    return true;
}

static bool check_loop(checker *c, const lt_stmt *s) {
    if (!check_loop_kind(c, s)) return false;
    if (!check_dim(c, s->loop.begin, "the begin of a loop", false) ||
        !check_dim(c, s->loop.end, "the end of a loop", false))
        return false;
    if (contains_counter(c, s->loop.begin) || contains_counter(c, s->loop.end))
        return fail(c, "bounds of a loop that differ between lanes");
    for (uint32_t i = 0; i < s->loop.n_carries; i++) {
        const lt_carry *carry = &s->loop.carries[i];
        if (!check_typed(c, carry->init, carry->dtype, "the first carried value")) return false;
        if (s->loop.kind == LT_VECTOR && !check_combiner(c, carry)) return false;
    }
    const lt_stmt *outer = c->vector;
    if (s->loop.kind == LT_VECTOR) c->vector = s;
    bool ok = bind(c, s->loop.variable);
    for (uint32_t i = 0; ok && i < s->loop.n_carries; i++)
        ok = define(c, s->loop.carries[i].inner, s->loop.carries[i].dtype);
    ok = ok && check_block(c, &s->loop.body, s);
    c->vector = outer;
    return ok;
}

static bool check_float_buffer(const checker *c, uint32_t buffer, const char *what) {
    if (buffer >= c->kernel->n_buffers) return fail(c, "a tile names no buffer");
    const lt_buffer *b = &c->kernel->buffers[buffer];
    return scalar_kind_of(b->dtype) == SCALAR_FLOAT || fail(c, "%s of a tile is %s", what, tn_dtype_name(b->dtype));
}

/* Only b may be of another dtype than a: of a narrow one, beside f32. */
static bool check_tile_dtypes(const checker *c, const lt_stmt *s) {
    if (s->tile.b >= c->kernel->n_buffers) return fail(c, "a tile names no buffer");
    if (!check_float_buffer(c, s->tile.a, "a") || !check_float_buffer(c, s->tile.c, "c")) return false;
    const lt_buffer *buffers = c->kernel->buffers;
    tn_dtype a = buffers[s->tile.a].dtype, b = buffers[s->tile.b].dtype, sum = buffers[s->tile.c].dtype;
    if (a != b && !(a == TN_F32 && dtype_in(DTYPES_NARROW, b)))
        return fail(c, "a tile of %s and %s", tn_dtype_name(a), tn_dtype_name(b));
    return (a == TN_F64) == (sum == TN_F64) || fail(c, "a tile of %s into %s", tn_dtype_name(a), tn_dtype_name(sum));
}

static bool check_inner(checker *c, const lt_inner *inner) {
    if (inner->steps == 0 || inner->steps > MAX_INNER_STEPS) return fail(c, "a tile with steps of %u", inner->steps);
    return check_dim(c, inner->a, "a tile's stride", false) && check_dim(c, inner->b, "a tile's stride", false);
}

static bool check_tile(checker *c, const lt_stmt *s) {
    if (c->vector) return fail(c, "a tile inside a vector loop");
    if (s->tile.mr == 0 || s->tile.mr > MAX_TILE_ROWS || s->tile.nr == 0 || s->tile.nr > MAX_TILE_COLUMNS)
        return fail(c, "a tile of %u x %u", s->tile.mr, s->tile.nr);
    if (!check_tile_dtypes(c, s)) return false;
    const lt_buffer *into = &c->kernel->buffers[s->tile.c];
    if (into->role == LT_INPUT) return fail(c, "a tile into the input %s", into->name);
    const tn_dim dims[] = {s->tile.a_index, s->tile.b_index, s->tile.c_index, s->tile.a_row,
                           s->tile.a_depth, s->tile.b_depth, s->tile.c_row,   s->tile.depth};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        if (!check_dim(c, dims[i], "a tile's index or stride", false)) return false;
    for (uint32_t i = 0; i < s->tile.n_inner; i++)
        if (!check_inner(c, &s->tile.inner[i])) return false;
    if (s->tile.next == LT_NONE) return true;
    if (s->tile.next >= c->kernel->n_buffers) return fail(c, "a tile names no next buffer");
    return check_dim(c, s->tile.next_index, "a tile's next index", false) &&
           (dim_is_const(c->dims, s->tile.next_step, NULL) || fail(c, "a tile's next step is not a number"));
}

static bool check_transpose(checker *c, const lt_stmt *s) {
    const lt_kernel *k = c->kernel;
    if (c->vector) return fail(c, "a transpose inside a vector loop");
    if (s->transpose.rows == 0 || s->transpose.rows > MAX_TRANSPOSED || s->transpose.columns == 0 ||
        s->transpose.columns > MAX_TRANSPOSED)
        return fail(c, "a transpose of %u x %u", s->transpose.rows, s->transpose.columns);
    if (s->transpose.from.buffer >= k->n_buffers || s->transpose.to.buffer >= k->n_buffers)
        return fail(c, "a transpose names no buffer");
    const lt_buffer *from = &k->buffers[s->transpose.from.buffer], *to = &k->buffers[s->transpose.to.buffer];
    if (from == to) return fail(c, "a transpose of %s into itself", from->name);
    if (from->dtype != to->dtype)
        return fail(c, "a transpose of %s into %s", tn_dtype_name(from->dtype), tn_dtype_name(to->dtype));
    if (to->role == LT_INPUT) return fail(c, "a transpose into the input %s", to->name);
    const tn_dim dims[] = {s->transpose.from.index, s->transpose.to.index, s->transpose.from.row, s->transpose.to.row};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        if (!check_dim(c, dims[i], "a transpose's index or stride", false)) return false;
    return true;
}

static bool check_stmt(checker *c, const lt_stmt *s) {
    switch (s->kind) {
    case LT_CONST: return define(c, s->result, s->dtype);
    case LT_DIM:
        if (s->dtype != TN_I64) return fail(c, "a dim is i64, not %s", tn_dtype_name(s->dtype));
        return check_dim(c, s->dim.dim, "a dim", false) && define(c, s->result, s->dtype);
    case LT_OP: return check_op(c, s);
    case LT_LOAD:
    case LT_STORE: return check_access(c, s);
    case LT_BIND: return check_bind(c, s);
    case LT_CHECK: return check_check(c, s);
    case LT_LOOP: return check_loop(c, s);
    case LT_IF:
        return check_typed(c, s->branch.condition, TN_BOOL, "the condition") && check_block(c, &s->branch.then, NULL) &&
               check_block(c, &s->branch.otherwise, NULL);
    case LT_TILE: return check_tile(c, s);
    case LT_TRANSPOSE: return check_transpose(c, s);
    default: return fail(c, "no such statement");
    }
}

/* What a statement leaves in scope goes out of it. */
static void forget(checker *c, const lt_stmt *s) {
    if (s->result != LT_NONE && s->result < c->kernel->n_values) c->is_defined[s->result] = false;
    if (s->kind == LT_BIND) c->is_bound[dim_variable_number(c->dims, s->bind.variable)] = false;
    if (s->kind == LT_LOOP)
        for (uint32_t i = 0; i < s->loop.n_carries; i++) c->is_defined[s->loop.carries[i].result] = false;
}

/* Behind a loop: the carried values' last ones replace those of the body. */
static bool close_loop(checker *c, const lt_stmt *s) {
    c->is_bound[dim_variable_number(c->dims, s->loop.variable)] = false;
    for (uint32_t i = 0; i < s->loop.n_carries; i++) c->is_defined[s->loop.carries[i].inner] = false;
    for (uint32_t i = 0; i < s->loop.n_carries; i++)
        if (!define(c, s->loop.carries[i].result, s->loop.carries[i].dtype)) return false;
    return true;
}

/* `next` of each carried value must be in scope at the end of the body. */
static bool check_nexts(checker *c, const lt_stmt *s) {
    for (uint32_t i = 0; i < s->loop.n_carries; i++)
        if (!check_typed(c, s->loop.carries[i].next, s->loop.carries[i].dtype, "the next carried value")) return false;
    return true;
}

static bool check_block(checker *c, const lt_block *block, const lt_stmt *loop) {
    if (++c->depth > MAX_DEPTH) return fail(c, "nested more than %d deep", MAX_DEPTH);
    for (uint32_t i = 0; i < block->n; i++) {
        if (!check_stmt(c, block->items[i])) return false;
        if (block->items[i]->kind == LT_LOOP && !close_loop(c, block->items[i])) return false;
    }
    if (loop && !check_nexts(c, loop)) return false;
    for (uint32_t i = 0; i < block->n; i++) forget(c, block->items[i]);
    c->depth--;
    return true;
}

/* ---- Kernels ---- */

static bool check_buffers(const checker *c) {
    const lt_kernel *k = c->kernel;
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        const lt_buffer *b = &k->buffers[i];
        if (b->dtype >= TN_DTYPE_COUNT || b->role > LT_LOCAL)
            return fail(c, "buffer %s has no such role or dtype", b->name);
        bool in_place = b->role == LT_INPUT ? i < k->n_inputs : i < k->n_inputs + k->n_outputs;
        if ((b->role == LT_INPUT || b->role == LT_OUTPUT) != in_place)
            return fail(c, "buffer %s: inputs come first, then outputs, then the rest", b->name);
        if (!check_dim(c, b->elements, "a buffer's size", true)) return false;
        int64_t n;
        if (b->role == LT_LOCAL && (!dim_is_const(c->dims, b->elements, &n) || n < 0 || n > MAX_LOCAL_ELEMENTS))
            return fail(c, "the local buffer %s is not static and small", b->name);
    }
    return true;
}

static bool check_stages(checker *c) {
    for (uint32_t i = 0; i < c->kernel->n_stages; i++) {
        const lt_stage *stage = &c->kernel->stages[i];
        c->stage = i;
        if (!check_dim(c, stage->chunks, "the number of chunks", true) || !bind(c, stage->variable) ||
            !check_block(c, &stage->body, NULL))
            return false;
        c->is_bound[dim_variable_number(c->dims, stage->variable)] = false;
    }
    return true;
}

bool lt_verify(const lt_kernel *k, tn_diag *diag) {
    checker c = {.kernel = k, .dims = k->module->dims, .diag = diag};
    size_t n = (size_t)k->n_values + k->n_variables;
    bool *flags = tn_calloc(2 * n + 1, sizeof *flags);
    if (!flags) {
        if (diag) *diag = (tn_diag){.status = TN_ERR_MEMORY, .message = "out of memory"};
        return false;
    }
    c.is_defined = flags;
    c.was_defined = flags + k->n_values;
    c.is_bound = flags + 2 * (size_t)k->n_values;
    c.was_bound = c.is_bound + k->n_variables;
    bool ok = check_buffers(&c) && check_stages(&c);
    tn_free(flags);
    return ok;
}
