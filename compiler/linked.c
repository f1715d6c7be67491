/* Code of programs (see linked.h). */
#include "compiler/linked.h"

#include "ir/graph.h"

#include <stdio.h>
#include <string.h>

void linked_code_free(void *linked) {
    linked_code *c = linked;
    jit_unit_free(c->unit);
    jit_free(c->jit);
    tn_module_free(c->module);
    blas_close(c->blas);
    cache_map_end(&c->map);
    tn_free(c);
}

/* ---- Names for `perf` ---- */

/* Titles of the kernels called `name`, which has `length` bytes: the first, and how many more calls are of the same
 * function. Without spaces: tools take the second word of a line for the function. */
static void write_title(const tn_program *p, const char *name, size_t length, char *text, size_t bytes) {
    const char *title = NULL;
    uint32_t more = 0;
    for (uint32_t i = 0; p && i < p->n_kernels; i++) {
        const tn_kernel_info *k = &p->kernels[i];
        if (strncmp(k->name, name, length) != 0 || k->name[length]) continue;
        more += title != NULL;
        if (!title) title = k->title;
    }
    if (!title) return;
    snprintf(text, bytes, more ? ":%s:and_%u_more" : ":%s", title, more);
    for (char *c = text; *c; c++)
        if (*c == ' ') *c = ':';
}

/* Of "k3.s0" or "prepare_k5.s1". */
static void title_of(void *ctx, const char *symbol, char *text, size_t bytes) {
    static const char prepare[] = "prepare_";
    const tn_program *p = ctx;
    const char *stage = strrchr(symbol, '.');
    bool is_prepare = strncmp(symbol, prepare, sizeof prepare - 1) == 0;
    const char *name = is_prepare ? symbol + sizeof prepare - 1 : symbol;
    if (stage > name) write_title(is_prepare ? p->prepare : p, name, (size_t)(stage - name), text, bytes);
}

bool linked_code_link(linked_code *linked, const object_file *objects, size_t n, bool perf_map, tn_program *p,
                      tn_diag *diag) {
    linked->jit = jit_new(&(jit_options){.perf_map = perf_map, .title = title_of, .title_ctx = p}, diag);
    linked->unit = linked->jit ? jit_add_objects(linked->jit, objects, n, diag) : NULL;
    return linked->unit != NULL;
}

bool linked_code_find(const linked_code *linked, const char *prefix, tn_program *p, tn_diag *diag) {
    char name[64];
    snprintf(name, sizeof name, "%sbind", prefix);
    void *bind = jit_lookup(linked->unit, name, diag);
    snprintf(name, sizeof name, "%srun", prefix);
    void *run = jit_lookup(linked->unit, name, diag);
    if (!bind || !run) return false;
    /* POSIX: an object pointer from a symbol look-up holds a function's address. */
    memcpy(&p->bind, &bind, sizeof bind);
    memcpy(&p->run, &run, sizeof run);
    return true;
}

tn_program *linked_code_program(const char *name, linked_code **linked) {
    *linked = tn_calloc(1, sizeof **linked);
    tn_program *p = *linked ? program_new(name) : NULL;
    if (p) {
        p->destroy = linked_code_free;
        p->destroy_ctx = *linked;
    } else
        tn_free(*linked);
    return p;
}
