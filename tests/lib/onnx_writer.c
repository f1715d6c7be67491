/* ONNX models from text: see onnx_writer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontends/onnx/tensorproto.h"
#include "tests/lib/onnx_writer.h"

/* ---- Protobuf ------------------------------------------------------------------------------- */

typedef struct buffer {
    char *data;
    size_t n, capacity;
} buffer;

static void put(buffer *b, const void *data, size_t n) {
    if (b->n + n + 1 > b->capacity) {
        b->capacity = 2 * (b->n + n) + 64;
        char *grown = realloc(b->data, b->capacity);
        if (!grown) abort();
        b->data = grown;
    }
    if (n > 0) memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void put_varint(buffer *b, uint64_t value) {
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(b, &byte, 1);
        value >>= 7;
    } while (value);
}

static void put_int(buffer *b, int field, int64_t value) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)value);
}

static void put_bytes(buffer *b, int field, const void *data, size_t n) {
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    put(b, data, n);
}

static void put_text(buffer *b, int field, const char *text) { put_bytes(b, field, text, strlen(text)); }

/* A message as a field; it is given up. */
static void put_message(buffer *b, int field, buffer *message) {
    put_bytes(b, field, message->data, message->n);
    free(message->data);
    *message = (buffer){0};
}

static void put_float(buffer *b, int field, float value) {
    put_varint(b, (uint64_t)field << 3 | 5);
    put(b, &value, sizeof value);
}

/* ---- Words ---------------------------------------------------------------------------------- */

enum { WORDS = 96, WORD_BYTES = 160, GRAPHS = 16 };

typedef struct writer {
    const char *at;
    char words[WORDS][WORD_BYTES];
    int n_words;
    buffer model;
    struct {
        char name[WORD_BYTES];
        buffer bytes;
    } graphs[GRAPHS];
    int n_graphs;
} writer;

/* The words of the next line that has some; false: the end. */
static int next_line(writer *w) {
    for (w->n_words = 0; *w->at && w->n_words == 0;) {
        while (*w->at == ';' || *w->at == '\n' || *w->at == ' ') w->at++;
        while (*w->at && *w->at != ';' && *w->at != '\n') {
            size_t n = strcspn(w->at, " ;\n");
            assert_true(w->n_words < WORDS && n < WORD_BYTES);
            memcpy(w->words[w->n_words], w->at, n);
            w->words[w->n_words++][n] = '\0';
            w->at += n;
            while (*w->at == ' ') w->at++;
        }
    }
    return w->n_words > 0;
}

static int32_t data_type(const char *dtype) {
    for (int d = 0; d < TN_DTYPE_COUNT; d++)
        if (strcmp(tn_dtype_name((tn_dtype)d), dtype) == 0) return onnx_data_type_of((tn_dtype)d);
    if (strcmp(dtype, "string") == 0) return ONNX_STRING;
    fail_msg("no dtype is called %s", dtype);
    return 0;
}

/* ---- Parts ---------------------------------------------------------------------------------- */

/* A tensor: "2,2" or "-", and elements, raw. */
static buffer tensor(const char *name, const char *dtype, const char *sizes, char (*elements)[WORD_BYTES], int n) {
    buffer t = {0}, raw = {0};
    for (const char *p = sizes; *p && *p != '-'; p += strcspn(p, ","), p += *p == ',')
        put_int(&t, 1, strtoll(p, NULL, 10));
    put_int(&t, 2, data_type(dtype));
    if (*name) put_text(&t, 8, name);
    for (int i = 0; i < n; i++) {
        double x = strtod(elements[i], NULL);
        float f = (float)x;
        int64_t whole = (int64_t)x;
        if (strcmp(dtype, "f32") == 0)
            put(&raw, &f, sizeof f);
        else if (strcmp(dtype, "f64") == 0)
            put(&raw, &x, sizeof x);
        else
            put(&raw, &whole, strcmp(dtype, "i64") == 0 ? 8 : strcmp(dtype, "i32") == 0 ? 4 : 1);
    }
    put_message(&t, 9, &raw);
    return t;
}

