/* Messages by table: from the bytes of a protobuf message to a C struct (see proto_message.h).
 *
 * Every message is walked twice: first its fields are checked and counted, then its lists are
 * allocated at their final size and filled. What lies inside a field is skipped by its length in
 * the first walk, so both together touch each field of each message twice, whatever the nesting.
 *
 * law: memory grows with the number of fields given (two bytes of file may ask for one struct) and
 * stops at limits.max_struct_bytes.
 */
#include "frontends/onnx/proto_message.h"

#include "frontends/onnx/proto_wire.h"
#include "runtime/diag.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What every ONNX_LIST looks like. */
typedef struct any_list {
    void *items;
    size_t count;
} any_list;

/* How one value of each kind is written in the file, how large it is in an array, and whether a
 * list may come as one field with bare values. */
typedef struct kind_info {
    wire_type wire;
    bool packs;
    size_t size;
} kind_info;

static const kind_info kinds[] = {
    [FIELD_INT64] = {WIRE_VARINT, true, sizeof(int64_t)},
    [FIELD_INT32] = {WIRE_VARINT, true, sizeof(int32_t)},
    [FIELD_FLOAT] = {WIRE_FIXED32, true, sizeof(float)},
    [FIELD_DOUBLE] = {WIRE_FIXED64, true, sizeof(double)},
    [FIELD_TEXT] = {WIRE_BYTES, false, sizeof(const char *)},
    [FIELD_BYTES] = {WIRE_BYTES, false, sizeof(onnx_bytes)},
    [FIELD_MESSAGE] = {WIRE_BYTES, false, 0}, /* size: the message's */
};

/* ---- Diagnostics ------------------------------------------------------------------------ */

/* Writes the path backwards from the end of `buffer`; too long a path loses its beginning. */
static const char *path_text(const proto_path *path, char *buffer, size_t size) {
    size_t start = size - 1;
    buffer[start] = '\0';
    for (; path && path->up; path = path->up) {
        char part[80];
        int length = path->index < 0 ? snprintf(part, sizeof part, "%s", path->name)
                                     : snprintf(part, sizeof part, "%s[%" PRId64 "]", path->name, path->index);
        const char *dot = path->up->up ? "." : "";
        size_t needed = (size_t)length + strlen(dot);
        if (needed + 4 > start) {
            start -= 3;
            memcpy(buffer + start, "...", 3);
            break;
        }
        start -= needed;
        memcpy(buffer + start, dot, strlen(dot));
        memcpy(buffer + start + strlen(dot), part, (size_t)length);
    }
    return buffer + start;
}

tn_status proto_fail(proto_parser *parser, const proto_path *path, const uint8_t *at, tn_status status,
                     const char *format, ...) {
    if (!parser->diag) return status;
    char buffer[400];
    const char *where = path_text(path, buffer, sizeof buffer);
    char reason[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return diag_fail(parser->diag, status, "%s%s%s (byte %zu)", where, *where ? ": " : "", reason,
                     (size_t)(at - parser->base));
}

/* ---- Memory and text -------------------------------------------------------------------- */

static tn_status allocate(proto_parser *parser, const proto_path *path, size_t count, size_t bytes_each, void **out) {
    *out = arena_alloc(parser->arena, count, bytes_each);
    if (*out) return TN_OK;
    size_t limit = parser->arena->limit_bytes, left = limit - parser->arena->used_bytes, bytes;
    bool over = limit != 0 && (__builtin_mul_overflow(count, bytes_each, &bytes) || bytes + 16 > left);
    return proto_fail(parser, path, path->bytes.data, over ? TN_ERR_LIMIT : TN_ERR_MEMORY,
                      over ? "the model's structure takes more than the limit of %zu bytes"
                           : "out of memory (%zu bytes are allowed)",
                      limit);
}

/* Length of the UTF-8 sequence at `bytes`, 0 when it is not one (Unicode 15, table 3-7). */
static size_t utf8_length(const uint8_t *bytes, size_t left) {
    uint8_t lead = bytes[0];
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80) return 0;
    bool overlong = (lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xf0 && bytes[1] < 0x90);
    bool surrogate = lead == 0xed && bytes[1] > 0x9f;
    bool too_large = lead == 0xf4 && bytes[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}

static tn_status copy_text(proto_parser *parser, const proto_path *path, onnx_bytes bytes, const char **out) {
    if (bytes.size == 0) {
        *out = "";
        return TN_OK;
    }
    if (bytes.size > parser->limits.max_string_bytes)
        return proto_fail(parser, path, bytes.data, TN_ERR_LIMIT, "text of %zu bytes, the limit is %zu", bytes.size,
                          parser->limits.max_string_bytes);
    for (size_t i = 0; i < bytes.size;) {
        size_t length = utf8_length(bytes.data + i, bytes.size - i);
        if (length == 0 || bytes.data[i] == 0)
            return proto_fail(parser, path, bytes.data + i, TN_ERR_PARSE, "text is not valid UTF-8");
        i += length;
    }
    void *copy;
    tn_status status = allocate(parser, path, bytes.size + 1, 1, &copy);
    if (status != TN_OK) return status;
    memcpy(copy, bytes.data, bytes.size);
    *out = copy;
    return TN_OK;
}

/* ---- One field -------------------------------------------------------------------------- */

static const proto_field *find_field(const proto_message *type, uint32_t number) {
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].number == number) return &type->fields[i];
    return NULL;
}

