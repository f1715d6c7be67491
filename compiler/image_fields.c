/* Descriptions of programs, field by field (see image_fields.h). */
#include "compiler/image_fields.h"

#include <string.h>

/* ---- Bytes ------------------------------------------------------------------------------------------------------ */

void field_refuse(fields *f, const char *wrong) {
    if (!f->wrong) f->wrong = wrong;
}

bool fields_are_good(const fields *f) { return !f->wrong && !f->no_memory; }

static void write_bytes(fields *f, const void *bytes, size_t n) {
    image *im = f->to;
    if (array_reserve((void **)&im->description, &im->description_capacity, im->description_bytes + n, 1)) {
        if (n) memcpy(im->description + im->description_bytes, bytes, n);
        im->description_bytes += n;
    } else
        f->no_memory = true;
}

/* NULL: there are not so many. */
static const uint8_t *take_bytes(fields *f, uint64_t n) {
    const uint8_t *at = f->at;
    if (n > (uint64_t)(f->end - f->at)) {
        field_refuse(f, "its description is too short");
        f->at = f->end;
        return NULL;
    }
    f->at += n;
    return at;
}

void field_bytes(fields *f, void *bytes, size_t n) {
    if (!f->is_reading) {
        write_bytes(f, bytes, n);
        return;
    }
    const uint8_t *from = take_bytes(f, n);
    if (from)
        memcpy(bytes, from, n);
    else
        memset(bytes, 0, n);
}

void field_number(fields *f, uint64_t *number) { field_bytes(f, number, sizeof *number); }

/* A number of a smaller type, within [least, most]. */
static int64_t field_integer(fields *f, int64_t value, int64_t least, int64_t most) {
    uint64_t number = (uint64_t)value;
    field_number(f, &number);
    value = (int64_t)number;
    if (value >= least && value <= most) return value;
    field_refuse(f, "a number in it is out of range");
    return least;
}

static void field_text(fields *f, const char **text) {
    uint64_t length = !f->is_reading && *text ? strlen(*text) : UINT64_MAX;
    field_number(f, &length);
    if (!f->is_reading) {
        if (*text) write_bytes(f, *text, (size_t)length);
        return;
    }
    const uint8_t *bytes = length == UINT64_MAX ? NULL : take_bytes(f, length);
    *text = bytes ? arena_strndup(f->memory, (const char *)bytes, (size_t)length) : NULL;
    if (bytes && !*text) f->no_memory = true;
}

/* The number of a table's rows; while reading, *rows becomes that many zeroed ones of `bytes_each`. */
static void field_table(fields *f, uint32_t *n, void **rows, size_t bytes_each) {
    enum { LEAST_BYTES = 8 }; /* of a row as it is written: bounds what a wrong number can ask for */
    int64_t most = f->is_reading ? (f->end - f->at) / LEAST_BYTES : UINT32_MAX;
    *n = (uint32_t)field_integer(f, *n, 0, most < INT32_MAX ? most : INT32_MAX);
    if (!f->is_reading) return;
    *rows = arena_alloc(f->memory, (size_t)*n + 1, bytes_each);
    if (*rows) return;
    f->no_memory = true;
    *n = 0;
}

#define TABLE(f, n, rows) field_table((f), &(n), (void **)&(rows), sizeof *(rows))

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

static void tensor_fields(fields *f, tn_tensor_info *t) {
    field_text(f, &t->name);
    t->dtype = (tn_dtype)field_integer(f, t->dtype, 0, TN_DTYPE_COUNT - 1);
    t->rank = (int)field_integer(f, t->rank, 0, TN_MAX_RANK);
    for (int i = 0; i < t->rank; i++) {
        tn_dim_info *d = &t->dims[i];
        d->kind = (tn_dim_kind)field_integer(f, d->kind, 0, TN_DIM_EXPRESSION);
        d->value = field_integer(f, d->value, INT64_MIN, INT64_MAX);
        field_text(f, &d->text);
    }
    t->state_input = (int32_t)field_integer(f, t->state_input, -1, INT32_MAX);
}

