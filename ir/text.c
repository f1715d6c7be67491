/* A growing text and the spelling of names, dims and types in it. */
#include "ir/text.h"

#include "ir/dim_print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for n more bytes; NULL after a failure. */
static char *reserve(text_buffer *b, size_t n) {
    void *text = b->text;
    if (b->failed || n > SIZE_MAX / 2 - b->length || !array_reserve(&text, &b->capacity, b->length + n, 1)) {
        b->failed = true;
        return NULL;
    }
    b->text = text;
    return b->text + b->length;
}

void text_add_n(text_buffer *b, const char *text, size_t length) {
    char *at = reserve(b, length);
    if (!at || length == 0) return;
    memcpy(at, text, length);
    b->length += length;
}

void text_add(text_buffer *b, const char *text) { text_add_n(b, text, strlen(text)); }

void text_format(text_buffer *b, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    char *at = n < 0 ? NULL : reserve(b, (size_t)n + 1); /* its end mark is overwritten by what follows */
    if (at) b->length += (size_t)vsnprintf(at, (size_t)n + 1, format, again);
    b->failed |= n < 0;
    va_end(again);
    va_end(arguments);
}

void text_quote(text_buffer *b, const char *text) {
    text_add(b, "\"");
    for (; *text; text++) {
        char escaped[5];
        text_add_n(b, escaped, quote_char((unsigned char)*text, escaped));
    }
    text_add(b, "\"");
}

const char *location_node_name(const tn_location *at, size_t *length) {
    static const char before[] = ": node '";
    const char *name = strstr(at->file, before), *end = name ? strrchr(name, '\'') : NULL;
    if (!name || end < name + sizeof before) return NULL;
    name += sizeof before - 1;
    *length = (size_t)(end - name);
    return name;
}

void text_name(text_buffer *b, char sign, const char *name) {
    text_add_n(b, &sign, 1);
    if (name_is_plain(name))
        text_add(b, name);
    else
        text_quote(b, name);
}

void text_dim(text_buffer *b, const dim_table *dims, tn_dim d) {
    char few[128];
    size_t n = dim_print(dims, d, few, sizeof few);
    if (n < sizeof few) {
        text_add_n(b, few, n);
        return;
    }
    char *at = reserve(b, n + 1);
    if (!at) return;
    dim_print(dims, d, at, n + 1);
    b->length += n;
}

void text_type(text_buffer *b, const dim_table *dims, const tn_type *type) {
    text_add(b, tn_dtype_name((tn_dtype)type->dtype));
    if (type->dtype == TN_TOKEN) return;
    text_add(b, "[");
    for (int axis = 0; axis < type->rank; axis++) {
        if (axis) text_add(b, ", ");
        text_dim(b, dims, type->dims[axis]);
    }
    text_add(b, "]");
}
