/* The evaluator of loop trees: what a kernel means, step by step.
 *
 * in:  a verified kernel, its inputs and outputs, the values of its extents
 * out: the outputs; TN_ERR_INDEX when a bound index was out of range (the outputs are complete
 *      then, and *diag names the first site and element)
 * law: every access is checked against its buffer (TN_ERR_INTERNAL: the loop tree is wrong);
 *      vector loops are run lane by lane with partial results for each lane, combined by the
 *      tree that loops.h fixes, so that exactly rounded ops give the compiled code's bits
 */
#include "compiler/loops/loops.h"
#include "compiler/loops/scalar.h"
#include "ir/op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct memory {
    char *data;
    int64_t elements;
    bool is_own;
} memory;

typedef struct evaluator {
    const lt_kernel *kernel;
    const dim_table *dims;
    const int64_t *extents;
    memory *buffers;
    uint64_t *values;   /* by lt_value, as bits */
    int64_t *variables; /* by number */
    uint64_t status;    /* least word of a failed bind */
    tn_status error;
    tn_diag *diag;
} evaluator;

static bool fail(evaluator *v, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool fail(evaluator *v, tn_status status, const char *format, ...) {
    if (v->error == TN_OK && v->diag) {
        char text[TN_DIAG_MESSAGE_BYTES / 2];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        *v->diag = (tn_diag){.status = status};
        snprintf(v->diag->message, sizeof v->diag->message, "kernel %s: %s", v->kernel->name, text);
    }
    v->error = status;
    return false;
}

/* ---- Dims ---- */

static bool look(void *ctx, tn_dim leaf, int64_t *value) {
    evaluator *v = ctx;
    if (dim_kind_of(v->dims, leaf) == DIM_VARIABLE) {
        *value = v->variables[dim_variable_number(v->dims, leaf)];
        return true;
    }
    for (uint32_t i = 0; i < v->kernel->n_extents; i++)
        if (v->kernel->extents[i] == leaf) {
            *value = v->extents[i];
            return true;
        }
    return false;
}

static bool eval_dim(evaluator *v, tn_dim d, int64_t *value) {
    char text[160];
    *value = 0;
    if (dim_eval(v->dims, d, look, v, value)) return true;
    dim_print(v->dims, d, text, sizeof text);
    return fail(v, TN_ERR_INTERNAL, "%s has no value", text);
}

static void set_variable(evaluator *v, tn_dim variable, int64_t value) {
    v->variables[dim_variable_number(v->dims, variable)] = value;
}

/* ---- Accesses ---- */

/* NULL: outside. */
static char *element_at(evaluator *v, uint32_t buffer, int64_t index) {
    const lt_buffer *b = &v->kernel->buffers[buffer];
    if (index >= 0 && index < v->buffers[buffer].elements)
        return v->buffers[buffer].data + (size_t)index * scalar_bytes(b->dtype);
    fail(v, TN_ERR_INTERNAL, "element %lld of %s, which has %lld", (long long)index, b->name,
         (long long)v->buffers[buffer].elements);
    return NULL;
}

static bool read_element(evaluator *v, uint32_t buffer, int64_t index, uint64_t *bits) {
    const char *at = element_at(v, buffer, index);
    if (at) *bits = scalar_read(v->kernel->buffers[buffer].dtype, at);
    return at != NULL;
}

static bool write_element(evaluator *v, uint32_t buffer, int64_t index, uint64_t bits) {
    char *at = element_at(v, buffer, index);
    if (at) scalar_write(v->kernel->buffers[buffer].dtype, at, bits);
    return at != NULL;
}

static bool is_live(const evaluator *v, lt_value guard) { return guard == LT_NONE || v->values[guard] != 0; }

static bool eval_load(evaluator *v, const lt_stmt *s) {
    int64_t index;
    v->values[s->result] = 0;
    if (!is_live(v, s->access.guard)) return true;
    return eval_dim(v, s->access.index, &index) && read_element(v, s->access.buffer, index, &v->values[s->result]);
}

static bool eval_store(evaluator *v, const lt_stmt *s) {
    int64_t index;
    if (!is_live(v, s->access.guard)) return true;
    return eval_dim(v, s->access.index, &index) &&
           write_element(v, s->access.buffer, index, v->values[s->access.value]);
}

/* The status word becomes the least of those recorded. */
static bool record_error(evaluator *v, tn_dim element, uint32_t site) {
    int64_t number;
    if (!eval_dim(v, element, &number)) return false;
    uint64_t greatest = (UINT64_C(1) << TN_STATUS_INDEX_BITS) - 1;
    uint64_t index = (uint64_t)number < greatest ? (uint64_t)number : greatest;
    uint64_t word = (uint64_t)site << TN_STATUS_INDEX_BITS | index;
    if (word < v->status) v->status = word;
    return true;
}

static bool eval_check(evaluator *v, const lt_stmt *s) {
    if (v->kernel->sites[s->check.site].kind == LT_SITE_HINT) return true;
    return v->values[s->check.value] == 0 || record_error(v, s->check.element, s->check.site);
}

static bool eval_bind(evaluator *v, const lt_stmt *s) {
    int64_t value = (int64_t)v->values[s->bind.value], limit;
    if (!eval_dim(v, s->bind.limit, &limit)) return false;
    if ((value < 0 || value >= limit) && s->bind.site != LT_NONE && !record_error(v, s->bind.element, s->bind.site))
        return false;
    if (value >= limit) value = limit - 1;
    set_variable(v, s->bind.variable, value < 0 ? 0 : value);
    return true;
}

/* ---- Ops ---- */

static bool eval_op(evaluator *v, const lt_stmt *s) {
    uint64_t x[LT_MAX_OPERANDS] = {0, 0, 0};
    for (uint32_t i = 0; i < s->op.n_operands; i++) x[i] = v->values[s->op.operands[i]];
    lt_value typed = s->op.operands[s->op.op == TN_OP_select ? 1 : 0];
    tn_dtype dtype = v->kernel->value_dtypes[typed];
    return scalar_op(s->op.op, s->op.compare, dtype, s->dtype, x, &v->values[s->result]) ||
           fail(v, TN_ERR_UNSUPPORTED, "%s of %s", op_table[s->op.op].name, tn_dtype_name(dtype));
}

/* ---- Loops ---- */

static bool eval_block(evaluator *v, const lt_block *block);

/* The body at one value of the counter; carried values go through values[inner]. */
static bool eval_step(evaluator *v, const lt_stmt *s, int64_t i, uint64_t *carried) {
    set_variable(v, s->loop.variable, i);
    for (uint32_t c = 0; c < s->loop.n_carries; c++) v->values[s->loop.carries[c].inner] = carried[c];
    if (!eval_block(v, &s->loop.body)) return false;
    for (uint32_t c = 0; c < s->loop.n_carries; c++) carried[c] = v->values[s->loop.carries[c].next];
    return true;
}

static uint64_t neutral(tn_op combine, tn_dtype dtype) {
    bool is_float = scalar_kind_of(dtype) == SCALAR_FLOAT;
    switch (combine) {
    case TN_OP_add: return scalar_from_float(dtype, -0.0);
    case TN_OP_mul: return scalar_from_float(dtype, 1);
    case TN_OP_max:
        return is_float           ? scalar_from_float(dtype, -INFINITY)
               : dtype == TN_BOOL ? 0
                                  : scalar_from_float(dtype, -0x1p64);
    case TN_OP_min:
        return is_float ? scalar_from_float(dtype, INFINITY) : dtype == TN_BOOL ? 1 : scalar_from_float(dtype, 0x1p64);
    case TN_OP_and: return dtype == TN_BOOL ? 1 : scalar_from_int(dtype, -1);
    default: return 0;
    }
}

static uint64_t combine_two(const lt_carry *c, uint64_t x, uint64_t y) {
    uint64_t operands[LT_MAX_OPERANDS] = {x, y, 0}, result = 0;
    scalar_op(c->combine, 0, c->dtype, c->dtype, operands, &result);
    return result;
}

/* Lane by lane; partials has room for width * n_carries. */
static bool eval_lanes(evaluator *v, const lt_stmt *s, int64_t begin, int64_t end, uint64_t *carried,
                       uint64_t *partials) {
    uint32_t n = s->loop.n_carries, width = s->loop.width, lane = 0;
    if (begin >= end) return true;
    for (uint32_t l = 0; l < width; l++)
        for (uint32_t c = 0; c < n; c++)
            partials[l * n + c] = neutral(s->loop.carries[c].combine, s->loop.carries[c].dtype);
    for (int64_t i = begin; i < end; i++) {
        if (!eval_step(v, s, i, partials + lane * n)) return false;
        if (++lane == width) lane = 0;
    }
    for (uint32_t half = width / 2; half; half /= 2)
        for (uint32_t l = 0; l < half; l++)
            for (uint32_t c = 0; c < n; c++)
                partials[l * n + c] =
                    combine_two(&s->loop.carries[c], partials[l * n + c], partials[(l + half) * n + c]);
    for (uint32_t c = 0; c < n; c++) carried[c] = combine_two(&s->loop.carries[c], carried[c], partials[c]);
    return true;
}

static bool eval_loop(evaluator *v, const lt_stmt *s) {
    int64_t begin, end;
    if (!eval_dim(v, s->loop.begin, &begin) || !eval_dim(v, s->loop.end, &end)) return false;
    uint32_t n = s->loop.n_carries;
    uint64_t *carried = tn_calloc((s->loop.width + 1u) * (size_t)n + 1, sizeof *carried);
    if (!carried) return fail(v, TN_ERR_MEMORY, "out of memory");
    for (uint32_t c = 0; c < n; c++) carried[c] = v->values[s->loop.carries[c].init];
    bool ok = true;
    if (s->loop.kind == LT_VECTOR)
        ok = eval_lanes(v, s, begin, end, carried, carried + n);
    else
        for (int64_t i = begin; ok && i < end; i++) ok = eval_step(v, s, i, carried);
    for (uint32_t c = 0; c < n; c++) v->values[s->loop.carries[c].result] = carried[c];
    tn_free(carried);
    return ok;
}

/* ---- Tiles ---- */

typedef struct panel {
    uint32_t buffer;
    int64_t index, stride, second;
} panel;

static bool eval_panel(evaluator *v, panel *p, uint32_t buffer, tn_dim index, tn_dim stride, tn_dim second) {
    p->buffer = buffer;
    return eval_dim(v, index, &p->index) && eval_dim(v, stride, &p->stride) && eval_dim(v, second, &p->second);
}

/* The steps of a tile's depth, outermost first. */
typedef struct depth_nest {
    uint32_t n;
    int64_t steps[LT_MAX_INNER + 1], a[LT_MAX_INNER + 1], b[LT_MAX_INNER + 1], all;
} depth_nest;

static bool eval_nest(evaluator *v, const lt_stmt *s, depth_nest *d) {
    d->n = s->tile.n_inner + 1;
    if (!eval_dim(v, s->tile.depth, &d->steps[0]) || !eval_dim(v, s->tile.a_depth, &d->a[0]) ||
        !eval_dim(v, s->tile.b_depth, &d->b[0]))
        return false;
    d->all = d->steps[0];
    for (uint32_t i = 0; i < s->tile.n_inner; i++) {
        const lt_inner *inner = &s->tile.inner[i];
        if (!eval_dim(v, inner->a, &d->a[i + 1]) || !eval_dim(v, inner->b, &d->b[i + 1])) return false;
        d->steps[i + 1] = inner->steps;
        d->all *= inner->steps;
    }
    return true;
}

/* How far step k is from the first one, in a and in b. */
static void find_step(const depth_nest *d, int64_t k, int64_t *a, int64_t *b) {
    *a = *b = 0;
    for (uint32_t i = d->n; i-- > 0; k /= d->steps[i]) {
        *a += k % d->steps[i] * d->a[i];
        *b += k % d->steps[i] * d->b[i];
    }
}

static bool eval_tile(evaluator *v, const lt_stmt *s) {
    const lt_buffer *buffers = v->kernel->buffers;
    tn_dtype a_dtype = buffers[s->tile.a].dtype, b_dtype = buffers[s->tile.b].dtype, stored = buffers[s->tile.c].dtype;
    tn_dtype sum_dtype = stored == TN_F64 ? TN_F64 : TN_F32;
    panel a, b, c;
    depth_nest d;
    if (!eval_panel(v, &a, s->tile.a, s->tile.a_index, s->tile.a_row, s->tile.a_depth) ||
        !eval_panel(v, &b, s->tile.b, s->tile.b_index, s->tile.b_depth, s->tile.b_depth) ||
        !eval_panel(v, &c, s->tile.c, s->tile.c_index, s->tile.c_row, s->tile.c_row) || !eval_nest(v, s, &d))
        return false;
    for (int64_t r = 0; r < s->tile.mr; r++)
        for (int64_t j = 0; j < s->tile.nr; j++) {
            uint64_t x[LT_MAX_OPERANDS], sum = 0;
            int64_t at = c.index + r * c.stride + j;
            if (s->tile.accumulate && !read_element(v, c.buffer, at, &sum)) return false;
            sum = s->tile.accumulate ? scalar_convert(stored, sum_dtype, sum) : 0;
            for (int64_t k = 0; k < d.all; k++) {
                int64_t in_a, in_b;
                find_step(&d, k, &in_a, &in_b);
                if (!read_element(v, a.buffer, a.index + r * a.stride + in_a, &x[0]) ||
                    !read_element(v, b.buffer, b.index + in_b + j, &x[1]))
                    return false;
                x[0] = scalar_convert(a_dtype, sum_dtype, x[0]);
                x[1] = scalar_convert(b_dtype, sum_dtype, x[1]);
                x[2] = sum;
                scalar_op(TN_OP_fma, 0, sum_dtype, sum_dtype, x, &sum);
            }
            if (!write_element(v, c.buffer, at, scalar_convert(sum_dtype, stored, sum))) return false;
        }
    return true;
}

static bool eval_transpose(evaluator *v, const lt_stmt *s) {
    const lt_matrix *m[2] = {&s->transpose.from, &s->transpose.to};
    panel from, to;
    if (!eval_panel(v, &from, m[0]->buffer, m[0]->index, m[0]->row, m[0]->row) ||
        !eval_panel(v, &to, m[1]->buffer, m[1]->index, m[1]->row, m[1]->row))
        return false;
    for (int64_t i = 0; i < s->transpose.rows; i++)
        for (int64_t j = 0; j < s->transpose.columns; j++) {
            uint64_t x;
            if (!read_element(v, from.buffer, from.index + i * from.stride + j, &x) ||
                !write_element(v, to.buffer, to.index + j * to.stride + i, x))
                return false;
        }
    return true;
}

/* ---- Statements ---- */

static bool eval_stmt(evaluator *v, const lt_stmt *s) {
    int64_t i;
    switch (s->kind) {
    case LT_CONST: v->values[s->result] = s->constant.bits; return true;
    case LT_DIM:
        if (!eval_dim(v, s->dim.dim, &i)) return false;
        v->values[s->result] = (uint64_t)i;
        return true;
    case LT_OP: return eval_op(v, s);
    case LT_LOAD: return eval_load(v, s);
    case LT_STORE: return eval_store(v, s);
    case LT_BIND: return eval_bind(v, s);
    case LT_CHECK: return eval_check(v, s);
    case LT_LOOP: return eval_loop(v, s);
    case LT_IF: return eval_block(v, v->values[s->branch.condition] ? &s->branch.then : &s->branch.otherwise);
    case LT_TILE: return eval_tile(v, s);
    case LT_TRANSPOSE: return eval_transpose(v, s);
    }
    return fail(v, TN_ERR_INTERNAL, "no such statement");
}

static bool eval_block(evaluator *v, const lt_block *block) {
    for (uint32_t i = 0; i < block->n; i++)
        if (!eval_stmt(v, block->items[i])) return false;
    return true;
}

/* ---- Kernels ---- */

/* Own buffers start with bytes that no computation would leave by chance. */
static void scribble(evaluator *v, lt_role role) {
    for (uint32_t i = 0; i < v->kernel->n_buffers; i++) {
        const lt_buffer *b = &v->kernel->buffers[i];
        if (b->role == role && v->buffers[i].data)
            memset(v->buffers[i].data, 0xa5, (size_t)v->buffers[i].elements * scalar_bytes(b->dtype));
    }
}

static bool set_buffers(evaluator *v, void *const *given) {
    for (uint32_t i = 0; i < v->kernel->n_buffers; i++) {
        const lt_buffer *b = &v->kernel->buffers[i];
        memory *m = &v->buffers[i];
        if (!eval_dim(v, b->elements, &m->elements)) return false;
        if (m->elements < 0) m->elements = 0;
        m->is_own = b->role != LT_INPUT && b->role != LT_OUTPUT;
        if (!m->is_own)
            m->data = given[i];
        else if ((uint64_t)m->elements > SIZE_MAX / 16 ||
                 !(m->data = tn_calloc((size_t)m->elements + 1, scalar_bytes(b->dtype))))
            return fail(v, TN_ERR_MEMORY, "out of memory");
    }
    return true;
}

static bool eval_stages(evaluator *v) {
    scribble(v, LT_TEMP);
    for (uint32_t i = 0; i < v->kernel->n_stages; i++) {
        const lt_stage *stage = &v->kernel->stages[i];
        int64_t chunks;
        if (!eval_dim(v, stage->chunks, &chunks)) return false;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            scribble(v, LT_SCRATCH);
            scribble(v, LT_LOCAL);
            set_variable(v, stage->variable, chunk);
            if (!eval_block(v, &stage->body)) return false;
        }
    }
    return true;
}

