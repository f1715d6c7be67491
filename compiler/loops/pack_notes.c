/* Why a product is cut as it is, told to those who ask (lt_note).
 *
 * in:  a product whose blocking is chosen (pack_plan.c, whose constants stand behind each reason)
 * out: notes of its kernel
 */
#include "compiler/loops/pack.h"

#include <stdio.h>

enum { TEXT = 40 };

static const char *extent_text(int64_t extent, char out[TEXT]) {
    if (extent < 0) return "any number of"; /* known when it runs */
    snprintf(out, TEXT, "%lld", (long long)extent);
    return out;
}

static const char *kib_text(int64_t bytes, char out[TEXT]) {
    snprintf(out, TEXT, bytes < 10240 ? "%.1f KiB" : "%.0f KiB", (double)bytes / 1024);
    return out;
}

static void note_shape(product *p, const product_shape *s) {
    char rows[TEXT], columns[TEXT], depth[TEXT], outer[TEXT], lines[TEXT];
    bool in_lines = s->lines > 0;
    lt_note(&p->a->b, "a product A B: %s%s%s rows by %s columns, depth %s%s%s%s",
            in_lines ? extent_text(s->lines, lines) : "", in_lines ? " x " : "", extent_text(s->rows, rows),
            extent_text(s->columns, columns), extent_text(s->depth, depth), s->outer == 1 ? "" : ", ",
            s->outer == 1 ? "" : extent_text(s->outer, outer), s->outer == 1 ? "" : " times");
}

static void note_tile(product *p, const product_shape *s) {
    const machine *m = p->a->b.machine;
    const blocking *b = &p->how;
    int lanes = machine_lanes(m, 8 * s->element_bytes);
    long long vectors = (long long)((b->nr + lanes - 1) / lanes), sums = vectors * (long long)b->mr;
    if (b->nr < lanes)
        lt_note(&p->a->b,
                "tile of %lld rows by %lld columns, less than the %d lanes of a register: there are no more columns",
                (long long)b->mr, (long long)b->nr, lanes);
    else
        lt_note(
            &p->a->b,
            "tile of %lld rows by %lld vectors of %d lanes: %lld sums, %lld vectors of B and one element of A in %d "
            "registers; of all tiles that fit, this one takes the fewest cycles for these extents",
            (long long)b->mr, vectors, lanes, sums, vectors, m->vector_count);
}

static void note_operands(product *p, const product_shape *s) {
    const blocking *b = &p->how;
    lt_builder *out = &p->a->b;
    if (b->packs[SIDE_A] && s->is_plain[SIDE_A])
        lt_note(out, "A is copied first: its steps of the depth lie %lld bytes apart, a page or more for a few",
                (long long)s->step_bytes);
    else if (b->packs[SIDE_A])
        lt_note(out, "A is copied first: its elements do not lie by constant strides in one buffer of the sum's dtype");
    else
        lt_note(out, "A is read where it lies");
    if (b->in_panels)
        lt_note(out, "B lies in panels of %lld columns, packed once when the program was loaded", (long long)b->nr);
    else if (b->by_steps)
        lt_note(out, "B is copied step by step of the depth, %s",
                b->packs_in_chunk ? "by each chunk for itself" : "once for all chunks");
    else if (b->packs[SIDE_B])
        lt_note(
            out,
            "B is copied into panels of %lld columns first: it is computed at run time, and read again for each row "
            "of tiles",
            (long long)b->nr);
    else
        lt_note(out, "B is read where it lies: %s",
                s->rows >= 0 && s->rows <= b->mr ? "one row of tiles reads it once"
                : s->depth > 0 && s->depth * s->column_bytes <= (int64_t)p->a->b.machine->l1_bytes
                    ? "it stays in the first cache"
                    : "rows of it are that far apart that they do not get into each other's way in the first cache");
}

static void note_depth(product *p, const product_shape *s) {
    const machine *m = p->a->b.machine;
    const blocking *b = &p->how;
    char panel[TEXT], cache[TEXT];
    int64_t bytes = (b->mr + b->nr) * s->depth * (int64_t)s->element_bytes;
    if (b->depth_block == 0)
        lt_note(&p->a->b,
                s->depth > 0 ? "the whole depth at once: what a tile reads (%s) fits the L2 of %s"
                             : "the whole depth at once, which is known when it runs",
                kib_text(bytes, panel), kib_text((int64_t)m->l2_bytes, cache));
    else if (!b->packs[SIDE_B] && !b->in_panels)
        lt_note(&p->a->b, "depth %lld rows of B at a time, as many streams as memory is read ahead for",
                (long long)b->depth_block);
    else
        lt_note(&p->a->b,
                "depth in blocks of %lld, sums kept in scratch between: what a tile reads of the whole (%s) would not "
                "stay in the L2 of %s",
                (long long)b->depth_block, kib_text(bytes, panel), kib_text((int64_t)m->l2_bytes, cache));
}

static void note_chunks(product *p, const product_shape *s) {
    const blocking *b = &p->how;
    int64_t rows = b->row_tiles * b->mr, columns = b->panels * b->nr, lines = s->lines > 0 ? s->lines : 1;
    if (s->lines > 0 && b->lines > 0) rows = b->lines * s->rows, lines = 1;
    if (s->rows < 0 || s->columns < 0 || s->outer < 0 || rows <= 0 || columns <= 0) {
        lt_note(&p->a->b, "chunks for threads of %lld rows by %lld columns", (long long)rows, (long long)columns);
        return;
    }
    int64_t all_rows = s->lines > 0 ? s->lines * s->rows : s->rows;
    if (rows > all_rows) rows = all_rows;
    if (columns > s->columns) columns = s->columns;
    int64_t n = s->outer * lines * ((all_rows + rows - 1) / rows) * ((s->columns + columns - 1) / columns);
    lt_note(&p->a->b, "%lld chunk%s for threads, of %lld rows by %lld columns, a %s of tiles at a time", (long long)n,
            n == 1 ? "" : "s", (long long)rows, (long long)columns, b->rows_first ? "row" : "column");
}

void product_note(product *p) {
    if (!p->a->b.machine->keeps_notes) return;
    product_shape s = product_known_shape(p);
    note_shape(p, &s);
    note_tile(p, &s);
    note_operands(p, &s);
    note_depth(p, &s);
}

void product_note_chunks(product *p) {
    if (!p->a->b.machine->keeps_notes) return;
    product_shape s = product_known_shape(p);
    note_chunks(p, &s);
}
