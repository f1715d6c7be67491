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

bool linked_code_link(linked_code *linked, const object_file *objects, size_t n, bool perf_map, tn_diag *diag) {
    linked->jit = jit_new(&(jit_options){.perf_map = perf_map}, diag);
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
