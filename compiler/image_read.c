/* Programs from bytes (see image.h). */
#include "compiler/image_data.h"
#include "compiler/image_fields.h"

#include <string.h>

typedef struct read_context {
    const uint8_t *parts;
    uint64_t parts_bytes;
    const module_data *user;
    image_content *content;
} read_context;

/* ---- Parts -------------------------------------------------------------------------------------------------------- */

static const void *read_part(fields *f, uint64_t *bytes) {
    const read_context *r = f->ctx;
    uint64_t offset;
    field_number(f, &offset);
    field_number(f, bytes);
    bool is_inside = offset <= r->parts_bytes && *bytes <= r->parts_bytes - offset;
    if (is_inside && offset % IMAGE_ALIGNMENT == 0) return r->parts + offset;
    field_refuse(f, "a part is not where it should be");
    *bytes = 0;
    return NULL;
}

static void read_objects(fields *f, image_content *content) {
    uint64_t n, bytes;
    field_number(f, &n);
    if (n > (uint64_t)(f->end - f->at) / (2 * sizeof n)) {
        field_refuse(f, "it has more objects than bytes");
        return;
    }
    content->objects = tn_calloc((size_t)n + 1, sizeof *content->objects);
    content->n_objects = content->objects ? (size_t)n : 0;
    if (!content->objects) f->no_memory = true;
    for (size_t i = 0; i < content->n_objects; i++) {
        content->objects[i].bytes = read_part(f, &bytes);
        content->objects[i].size = (size_t)bytes;
    }
}

/* ---- Data ----------------------------------------------------------------------------------------------------------- */

static const void *read_user_data(fields *f, bool is_weight) {
    const read_context *r = f->ctx;
    uint64_t number, bytes;
    field_number(f, &number);
    field_number(f, &bytes);
    const tensor_data *data = NULL;
    if (is_weight && number < r->user->n_weights) data = r->user->weights[number]->initial;
    if (!is_weight && number < r->user->n_constants) data = r->user->constants[number];
    if (!data || data->bytes != bytes) field_refuse(f, "it names data that the module does not have");
    r->content->reads_module = true;
    return data ? data->data : NULL;
}

static void read_data(fields *f, const void **data, const char *name) {
    const read_context *r = f->ctx;
    uint64_t place, bytes;
    (void)name;
    *data = NULL;
    field_number(f, &place);
    if (place == DATA_PART) {
        *data = read_part(f, &bytes);
        r->content->reads_map = true;
    } else if (place == DATA_CONSTANT || place == DATA_WEIGHT)
        *data = read_user_data(f, place == DATA_WEIGHT);
    else if (place != DATA_NONE)
        field_refuse(f, "data in it are nowhere");
}

/* ---- The whole --------------------------------------------------------------------------------------------------------- */

/* NULL: whole, and of that key. */
static const char *check_head(const cache_map *map, const digest *key, image_head *head) {
    if (map->size < sizeof *head) return "it is shorter than its head";
    memcpy(head, map->bytes, sizeof *head);
    if (memcmp(head->magic, image_magic, sizeof head->magic) != 0) return "it does not begin as an image does";
    if (head->format != IMAGE_FORMAT || head->head_bytes != sizeof *head) return "it is of another format";
    if (memcmp(&head->key, key, sizeof *key) != 0) return "it is of another key";
    uint64_t left = map->size - sizeof *head;
    if (head->description_bytes > left) return "its length is not what its head says";
    left -= head->description_bytes;
    uint64_t padding = image_padding(head->description_bytes);
    if (left < padding || left - padding != head->parts_bytes) return "its length is not what its head says";
    digest checksum = image_checksum(head, digest_of(map->bytes + sizeof *head, map->size - sizeof *head));
    return memcmp(&checksum, &head->checksum, sizeof checksum) == 0 ? NULL : "its checksum is wrong";
}

static void read_description(fields *f, tn_program *p, image_content *content) {
    uint64_t has_prepare;
    field_number(f, &has_prepare);
    if (has_prepare > 1) field_refuse(f, "a number in it is out of range");
    read_objects(f, content);
    content->has_prepare = has_prepare == 1;
    if (content->has_prepare && fields_are_good(f)) {
        p->prepare = program_new("prepare");
        if (!p->prepare) f->no_memory = true;
        if (p->prepare) f->memory = &p->prepare->memory;
        if (p->prepare) program_fields(f, p->prepare);
    }
    f->memory = &p->memory;
    if (fields_are_good(f)) program_fields(f, p);
    if (f->at != f->end) field_refuse(f, "its description is too long");
}

const char *image_read(const cache_map *map, const digest *key, const module_data *user, tn_program *p,
                       image_content *content) {
    image_head head;
    *content = (image_content){0};
    const char *wrong = check_head(map, key, &head);
    if (wrong) return wrong;
    const uint8_t *description = map->bytes + sizeof head;
    read_context context = {.parts = description + head.description_bytes + image_padding(head.description_bytes),
                            .parts_bytes = head.parts_bytes,
                            .user = user,
                            .content = content};
    fields f = {.is_reading = true,
                .memory = &p->memory,
                .at = description,
                .end = description + head.description_bytes,
                .data = read_data,
                .ctx = &context};
    read_description(&f, p, content);
    return f.no_memory ? "" : f.wrong;
}