static void tensor_table(fields *f, uint32_t *n, tn_tensor_info **tensors) {
    field_table(f, n, (void **)tensors, sizeof **tensors);
    for (uint32_t i = 0; i < *n; i++) tensor_fields(f, &(*tensors)[i]);
}

static void symbol_fields(fields *f, tn_symbol_info *s) {
    field_text(f, &s->name);
    s->lower = field_integer(f, s->lower, INT64_MIN, INT64_MAX);
    s->upper = field_integer(f, s->upper, INT64_MIN, INT64_MAX);
    s->divisor = field_integer(f, s->divisor, 1, INT64_MAX);
}

static void site_fields(fields *f, program_site *s) {
    s->kind = (site_kind)field_integer(f, s->kind, 0, SITE_KIND_COUNT - 1);
    field_text(f, &s->op);
    field_text(f, &s->location);
    field_text(f, &s->message);
    field_text(f, &s->type);
    field_text(f, &s->kernel);
    field_text(f, &s->gradient_of);
    s->group = (int32_t)field_integer(f, s->group, -1, INT32_MAX);
}

static void kernel_fields(fields *f, tn_kernel_info *k) {
    field_text(f, &k->name);
    field_text(f, &k->class_name);
    field_text(f, &k->locations);
    field_text(f, &k->title);
    field_bytes(f, &k->flops, sizeof k->flops);
}

static void weight_fields(fields *f, program_weight *w) {
    tensor_fields(f, &w->info);
    w->looks_for_nan = field_integer(f, w->looks_for_nan, 0, 1) != 0;
    f->data(f, &w->data, w->info.name);
}

static void packed_fields(fields *f, program_packed *p) {
    bool becomes_constant = p->kind == PACKED_PREPARED && f->prepared;
    packed_kind kind = (packed_kind)field_integer(f, becomes_constant ? PACKED_CONSTANT : p->kind, 0, PACKED_CONSTANT);
    uint32_t index = (uint32_t)field_integer(f, p->index, 0, UINT32_MAX);
    if (f->is_reading) *p = (program_packed){.kind = kind, .index = index};
    if (becomes_constant)
        f->prepared(f, index);
    else if (kind == PACKED_CONSTANT)
        f->data(f, &p->data, NULL);
}

void program_fields(fields *f, tn_program *p) {
    tensor_table(f, &p->n_inputs, &p->inputs);
    tensor_table(f, &p->n_outputs, &p->outputs);
    TABLE(f, p->n_symbols, p->symbols);
    for (uint32_t i = 0; i < p->n_symbols; i++) symbol_fields(f, &p->symbols[i]);
    TABLE(f, p->n_constraints, p->constraints);
    for (uint32_t i = 0; i < p->n_constraints; i++) field_text(f, &p->constraints[i].message);
    TABLE(f, p->n_sites, p->sites);
    for (uint32_t i = 0; i < p->n_sites; i++) site_fields(f, &p->sites[i]);
    TABLE(f, p->n_kernels, p->kernels);
    for (uint32_t i = 0; i < p->n_kernels; i++) kernel_fields(f, &p->kernels[i]);
    TABLE(f, p->n_customs, p->customs);
    for (uint32_t i = 0; i < p->n_customs; i++) field_text(f, &p->customs[i].name);
    TABLE(f, p->n_weights, p->weights);
    for (uint32_t i = 0; i < p->n_weights; i++) weight_fields(f, &p->weights[i]);
    TABLE(f, p->n_packed, p->packed);
    for (uint32_t i = 0; i < p->n_packed; i++) packed_fields(f, &p->packed[i]);
    TABLE(f, p->n_nan_inputs, p->nan_inputs);
    for (uint32_t i = 0; i < p->n_nan_inputs; i++)
        p->nan_inputs[i] = (uint32_t)field_integer(f, p->nan_inputs[i], 0, (int64_t)p->n_inputs - 1);
    p->live_bytes = field_integer(f, p->live_bytes, INT64_MIN, INT64_MAX);
    p->cached_bytes = (size_t)field_integer(f, (int64_t)p->cached_bytes, 0, INT64_MAX);
}
