/* Programs to bytes (see image.h). */
#include "compiler/image_data.h"
#include "compiler/image_fields.h"
#include "runtime/tensor.h"
#include "runtime/weights.h"

#include <string.h>

/* ---- Parts ------------------------------------------------------------------------------------------------------ */

/* Writes the place of a new part. */
static void add_part(fields *f, image_part part) {
    image *im = f->to;
    uint64_t offset = im->parts_bytes, bytes = part.bytes;
    if (!array_reserve((void **)&im->parts, &im->parts_capacity, im->n_parts + 1, sizeof *im->parts)) {
        f->no_memory = true;
        if (part.is_copy) tn_free((void *)(uintptr_t)part.data);
        return;
    }
    im->parts[im->n_parts++] = part;
    im->parts_bytes += bytes + image_padding(bytes);
    field_number(f, &offset);
    field_number(f, &bytes);
}

static void add_objects(fields *f, const compilation *c) {
    uint64_t n = c->n_objects;
    field_number(f, &n);
    for (size_t i = 0; i < c->n_objects; i++) {
        void *copy = tn_malloc(c->objects[i].size);
        if (copy)
            add_part(f,
                     (image_part){memcpy(copy, c->objects[i].bytes, c->objects[i].size), c->objects[i].size, true, 0});
        else
            f->no_memory = true;
    }
}

/* ---- Data --------------------------------------------------------------------------------------------------------- */

typedef struct write_context {
    const compilation *c;
    const module_data *user;
    const tn_program *prepare;
} write_context;

static size_t find_user_constant(const module_data *user, const void *data) {
    size_t i = 0;
    while (i < user->n_constants && user->constants[i]->data != data) i++;
    return i;
}

/* By name, too: weights of the same values are one in memory, but need not be in the next module. */
static size_t find_user_weight(const module_data *user, const void *data, const char *name) {
    size_t i = 0;
    while (i < user->n_weights &&
           (user->weights[i]->initial->data != data || strcmp(user->weights[i]->name, name) != 0))
        i++;
    return i;
}

static size_t bytes_in(const emitted_tables *t, const void *data) {
    for (size_t i = 0; i < t->n_constants; i++)
        if (t->constants[i]->data == data) return t->constants[i]->bytes;
    return 0;
}

static size_t bytes_of_weight(const tn_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].initial && strcmp(g->params[i].name, name) == 0) return g->params[i].initial->bytes;
    return 0;
}

static size_t bytes_of(const compilation *c, const void *data, const char *name) {
    if (name) return bytes_of_weight(c->prepare ? c->prepare : c->main, name);
    size_t bytes = bytes_in(&c->tables, data);
    return bytes ? bytes : bytes_in(&c->prepare_tables, data);
}

static void write_data(fields *f, const void **data, const char *name) {
    const write_context *w = f->ctx;
    uint64_t bytes = *data ? bytes_of(w->c, *data, name) : 0;
    size_t n = name ? w->user->n_weights : w->user->n_constants;
    uint64_t number = name ? find_user_weight(w->user, *data, name) : find_user_constant(w->user, *data);
    uint64_t place = !*data ? DATA_NONE : number == n ? DATA_PART : name ? DATA_WEIGHT : DATA_CONSTANT;
    field_number(f, &place);
    if (place == DATA_PART) add_part(f, (image_part){*data, (size_t)bytes, false, 0});
    if (place != DATA_CONSTANT && place != DATA_WEIGHT) return;
    field_number(f, &number);
    field_number(f, &bytes);
}

/* False: its size is not fixed. */
static bool tensor_bytes(const tn_tensor_info *info, uint64_t *bytes) {
    tn_tensor t = tensor_of_info(info, NULL);
    int64_t size = tn_tensor_bytes(&t);
    *bytes = (uint64_t)size;
    return size >= 0;
}

static void write_prepared(fields *f, uint32_t index) {
    const write_context *w = f->ctx;
    uint64_t place = DATA_PART, bytes = 0;
    tensor_bytes(&w->prepare->outputs[index], &bytes);
    field_number(f, &place);
    add_part(f, (image_part){NULL, (size_t)bytes, false, index + 1});
}

/* ---- The whole ------------------------------------------------------------------------------------------------------- */

/* The bytes that a set of packed weights takes; 0: there is none, it depends on weights, or it is too large. */
static uint64_t packed_bytes(const tn_program *p, uint64_t most) {
    uint64_t total = 0, bytes;
    if (!p->prepare || p->n_weights > 0) return 0;
    for (uint32_t i = 0; i < p->prepare->n_outputs; i++) {
        if (!tensor_bytes(&p->prepare->outputs[i], &bytes) || bytes > most) return 0;
        total += bytes + image_padding(bytes);
        if (total > most) return 0;
    }
    return total;
}

bool image_make(image *im, tn_program *p, const compilation *c, const module_data *user, uint64_t most_packed) {
    write_context context = {c, user, p->prepare};
    fields f = {.to = im, .data = write_data, .ctx = &context};
    *im = (image){0};
    uint64_t packed = packed_bytes(p, most_packed), has_prepare = p->prepare && !packed;
    field_number(&f, &has_prepare);
    add_objects(&f, c);
    if (has_prepare) program_fields(&f, p->prepare);
    if (packed) f.prepared = write_prepared;
    p->cached_bytes = (size_t)packed;
    program_fields(&f, p);
    p->cached_bytes = 0;
    return fields_are_good(&f);
}

static const void *packed_data(const tn_program *p, uint32_t prepared) {
    for (uint32_t i = 0; i < p->n_packed; i++)
        if (p->packed[i].kind == PACKED_PREPARED && p->packed[i].index == prepared) return p->set->packed[i];
    return NULL;
}

void image_take_packed(image *im, const tn_program *p) {
    for (size_t i = 0; p->set && i < im->n_parts; i++)
        if (im->parts[i].prepared) im->parts[i].data = packed_data(p, im->parts[i].prepared - 1);
}

uint64_t image_bytes(const image *im) {
    return sizeof(image_head) + im->description_bytes + image_padding(im->description_bytes) + im->parts_bytes;
}

tn_status image_write(const image *im, const cache_folder *folder, const digest *key, uint64_t limit, tn_diag *diag) {
    static const uint8_t zeros[IMAGE_ALIGNMENT];
    cache_writer w;
    tn_status status = cache_writer_begin(&w, folder, sizeof(image_head), diag);
    if (status != TN_OK) return status;
    cache_writer_add(&w, im->description, im->description_bytes);
    cache_writer_add(&w, zeros, image_padding(im->description_bytes));
    for (size_t i = 0; i < im->n_parts; i++) {
        cache_writer_add(&w, im->parts[i].data, im->parts[i].bytes);
        cache_writer_add(&w, zeros, image_padding(im->parts[i].bytes));
    }
    image_head head = {.format = IMAGE_FORMAT,
                       .head_bytes = sizeof head,
                       .key = *key,
                       .description_bytes = im->description_bytes,
                       .parts_bytes = im->parts_bytes};
    memcpy(head.magic, image_magic, sizeof head.magic);
    head.checksum = image_checksum(&head, digest_end(&w.content));
    return cache_writer_commit(&w, &head, sizeof head, key, limit, diag);
}

void image_free(image *im) {
    for (size_t i = 0; i < im->n_parts; i++)
        if (im->parts[i].is_copy) tn_free((void *)(uintptr_t)im->parts[i].data);
    tn_free(im->parts);
    tn_free(im->description);
    *im = (image){0};
}