static void report_site(evaluator *v) {
    uint32_t site = (uint32_t)(v->status >> TN_STATUS_INDEX_BITS);
    uint64_t element = v->status & ((UINT64_C(1) << TN_STATUS_INDEX_BITS) - 1);
    const lt_site *s = &v->kernel->sites[site];
    bool is_index = s->kind == LT_SITE_INDEX;
    fail(v, is_index ? TN_ERR_INDEX : TN_ERR_NAN, "%s: %s at element %llu (site %u)", op_table[s->op].name,
         is_index ? "index out of range" : "NaN", (unsigned long long)element, site);
}

tn_status lt_eval(const lt_kernel *k, void *const *buffers, const int64_t *extents, tn_diag *diag) {
    evaluator v = {.kernel = k, .dims = k->module->dims, .extents = extents, .status = TN_STATUS_CLEAR, .diag = diag};
    v.buffers = tn_calloc(k->n_buffers + 1u, sizeof *v.buffers);
    v.values = tn_calloc(k->n_values + 1u, sizeof *v.values);
    v.variables = tn_calloc(k->n_variables + 1u, sizeof *v.variables);
    if (!v.buffers || !v.values || !v.variables)
        fail(&v, TN_ERR_MEMORY, "out of memory");
    else if (set_buffers(&v, buffers) && eval_stages(&v) && v.status != TN_STATUS_CLEAR)
        report_site(&v);
    for (uint32_t i = 0; v.buffers && i < k->n_buffers; i++)
        if (v.buffers[i].is_own) tn_free(v.buffers[i].data);
    tn_free(v.buffers);
    tn_free(v.values);
    tn_free(v.variables);
    return v.error;
}
