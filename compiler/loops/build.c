/* Building loop trees.
 *
 * in:  a builder with an open block
 * out: statements appended to it, values and variables numbered in the order they are made
 * law: errors are sticky: after one, calls change nothing, return LT_NONE (or a spare statement
 *      that is in no block, never NULL), and the diagnostic is in the module
 *
 * Everything lies in the module's arena; a list that grows leaves its old copy there.
 */
#include "compiler/loops/build.h"
#include "compiler/loops/scalar.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A kernel with what the calls return when memory is out. */
typedef struct kernel_store {
    lt_kernel kernel; /* first: an lt_kernel * is also a kernel_store * */
    lt_stmt spare;
    lt_stage spare_stage;
} kernel_store;

static bool fail(lt_builder *b, tn_status status, const char *what) {
    if (!b->failed) module_error(b->kernel->module, status, LOCATION_NONE, "kernel %s: %s", b->kernel->name, what);
    b->failed = true;
    return false;
}

static bool no_memory(lt_builder *b) { return fail(b, TN_ERR_MEMORY, "out of memory"); }

/* Room for one more in a list of the arena. */
static bool grow(lt_builder *b, void **items, uint32_t n, uint32_t *capacity, size_t bytes_each) {
    if (n < *capacity) return true;
    if (*capacity > UINT32_MAX / 4) return fail(b, TN_ERR_LIMIT, "too many parts");
    uint32_t wanted = *capacity ? *capacity * 2 : 8;
    void *more = arena_alloc(&b->kernel->module->memory, wanted, bytes_each);
    if (!more) return no_memory(b);
    if (n) memcpy(more, *items, n * bytes_each);
    *items = more;
    *capacity = wanted;
    return true;
}

static bool check_dim(lt_builder *b, tn_dim d) {
    if (d != DIM_INVALID) return true;
    if (dim_table_status(b->kernel->module->dims) == TN_ERR_MEMORY) return no_memory(b);
    return fail(b, TN_ERR_LIMIT, "index arithmetic does not fit in 63 bits");
}

/* ---- Kernels, buffers, stages ---- */

lt_kernel *lt_kernel_new(tn_module *m, const char *name, const char *class_name) {
    kernel_store *store = ARENA_NEW(&m->memory, kernel_store);
    const char *kernel_name = module_intern(m, name ? name : "kernel");
    const char *kernel_class = module_intern(m, class_name ? class_name : "map");
    if (!store || !kernel_name || !kernel_class) {
        module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory");
        return NULL;
    }
    lt_kernel *k = &store->kernel;
    k->module = m;
    k->name = kernel_name;
    k->class_name = kernel_class;
    store->spare.result = LT_NONE;
    return k;
}

static const char *const role_names[] = {"in", "out", "temp", "scratch", "local"};

static bool is_name_taken(const lt_kernel *k, const char *name) {
    for (uint32_t i = 0; i < k->n_buffers; i++)
        if (strcmp(k->buffers[i].name, name) == 0) return true;
    return false;
}

/* A name that the text form can read back: letters, digits, '_' and '.', each once a kernel. */
static const char *buffer_name(lt_builder *b, lt_role role, const char *wanted) {
    lt_kernel *k = b->kernel;
    char text[64];
    if (wanted && *wanted)
        snprintf(text, sizeof text - 12, "%s", wanted);
    else
        snprintf(text, sizeof text, "%s%u", role_names[role], k->n_buffers);
    for (char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.') *c = '_';
    if (isdigit((unsigned char)text[0]) || text[0] == '.') text[0] = '_';
    if (is_name_taken(k, text)) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, ".%u", k->n_buffers);
    }
    return module_intern(k->module, text);
}

uint32_t lt_add_buffer(lt_builder *b, lt_role role, tn_dtype dtype, tn_dim elements, const char *name) {
    lt_kernel *k = b->kernel;
    if (b->failed || !check_dim(b, elements)) return LT_NONE;
    if (!grow(b, (void **)&k->buffers, k->n_buffers, &k->buffers_capacity, sizeof *k->buffers)) return LT_NONE;
    const char *unique = buffer_name(b, role, name);
    if (!unique) {
        no_memory(b);
        return LT_NONE;
    }
    k->n_inputs += role == LT_INPUT;
    k->n_outputs += role == LT_OUTPUT;
    k->buffers[k->n_buffers] = (lt_buffer){role, dtype, elements, unique, false};
    return k->n_buffers++;
}