static buffer value_info(writer *w) {
    buffer info = {0}, type = {0}, tensor_type = {0}, shape = {0};
    put_text(&info, 1, w->words[1]);
    if (w->n_words == 2) return info;
    put_int(&tensor_type, 1, data_type(w->words[2]));
    for (int i = 3; i < w->n_words; i++) {
        buffer dim = {0};
        const char *size = w->words[i];
        if ((*size >= '0' && *size <= '9') || (*size == '-' && size[1]))
            put_int(&dim, 1, strtoll(size, NULL, 10));
        else if (strcmp(size, "?") != 0)
            put_text(&dim, 2, size);
        put_message(&shape, 1, &dim);
    }
    put_message(&tensor_type, 2, &shape);
    put_message(&type, 1, &tensor_type);
    put_message(&info, 2, &type);
    return info;
}

static buffer *find_graph(writer *w, const char *name) {
    for (int i = 0; i < w->n_graphs; i++)
        if (strcmp(w->graphs[i].name, name) == 0) return &w->graphs[i].bytes;
    fail_msg("no graph is called %s", name);
    return NULL;
}

/* #i64:2:3,4 */
static buffer tensor_of(char *text) {
    char *dtype = text + 1, *sizes = strchr(dtype, ':'), words[16][WORD_BYTES];
    assert_non_null(sizes);
    *sizes++ = '\0';
    char *items = strchr(sizes, ':');
    assert_non_null(items);
    *items++ = '\0';
    int n = 0;
    for (char *p = strtok(items, ","); p; p = strtok(NULL, ",")) snprintf(words[n++], WORD_BYTES, "%s", p);
    return tensor("", dtype, sizes, words, n);
}

static buffer attribute(writer *w, const char *name, char *text) {
    buffer a = {0};
    size_t n = strlen(text);
    bool is_number = (*text >= '0' && *text <= '9') || (*text == '-' && n > 1) || *text == '.';
    put_text(&a, 1, name);
    if (*text == '@') {
        buffer *g = find_graph(w, text + 1);
        put_bytes(&a, 6, g->data, g->n);
        put_int(&a, 20, ONNX_ATTR_GRAPH);
    } else if (*text == '#') {
        buffer t = tensor_of(text);
        put_message(&a, 5, &t);
        put_int(&a, 20, ONNX_ATTR_TENSOR);
    } else if (*text == '$') {
        put_text(&a, 21, text + 1);
        put_int(&a, 20, ONNX_ATTR_INT);
    } else if (is_number && strchr(text, ',') && text[n - 1] == 'f') {
        for (char *p = strtok(text, ",f"); p; p = strtok(NULL, ",f")) put_float(&a, 7, strtof(p, NULL));
        put_int(&a, 20, ONNX_ATTR_FLOATS);
    } else if (is_number && strchr(text, ',')) {
        for (char *p = strtok(text, ","); p; p = strtok(NULL, ",")) put_int(&a, 8, strtoll(p, NULL, 10));
        put_int(&a, 20, ONNX_ATTR_INTS);
    } else if (is_number && text[n - 1] == 'f') {
        put_float(&a, 2, strtof(text, NULL));
        put_int(&a, 20, ONNX_ATTR_FLOAT);
    } else if (is_number) {
        put_int(&a, 3, strtoll(text, NULL, 10));
        put_int(&a, 20, ONNX_ATTR_INT);
    } else {
        put_text(&a, 4, text);
        put_int(&a, 20, ONNX_ATTR_STRING);
    }
    return a;
}

