/* Comments in the code of kernels (see code_notes.h).
 *
 * in:  the text of a module of LLVM, or assembly; the plan that it was made from
 * out: the same text; before the function of stage 1 of kernel k3, and of all kernels that share it,
 *        ; k3 conv+add+max, stage 1, also k5 and k9
 *        ;   from conv1 (Conv), relu1 (Relu)
 */
#include "compiler/code_notes.h"

#include "compiler/kernel_title.h"
#include "ir/text.h"

#include <string.h>

/* The name of the function that a line begins: what stands between `@` and `(` of LLVM's "define", or before the colon
 * of a label. NULL: none. */
static const char *function_of_line(const char *line, size_t length, size_t *name_length) {
    const char *end = line + length, *at = line;
    char last = ':';
    if (length > 7 && memcmp(line, "define ", 7) == 0) {
        at = memchr(line, '@', length);
        last = '(';
        if (!at++) return NULL;
    } else if (length == 0 || line[length - 1] != ':')
        return NULL;
    const char *stop = memchr(at, last, (size_t)(end - at));
    *name_length = stop ? (size_t)(stop - at) : 0;
    return stop ? at : NULL;
}

/* Takes "prepare_k3.s1" apart: k3, and the stage's number. */
static bool split_name(const char *name, size_t length, const char **kernel, size_t *kernel_length, unsigned *stage) {
    static const char prepare[] = "prepare_";
    size_t digits = 0, scale = 1;
    *stage = 0;
    for (; digits < length && name[length - 1 - digits] >= '0' && name[length - 1 - digits] <= '9';
         digits++, scale *= 10)
        *stage += (unsigned)(scale * (size_t)(name[length - 1 - digits] - '0'));
    if (digits == 0 || length < digits + 2 || memcmp(name + length - digits - 2, ".s", 2) != 0) return false;
    *kernel = name;
    *kernel_length = length - digits - 2;
    if (*kernel_length >= sizeof prepare && memcmp(name, prepare, sizeof prepare - 1) == 0) {
        *kernel += sizeof prepare - 1;
        *kernel_length -= sizeof prepare - 1;
    }
    return true;
}

static const planned_kernel *kernel_named(const program_plan *p, const char *name, size_t length) {
    for (size_t i = 0; i < p->n_kernels; i++) {
        const char *other = p->kernels[i].loops->name;
        if (strlen(other) == length && memcmp(other, name, length) == 0) return &p->kernels[i];
    }
    return NULL;
}

/* Of the nodes that do work: constants and their views may be those of many other nodes. Of views where all are. */
static location_id places_of(const tn_graph *fused) {
    location_id work = LOCATION_NONE, views = LOCATION_NONE;
    for (size_t i = 0; i < fused->n_nodes; i++) {
        location_id *set = op_is_work((tn_op)fused->nodes[i].op) ? &work : &views;
        if (fused->nodes[i].op != TN_OP_param) *set = location_union(fused->module, *set, fused->nodes[i].locations);
    }
    return work != LOCATION_NONE ? work : views;
}

enum { MOST_SHARERS = 8 };

static void put_sharers(text_buffer *b, const program_plan *p, const planned_kernel *k) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_functions; i++) {
        const function_plan *f = &p->functions[i];
        if (!f->graph->is_kernel || &p->kernels[f->kernel] != k || f->graph == k->fused) continue;
        if (n < MOST_SHARERS) text_format(b, "%s%s", n ? ", " : ", also ", f->graph->name);
        n++;
    }
    if (n > MOST_SHARERS) text_format(b, " and %zu more", n - MOST_SHARERS);
}

static void put_note(text_buffer *b, const program_plan *p, const planned_kernel *k, unsigned stage, const char *sign) {
    char title[KERNEL_TITLE];
    kernel_title(k->fused, title, sizeof title);
    text_format(b, "%s %s: %s", sign, k->loops->name, title);
    if (k->loops->n_stages > 1) text_format(b, ", stage %u of %u", stage, (unsigned)k->loops->n_stages);
    put_sharers(b, p, k);
    text_format(b, "\n%s   from ", sign);
    text_locations_brief(b, p->module, places_of(k->fused));
    b->failed |= p->module->error.status != TN_OK; /* no memory for the set */
    text_add(b, "\n");
}

char *code_with_notes(const program_plan *p, char *code, const char *sign) {
    text_buffer b = {0};
    for (const char *line = code, *next; line && *line; line = next) {
        const char *end = strchr(line, '\n'), *kernel;
        size_t length = end ? (size_t)(end - line) : strlen(line), name_length, kernel_length;
        unsigned stage;
        next = line + length + (end != NULL);
        const char *name = function_of_line(line, length, &name_length);
        const planned_kernel *k = name && split_name(name, name_length, &kernel, &kernel_length, &stage)
                                      ? kernel_named(p, kernel, kernel_length)
                                      : NULL;
        if (k) put_note(&b, p, k, stage, sign);
        text_add_n(&b, line, (size_t)(next - line));
    }
    text_add_n(&b, "", 1);
    tn_free(code);
    if (code && !b.failed) return b.text;
    tn_free(b.text);
    return NULL;
}