tn_dim lt_new_variable(lt_builder *b) {
    tn_dim v = dim_variable(b->kernel->module->dims, b->kernel->n_variables++);
    return check_dim(b, v) ? v : DIM_INVALID;
}

uint32_t lt_add_site(lt_builder *b, lt_site site) {
    lt_kernel *k = b->kernel;
    if (b->failed || !grow(b, (void **)&k->sites, k->n_sites, &k->sites_capacity, sizeof *k->sites)) return LT_NONE;
    k->sites[k->n_sites] = site;
    return k->n_sites++;
}

void lt_note(lt_builder *b, const char *format, ...) {
    lt_kernel *k = b->kernel;
    enum { MOST_NOTES = 16 };
    if (b->failed || !b->machine || !b->machine->keeps_notes || k->n_notes == MOST_NOTES) return;
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (uint32_t i = 0; i < k->n_notes; i++)
        if (strcmp(k->notes[i], text) == 0) return; /* parts that are alike say the same */
    const char *own = arena_strdup(&k->module->memory, text);
    if (!own)
        no_memory(b);
    else if (grow(b, (void **)&k->notes, k->n_notes, &k->notes_capacity, sizeof *k->notes))
        k->notes[k->n_notes++] = own;
}

lt_stage *lt_open_stage(lt_builder *b, tn_dim chunks) {
    lt_kernel *k = b->kernel;
    lt_stage *stage = &((kernel_store *)k)->spare_stage;
    tn_dim variable = lt_new_variable(b);
    if (!b->failed && check_dim(b, chunks) &&
        grow(b, (void **)&k->stages, k->n_stages, &k->stages_capacity, sizeof *k->stages))
        stage = &k->stages[k->n_stages++];
    *stage = (lt_stage){.variable = variable, .chunks = chunks};
    b->block = &stage->body;
    return stage;
}

/* ---- Statements ---- */

bool lt_declare_value(lt_builder *b, lt_value v, tn_dtype dtype) {
    lt_kernel *k = b->kernel;
    uint32_t capacity = (uint32_t)k->value_dtypes_capacity;
    while (!b->failed && v >= k->n_values) {
        if (!grow(b, (void **)&k->value_dtypes, k->n_values, &capacity, sizeof *k->value_dtypes)) return false;
        k->value_dtypes_capacity = capacity;
        k->value_dtypes[k->n_values++] = TN_DTYPE_INVALID;
    }
    if (!b->failed) k->value_dtypes[v] = dtype;
    return !b->failed;
}

static lt_value new_value(lt_builder *b, tn_dtype dtype) {
    lt_value v = b->kernel->n_values;
    return lt_declare_value(b, v, dtype) ? v : LT_NONE;
}

lt_stmt *lt_append(lt_builder *b, lt_kind kind) {
    lt_stmt *s = &((kernel_store *)b->kernel)->spare;
    if (!b->failed && !b->block) fail(b, TN_ERR_INTERNAL, "no block is open");
    if (!b->failed && grow(b, (void **)&b->block->items, b->block->n, &b->block->capacity, sizeof *b->block->items)) {
        lt_stmt *fresh = ARENA_NEW(&b->kernel->module->memory, lt_stmt);
        if (fresh)
            s = b->block->items[b->block->n++] = fresh;
        else
            no_memory(b);
    }
    *s = (lt_stmt){.kind = kind, .dtype = TN_DTYPE_INVALID, .result = LT_NONE, .where = b->where};
    return s;
}

static lt_stmt *append_value(lt_builder *b, lt_kind kind, tn_dtype dtype) {
    lt_stmt *s = lt_append(b, kind);
    s->dtype = dtype;
    s->result = new_value(b, dtype);
    return s;
}

static bool is_value(lt_builder *b, lt_value v) {
    if (b->failed) return false;
    return v < b->kernel->n_values || fail(b, TN_ERR_INTERNAL, "an operand is no value");
}

tn_dtype lt_dtype(const lt_builder *b, lt_value v) {
    return v < b->kernel->n_values ? b->kernel->value_dtypes[v] : TN_DTYPE_INVALID;
}

lt_value lt_const_bits(lt_builder *b, tn_dtype dtype, uint64_t bits) {
    lt_stmt *s = append_value(b, LT_CONST, dtype);
    s->constant.bits = bits;
    return s->result;
}