static bool is_packed(const proto_field *field, const wire_field *read) {
    return field->label != ONCE && kinds[field->kind].packs && read->type == WIRE_BYTES;
}

static size_t size_each(const proto_field *field) {
    return field->kind == FIELD_MESSAGE ? field->message->size : kinds[field->kind].size;
}

static tn_status store_number(proto_parser *parser, const proto_path *path, const proto_field *field, uint64_t value,
                              void *place) {
    if (field->kind == FIELD_INT64 || field->kind == FIELD_DOUBLE) {
        memcpy(place, &value, sizeof value);
    } else if (field->kind == FIELD_FLOAT) {
        uint32_t bits = (uint32_t)value;
        memcpy(place, &bits, sizeof bits);
    } else {
        int64_t wide;
        memcpy(&wide, &value, sizeof wide);
        if (wide < INT32_MIN || wide > INT32_MAX)
            return proto_fail(parser, path, path->bytes.data, TN_ERR_PARSE, "%" PRId64 " does not fit in 32 bits",
                              wide);
        int32_t narrow = (int32_t)wide;
        memcpy(place, &narrow, sizeof narrow);
    }
    return TN_OK;
}

static tn_status store_message(proto_parser *parser, const proto_path *path, const proto_field *field, void *place) {
    void *message = place;
    if (field->label == ONCE) {
        tn_status status = allocate(parser, path, 1, field->message->size, &message);
        if (status != TN_OK) return status;
        memcpy(place, &message, sizeof message);
    }
    return proto_parse(parser, field->message, path, message);
}

static tn_status store_value(proto_parser *parser, const proto_path *path, const proto_field *field,
                             const wire_field *read, void *place) {
    const char *copy = NULL;
    tn_status status = TN_OK;
    switch (field->kind) {
    case FIELD_MESSAGE: return store_message(parser, path, field, place);
    case FIELD_BYTES: memcpy(place, &read->bytes, sizeof read->bytes); return TN_OK;
    case FIELD_TEXT:
        status = copy_text(parser, path, read->bytes, &copy);
        memcpy(place, (const void *)&copy, sizeof copy);
        return status;
    default: return store_number(parser, path, field, read->value, place);
    }
}

static tn_status append_packed(proto_parser *parser, const proto_path *path, const proto_field *field,
                               const wire_field *read, any_list *list) {
    wire_reader values = wire_open(read->bytes);
    while (values.in.bytes_left > 0) {
        uint64_t value;
        const uint8_t *at = wire_position(&values);
        if (!wire_value(&values, kinds[field->kind].wire, &value))
            return proto_fail(parser, path, at, TN_ERR_PARSE, "%s", values.error);
        char *place = (char *)list->items + list->count * size_each(field);
        tn_status status = store_number(parser, path, field, value, place);
        if (status != TN_OK) return status;
        list->count++;
    }
    return TN_OK;
}

/* ---- One message ------------------------------------------------------------------------ */

/* First walk: checks wire types, choices and repetition; counts values by row. */
static tn_status count_fields(proto_parser *parser, const proto_message *type, const proto_path *path, size_t *counts,
                              const proto_field **choice) {
    wire_reader reader = wire_open(path->bytes);
    for (;;) {
        wire_field read;
        const uint8_t *at = wire_position(&reader);
        wire_result result = wire_next(&reader, &read);
        if (result == WIRE_END) return TN_OK;
        if (result == WIRE_ERROR && reader.lacking && !path->up)
            return proto_fail(parser, path, at, TN_ERR_PARSE,
                              "the file is cut short, or damaged: a field needs %" PRIu64 " bytes more",
                              reader.lacking);
        if (result == WIRE_ERROR) return proto_fail(parser, path, at, TN_ERR_PARSE, "%s", reader.error);
        const proto_field *field = find_field(type, read.number);
        if (!field) continue;
        if (field->label == REFUSED)
            return proto_fail(parser, path, at, TN_ERR_UNSUPPORTED, "'%s' is not supported", field->name);
        bool packed = is_packed(field, &read);
        if (read.type != kinds[field->kind].wire && !packed)
            return proto_fail(parser, path, at, TN_ERR_PARSE, "field '%s' has wire type %s, expected %s", field->name,
                              wire_type_name(read.type), wire_type_name(kinds[field->kind].wire));
        if (field->is_choice && *choice && *choice != field)
            return proto_fail(parser, path, at, TN_ERR_PARSE, "both '%s' and '%s' are given, expected one of them",
                              (*choice)->name, field->name);
        if (field->is_choice) *choice = field;
        size_t values = 1;
        if (packed && !wire_packed_count(read.bytes, kinds[field->kind].wire, &values))
            return proto_fail(parser, path, at, TN_ERR_PARSE, "the last value of '%s' is cut off", field->name);
        size_t *count = &counts[field - type->fields];
        *count += values;
        if (field->label == ONCE && field->kind == FIELD_MESSAGE && *count > 1)
            return proto_fail(parser, path, at, TN_ERR_PARSE, "field '%s' is given twice", field->name);
    }
}