static buffer node(writer *w) {
    buffer n = {0};
    int i = 2;
    for (; i < w->n_words && strcmp(w->words[i], "->") != 0; i++)
        put_text(&n, 1, strcmp(w->words[i], "-") == 0 ? "" : w->words[i]);
    for (i++; i < w->n_words && !strchr(w->words[i], '='); i++)
        put_text(&n, 2, strcmp(w->words[i], "-") == 0 ? "" : w->words[i]);
    put_text(&n, 4, w->words[1]);
    for (; i < w->n_words; i++) {
        char *name = w->words[i], *value = strchr(name, '=');
        *value++ = '\0';
        if (strcmp(name, "name") == 0 || strcmp(name, "domain") == 0) {
            put_text(&n, *name == 'n' ? 3 : 7, value);
        } else {
            buffer a = attribute(w, name, value);
            put_message(&n, 5, &a);
        }
    }
    return n;
}

/* One line of a graph into its bytes; false: the line is something else. */
static int graph_line(writer *w, buffer *graph) {
    const char *what = w->words[0];
    buffer part;
    int field;
    if (strcmp(what, "node") == 0)
        part = node(w), field = 1;
    else if (strcmp(what, "in") == 0)
        part = value_info(w), field = 11;
    else if (strcmp(what, "out") == 0)
        part = value_info(w), field = 12;
    else if (strcmp(what, "init") == 0)
        part = tensor(w->words[1], w->words[2], w->words[3], w->words + 4, w->n_words - 4), field = 5;
    else
        return 0;
    put_message(graph, field, &part);
    return 1;
}

static void sub_graph(writer *w) {
    char name[WORD_BYTES];
    buffer g = {0};
    snprintf(name, sizeof name, "%s", w->words[1]);
    put_text(&g, 2, name);
    while (next_line(w) && strcmp(w->words[0], "end") != 0) assert_true(graph_line(w, &g));
    if (w->n_graphs >= GRAPHS) abort();
    snprintf(w->graphs[w->n_graphs].name, WORD_BYTES, "%s", name);
    w->graphs[w->n_graphs++].bytes = g;
}

/* function NAME DOMAIN : inputs -> outputs : attributes */
static void function(writer *w) {
    buffer f = {0}, opset = {0};
    put_text(&f, 1, w->words[1]);
    put_text(&f, 10, w->words[2]);
    for (int i = 4, field = 4; i < w->n_words; i++) {
        if (strcmp(w->words[i], "->") == 0)
            field = 5;
        else if (strcmp(w->words[i], ":") == 0)
            field = 6;
        else
            put_text(&f, field, w->words[i]);
    }
    put_text(&opset, 1, "");
    put_int(&opset, 2, 17);
    put_message(&f, 9, &opset);
    while (next_line(w) && strcmp(w->words[0], "end") != 0) {
        assert_string_equal(w->words[0], "node");
        buffer n = node(w);
        put_message(&f, 7, &n);
    }
    put_message(&w->model, 25, &f);
}

char *onnx_write(const char *text, size_t *bytes) {
    writer *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->at = text;
    buffer graph = {0};
    put_int(&w->model, 1, 8);
    put_text(&graph, 2, "g");
    while (next_line(w)) {
        if (strcmp(w->words[0], "opset") == 0) {
            buffer opset = {0};
            put_text(&opset, 1, w->n_words > 2 ? w->words[2] : "");
            put_int(&opset, 2, strtoll(w->words[1], NULL, 10));
            put_message(&w->model, 8, &opset);
        } else if (strcmp(w->words[0], "meta") == 0) {
            buffer entry = {0};
            put_text(&entry, 1, w->words[1]);
            put_text(&entry, 2, w->words[2]);
            put_message(&w->model, 14, &entry);
        } else if (strcmp(w->words[0], "graph") == 0) {
            sub_graph(w);
        } else if (strcmp(w->words[0], "function") == 0) {
            function(w);
        } else if (!graph_line(w, &graph)) {
            fail_msg("no line begins with %s", w->words[0]);
        }
    }
    put_message(&w->model, 7, &graph);
    for (int i = 0; i < w->n_graphs; i++) free(w->graphs[i].bytes.data);
    char *model = w->model.data;
    *bytes = w->model.n;
    free(w);
    return model;
}