lt_value lt_const_float(lt_builder *b, tn_dtype dtype, double value) {
    return lt_const_bits(b, dtype, scalar_from_float(dtype, value));
}

lt_value lt_const_int(lt_builder *b, tn_dtype dtype, int64_t value) {
    return lt_const_bits(b, dtype, scalar_from_int(dtype, value));
}

lt_value lt_dim_value(lt_builder *b, tn_dim d) {
    if (b->failed || !check_dim(b, d)) return LT_NONE;
    lt_stmt *s = append_value(b, LT_DIM, TN_I64);
    s->dim.dim = d;
    return s->result;
}

static lt_value append_op(lt_builder *b, tn_op op, tn_dtype dtype, uint32_t n, lt_value x, lt_value y, lt_value z) {
    lt_value operands[LT_MAX_OPERANDS] = {x, y, z};
    for (uint32_t i = 0; i < n; i++)
        if (!is_value(b, operands[i])) return LT_NONE;
    lt_stmt *s = append_value(b, LT_OP, dtype);
    s->op.op = op;
    s->op.n_operands = n;
    memcpy(s->op.operands, operands, sizeof operands);
    return s->result;
}

lt_value lt_unary(lt_builder *b, tn_op op, lt_value x) {
    tn_dtype dtype = op == TN_OP_is_nan || op == TN_OP_is_inf ? TN_BOOL : lt_dtype(b, x);
    return append_op(b, op, dtype, 1, x, LT_NONE, LT_NONE);
}

lt_value lt_binary(lt_builder *b, tn_op op, lt_value x, lt_value y) {
    return append_op(b, op, lt_dtype(b, x), 2, x, y, LT_NONE);
}

lt_value lt_select(lt_builder *b, lt_value condition, lt_value x, lt_value y) {
    return append_op(b, TN_OP_select, lt_dtype(b, x), 3, condition, x, y);
}

lt_value lt_ternary(lt_builder *b, tn_op op, lt_value x, lt_value y, lt_value z) {
    return append_op(b, op, lt_dtype(b, op == TN_OP_select ? y : x), 3, x, y, z);
}

lt_value lt_compare(lt_builder *b, compare_kind relation, lt_value x, lt_value y) {
    if (!is_value(b, x) || !is_value(b, y)) return LT_NONE;
    lt_value v = append_op(b, TN_OP_compare, TN_BOOL, 2, x, y, LT_NONE);
    if (!b->failed) b->block->items[b->block->n - 1]->op.compare = (int32_t)relation;
    return v;
}

lt_value lt_convert(lt_builder *b, lt_value x, tn_dtype dtype) {
    if (!b->failed && lt_dtype(b, x) == dtype) return x;
    return append_op(b, TN_OP_convert, dtype, 1, x, LT_NONE, LT_NONE);
}

lt_value lt_bitcast(lt_builder *b, lt_value x, tn_dtype dtype) {
    if (!b->failed && lt_dtype(b, x) == dtype) return x;
    return append_op(b, TN_OP_bitcast, dtype, 1, x, LT_NONE, LT_NONE);
}

/* The buffer accessed, or NULL after a failure. */
static const lt_buffer *check_access(lt_builder *b, uint32_t buffer, tn_dim index, lt_value guard) {
    if (b->failed || !check_dim(b, index) || (guard != LT_NONE && !is_value(b, guard))) return NULL;
    if (buffer >= b->kernel->n_buffers) {
        fail(b, TN_ERR_INTERNAL, "an access names no buffer");
        return NULL;
    }
    return &b->kernel->buffers[buffer];
}

lt_value lt_load(lt_builder *b, uint32_t buffer, tn_dim index, lt_value guard) {
    const lt_buffer *of = check_access(b, buffer, index, guard);
    if (!of) return LT_NONE;
    lt_stmt *s = append_value(b, LT_LOAD, of->dtype);
    s->access.buffer = buffer;
    s->access.index = index;
    s->access.value = LT_NONE;
    s->access.guard = guard;
    return s->result;
}

void lt_store(lt_builder *b, uint32_t buffer, tn_dim index, lt_value value, lt_value guard) {
    const lt_buffer *of = check_access(b, buffer, index, guard);
    if (!of || !is_value(b, value)) return;
    lt_stmt *s = lt_append(b, LT_STORE);
    s->dtype = of->dtype;
    s->access.buffer = buffer;
    s->access.index = index;
    s->access.value = value;
    s->access.guard = guard;
}

