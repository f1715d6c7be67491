/* Loop trees as text.
 *
 * in:  a kernel
 * out: text that parse.c reads back to the same kernel, locations aside (docs in loops.h):
 *
 *   kernel @k0 gather(in x: f32[10*n], out y: f32[16], local t: f32[16]) extents(n) sites(gather) {
 *     stage $0 in n {
 *       %0 = const 1.5 : f32
 *       %1 = dim $0 + 1 : i64
 *       %2 = compare lt %1, %1 : bool
 *       bind $1 = %1 below 10*n element $0 site 0
 *       %3 = load x[$1] if %2 : f32
 *       for $2 in 0 to 10 vector 8 carry(%4 = %3 by add -> %5) {
 *         %6 = add %4, %0 : f32
 *         next %6
 *       }
 *       if %2 {
 *         store y[$0], %5
 *       } else {
 *         tile 4 x 16 depth n: t[0; 16] += x[$0; 1, 4] * x[0; 16]
 *         transpose 4 x 16: u[0; 4] = t[0; 16]
 *       }
 *     }
 *   }
 */
#include "compiler/loops/loops.h"
#include "compiler/loops/scalar.h"
#include "ir/literal.h"
#include "ir/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct printer {
    const lt_kernel *kernel;
    const dim_table *dims;
    char *text;
    size_t n, capacity;
    int indent;
    uint32_t line; /* of the whole text, that is written next; 0: statements are not told */
    bool failed;
} printer;

static bool reserve(printer *p, size_t more) {
    if (!p->failed && !array_reserve((void **)&p->text, &p->capacity, p->n + more + 1, 1)) p->failed = true;
    return !p->failed;
}