static tn_status allocate_lists(proto_parser *parser, const proto_message *type, const proto_path *path,
                                const size_t *counts, any_list *lists) {
    for (size_t i = 0; i < type->field_count; i++) {
        const proto_field *field = &type->fields[i];
        if (field->label != REPEATED || counts[i] == 0) continue;
        tn_status status = allocate(parser, path, counts[i], size_each(field), &lists[i].items);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

/* Second walk: everything in it was checked by the first, but for what lies deeper. */
static tn_status fill_fields(proto_parser *parser, const proto_message *type, const proto_path *path, any_list *lists,
                             char *message) {
    wire_reader reader = wire_open(path->bytes);
    wire_field read;
    tn_status status = TN_OK;
    while (status == TN_OK && wire_next(&reader, &read) == WIRE_FIELD) {
        const proto_field *field = find_field(type, read.number);
        if (!field || field->label == UNSTORED) continue;
        any_list *list = &lists[field - type->fields];
        bool is_list = field->label == REPEATED;
        assert(!is_list || list->items || is_packed(field, &read)); /* the first walk counted it */
        proto_path down = {path, field->name, is_list ? (int64_t)list->count : -1, read.bytes};
        if (!down.bytes.data) down.bytes.data = wire_position(&reader);
        if (is_packed(field, &read)) {
            status = append_packed(parser, &down, field, &read, list);
        } else if (is_list) {
            status = store_value(parser, &down, field, &read, (char *)list->items + list->count * size_each(field));
            list->count++;
        } else {
            status = store_value(parser, &down, field, &read, message + field->offset);
        }
    }
    return status;
}

/* Texts that the file leaves out are "", lists go where they belong. */
static void settle(const proto_message *type, const any_list *lists, char *message) {
    for (size_t i = 0; i < type->field_count; i++) {
        const proto_field *field = &type->fields[i];
        char *place = message + field->offset;
        if (lists[i].items) memcpy(place, &lists[i], sizeof lists[i]);
        if (field->kind == FIELD_TEXT && field->label == ONCE && !field->is_choice) {
            const char *given;
            memcpy((void *)&given, place, sizeof given);
            given = given ? given : "";
            memcpy(place, (const void *)&given, sizeof given);
        }
    }
}

static tn_status parse_fields(proto_parser *parser, const proto_message *type, const proto_path *path, char *message) {
    size_t counts[PROTO_MAX_FIELDS] = {0};
    any_list lists[PROTO_MAX_FIELDS] = {{0}};
    const proto_field *choice = NULL;
    tn_status status = count_fields(parser, type, path, counts, &choice);
    if (status == TN_OK) status = allocate_lists(parser, type, path, counts, lists);
    if (status == TN_OK) status = fill_fields(parser, type, path, lists, message);
    if (status != TN_OK) return status;
    settle(type, lists, message);
    int32_t which = choice ? (int32_t)choice->number : 0;
    if (type->which != PROTO_NOWHERE) memcpy(message + type->which, &which, sizeof which);
    if (type->body != PROTO_NOWHERE) memcpy(message + type->body, &path->bytes, sizeof path->bytes);
    return TN_OK;
}

tn_status proto_parse(proto_parser *parser, const proto_message *type, const proto_path *path, void *message) {
    if (type->is_graph && parser->depth >= parser->limits.max_depth)
        return proto_fail(parser, path, path->bytes.data, TN_ERR_LIMIT, "graphs are nested more than %zu deep",
                          parser->limits.max_depth);
    parser->depth += type->is_graph;
    tn_status status = parse_fields(parser, type, path, message);
    parser->depth -= type->is_graph;
    if (status == TN_OK && type->check) status = type->check(parser, path, message);
    return status;
}