tn_dim lt_bind(lt_builder *b, lt_value value, tn_dim limit, tn_dim element, uint32_t site) {
    if (!is_value(b, value) || !check_dim(b, limit) || !check_dim(b, element)) return DIM_INVALID;
    lt_stmt *s = lt_append(b, LT_BIND);
    s->bind.variable = lt_new_variable(b);
    s->bind.value = value;
    s->bind.limit = limit;
    s->bind.element = element;
    s->bind.site = site;
    return s->bind.variable;
}

void lt_check(lt_builder *b, lt_value value, tn_dim element, uint32_t site) {
    if (!is_value(b, value) || !check_dim(b, element)) return;
    lt_stmt *s = lt_append(b, LT_CHECK);
    s->check.value = value;
    s->check.element = element;
    s->check.site = site;
}

/* ---- Loops and ifs ---- */

lt_stmt *lt_open_loop(lt_builder *b, lt_loop_kind kind, tn_dim begin, tn_dim end, uint32_t width, uint32_t n_carries) {
    tn_dim variable = lt_new_variable(b);
    lt_carry *carries = NULL;
    if (!b->failed && check_dim(b, begin) && check_dim(b, end) && n_carries) {
        carries = ARENA_ARRAY(&b->kernel->module->memory, lt_carry, n_carries);
        if (!carries) no_memory(b);
    }
    lt_stmt *s = lt_append(b, LT_LOOP);
    s->loop.kind = kind;
    s->loop.variable = variable;
    s->loop.begin = begin;
    s->loop.end = end;
    s->loop.width = kind == LT_VECTOR ? width : 1;
    s->loop.n_carries = carries ? n_carries : 0;
    s->loop.carries = carries;
    for (uint32_t i = 0; i < s->loop.n_carries; i++)
        s->loop.carries[i] = (lt_carry){LT_NONE, LT_NONE, LT_NONE, LT_NONE, TN_DTYPE_INVALID, TN_OP_COUNT};
    b->block = &s->loop.body;
    return s;
}

lt_value lt_carry_in(lt_builder *b, lt_stmt *loop, uint32_t i, lt_value init, tn_op combine) {
    if (!is_value(b, init)) return LT_NONE;
    if (i >= loop->loop.n_carries) {
        fail(b, TN_ERR_INTERNAL, "a loop has no such carried value");
        return LT_NONE;
    }
    lt_carry *c = &loop->loop.carries[i];
    c->dtype = lt_dtype(b, init);
    c->init = init;
    c->combine = combine;
    c->inner = new_value(b, c->dtype);
    c->result = new_value(b, c->dtype);
    return c->inner;
}

void lt_carry_next(lt_stmt *loop, uint32_t i, lt_value next) {
    if (i < loop->loop.n_carries) loop->loop.carries[i].next = next;
}

void lt_close_loop(lt_builder *b, lt_stmt *loop, lt_block *outer) {
    (void)loop;
    b->block = outer;
}

lt_stmt *lt_open_if(lt_builder *b, lt_value condition) {
    is_value(b, condition);
    lt_stmt *s = lt_append(b, LT_IF);
    s->branch.condition = condition;
    b->block = &s->branch.then;
    return s;
}

void lt_else(lt_builder *b, lt_stmt *branch) { b->block = &branch->branch.otherwise; }

void lt_close_if(lt_builder *b, lt_stmt *branch, lt_block *outer) {
    (void)branch;
    b->block = outer;
}

lt_stmt *lt_tile(lt_builder *b) {
    lt_stmt *s = lt_append(b, LT_TILE);
    s->tile.next = LT_NONE;
    return s;
}

void lt_transpose(lt_builder *b, lt_matrix from, lt_matrix to, int64_t rows, int64_t columns) {
    lt_stmt *s = lt_append(b, LT_TRANSPOSE);
    s->transpose.from = from;
    s->transpose.to = to;
    s->transpose.rows = (uint32_t)rows;
    s->transpose.columns = (uint32_t)columns;
}

void lt_move_to_end(lt_block *block, uint32_t at) {
    lt_stmt *moved = block->items[at];
    memmove(block->items + at, block->items + at + 1, (block->n - at - 1) * sizeof(lt_stmt *));
    block->items[block->n - 1] = moved;
}