static void put(printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(printer *p, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && reserve(p, (size_t)n)) {
        vsnprintf(p->text + p->n, (size_t)n + 1, format, again);
        p->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

static void put_dim(printer *p, tn_dim d) {
    size_t n = dim_print(p->dims, d, NULL, 0);
    if (reserve(p, n)) {
        dim_print(p->dims, d, p->text + p->n, n + 1);
        p->n += n;
    }
}

static void start_line(printer *p) { put(p, "%*s", 2 * p->indent, ""); }

static void end_line(printer *p, const char *last) {
    put(p, "%s\n", last);
    p->line += p->line > 0;
}

static void put_block(printer *p, const lt_block *block, const lt_stmt *loop);

static void put_constant(printer *p, tn_dtype dtype, uint64_t bits) {
    char text[LITERAL_BYTES];
    uint64_t element = 0;
    scalar_write(dtype, &element, bits);
    literal_print(dtype, &element, text);
    put(p, "%s", text);
}

static void put_guard(printer *p, lt_value guard) {
    if (guard != LT_NONE) put(p, " if %%%u", guard);
}

static void put_access(printer *p, const lt_stmt *s) {
    put(p, "%s[", p->kernel->buffers[s->access.buffer].name);
    put_dim(p, s->access.index);
    put(p, "]");
}

static void put_op(printer *p, const lt_stmt *s) {
    put(p, "%s", op_table[s->op.op].name);
    if (s->op.op == TN_OP_compare) put(p, " %s", attr_option(ATTR_compare, s->op.compare));
    for (uint32_t i = 0; i < s->op.n_operands; i++) put(p, "%s%%%u", i ? ", " : " ", s->op.operands[i]);
}

static void put_bind(printer *p, const lt_stmt *s) {
    put(p, "bind ");
    put_dim(p, s->bind.variable);
    put(p, " = %%%u below ", s->bind.value);
    put_dim(p, s->bind.limit);
    put(p, " element ");
    put_dim(p, s->bind.element);
    if (s->bind.site != LT_NONE) put(p, " site %u", s->bind.site);
}

static void put_check(printer *p, const lt_stmt *s) {
    put(p, "check %%%u element ", s->check.value);
    put_dim(p, s->check.element);
    put(p, " site %u", s->check.site);
}

static void put_loop(printer *p, const lt_stmt *s) {
    put(p, "for ");
    put_dim(p, s->loop.variable);
    put(p, " in ");
    put_dim(p, s->loop.begin);
    put(p, " to ");
    put_dim(p, s->loop.end);
    if (s->loop.kind == LT_VECTOR) put(p, " vector %u", s->loop.width);
    if (s->loop.kind == LT_UNROLLED) put(p, " unrolled");
    for (uint32_t i = 0; i < s->loop.n_carries; i++) {
        const lt_carry *c = &s->loop.carries[i];
        put(p, "%s%%%u = %%%u", i ? ", " : " carry(", c->inner, c->init);
        if (c->combine < TN_OP_COUNT) put(p, " by %s", op_table[c->combine].name);
        put(p, " -> %%%u", c->result);
    }
    put(p, s->loop.n_carries ? ") " : " ");
    put_block(p, &s->loop.body, s);
}

static void put_if(printer *p, const lt_stmt *s) {
    put(p, "if %%%u ", s->branch.condition);
    put_block(p, &s->branch.then, NULL);
    if (s->branch.otherwise.n) {
        put(p, " else ");
        put_block(p, &s->branch.otherwise, NULL);
    }
}

/* name[index; stride, stride] */
static void put_panel(printer *p, uint32_t buffer, tn_dim index, tn_dim stride, tn_dim second) {
    put(p, "%s[", p->kernel->buffers[buffer].name);
    put_dim(p, index);
    put(p, "; ");
    put_dim(p, stride);
    if (second != DIM_INVALID) {
        put(p, ", ");
        put_dim(p, second);
    }
    put(p, "]");
}

static void put_tile(printer *p, const lt_stmt *s) {
    put(p, "tile %u x %u depth ", s->tile.mr, s->tile.nr);
    put_dim(p, s->tile.depth);
    for (uint32_t i = 0; i < s->tile.n_inner; i++) {
        put(p, " by %u[", s->tile.inner[i].steps);
        put_dim(p, s->tile.inner[i].a);
        put(p, ", ");
        put_dim(p, s->tile.inner[i].b);
        put(p, "]");
    }
    put(p, ": ");
    put_panel(p, s->tile.c, s->tile.c_index, s->tile.c_row, DIM_INVALID);
    put(p, s->tile.accumulate ? " += " : " = ");
    put_panel(p, s->tile.a, s->tile.a_index, s->tile.a_row, s->tile.a_depth);
    put(p, " * ");
    put_panel(p, s->tile.b, s->tile.b_index, s->tile.b_depth, DIM_INVALID);
    if (s->tile.next == LT_NONE) return;
    put(p, " next ");
    put_panel(p, s->tile.next, s->tile.next_index, s->tile.next_step, DIM_INVALID);
}

static void put_transpose(printer *p, const lt_stmt *s) {
    put(p, "transpose %u x %u: ", s->transpose.rows, s->transpose.columns);
    put_panel(p, s->transpose.to.buffer, s->transpose.to.index, s->transpose.to.row, DIM_INVALID);
    put(p, " = ");
    put_panel(p, s->transpose.from.buffer, s->transpose.from.index, s->transpose.from.row, DIM_INVALID);
}

static void put_stmt(printer *p, lt_stmt *s) {
    start_line(p);
    if (p->line) s->line = p->line;
    if (s->result != LT_NONE) put(p, "%%%u = ", s->result);
    switch (s->kind) {
    case LT_CONST:
        put(p, "const ");
        put_constant(p, s->dtype, s->constant.bits);
        break;
    case LT_DIM:
        put(p, "dim ");
        put_dim(p, s->dim.dim);
        break;
    case LT_OP: put_op(p, s); break;
    case LT_LOAD:
        put(p, "load ");
        put_access(p, s);
        put_guard(p, s->access.guard);
        break;
    case LT_STORE:
        put(p, "store ");
        put_access(p, s);
        put(p, ", %%%u", s->access.value);
        put_guard(p, s->access.guard);
        break;
    case LT_BIND: put_bind(p, s); break;
    case LT_CHECK: put_check(p, s); break;
    case LT_LOOP: put_loop(p, s); break;
    case LT_IF: put_if(p, s); break;
    case LT_TILE: put_tile(p, s); break;
    case LT_TRANSPOSE: put_transpose(p, s); break;
    }
    if (s->result != LT_NONE) put(p, " : %s", tn_dtype_name(s->dtype));
    end_line(p, "");
}

static void put_block(printer *p, const lt_block *block, const lt_stmt *loop) {
    end_line(p, "{");
    p->indent++;
    for (uint32_t i = 0; i < block->n; i++) put_stmt(p, block->items[i]);
    if (loop && loop->loop.n_carries) {
        start_line(p);
        for (uint32_t i = 0; i < loop->loop.n_carries; i++)
            put(p, "%s%%%u", i ? ", " : "next ", loop->loop.carries[i].next);
        end_line(p, "");
    }
    p->indent--;
    start_line(p);
    put(p, "}");
}

static void put_header(printer *p) {
    static const char *const roles[] = {"in", "out", "temp", "scratch", "local"};
    const lt_kernel *k = p->kernel;
    put(p, "kernel @%s %s(", k->name, k->class_name);
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        const lt_buffer *b = &k->buffers[i];
        put(p, "%s%s %s: %s[", i ? ", " : "", roles[b->role], b->name, tn_dtype_name(b->dtype));
        put_dim(p, b->elements);
        put(p, b->is_streamed ? "] streamed" : "]");
    }
    put(p, ")");
    for (uint32_t i = 0; i < k->n_extents; i++) {
        put(p, "%s", i ? ", " : " extents(");
        put_dim(p, k->extents[i]);
    }
    put(p, k->n_extents ? ")" : "");
    static const char *const kinds[] = {[LT_SITE_INDEX] = "", [LT_SITE_NAN] = " nan", [LT_SITE_HINT] = " hint"};
    for (uint32_t i = 0; i < k->n_sites; i++)
        put(p, "%s%s%s", i ? ", " : " sites(", op_table[k->sites[i].op].name, kinds[k->sites[i].kind]);
    end_line(p, k->n_sites ? ") {" : " {");
}

char *lt_print_lines(const lt_kernel *k, uint32_t first) {
    printer p = {.kernel = k, .dims = k->module->dims, .indent = 1, .line = first};
    literal_locale locale;
    if (!literal_begin(&locale)) return NULL;
    put_header(&p);
    for (uint32_t i = 0; i < k->n_stages; i++) {
        start_line(&p);
        if (p.line) k->stages[i].line = p.line;
        put(&p, "stage ");
        put_dim(&p, k->stages[i].variable);
        put(&p, " in ");
        put_dim(&p, k->stages[i].chunks);
        put(&p, " ");
        put_block(&p, &k->stages[i].body, NULL);
        end_line(&p, "");
    }
    end_line(&p, "}");
    literal_end(&locale);
    if (p.failed) {
        tn_free(p.text);
        return NULL;
    }
    return p.text;
}

char *lt_print(const lt_kernel *k) { return lt_print_lines(k, 0); }
