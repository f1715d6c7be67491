/* Gives an ONNX model whose weights are constants seeded random ones.
 *
 *   light_random IN.onnx OUT.onnx [GAIN]
 *
 * in:  a model of the light_* kind: every weight a ConstantOfShape of an initializer, or a float
 *      initializer. Equal weights hide a permuted axis; these do not.
 * out: the same graph, each such node and initializer replaced by an initializer with values that
 *      depend only on its name and size, by the rule below, so the model's results can be recorded
 *      anywhere. To keep the files small, a matrix [m, n] of more than LARGEST elements is instead
 *      made by a node Add of two initializers `name/row` [m, 1] and `name/column` [1, n].
 *      The input of a Softmax becomes an output too, since probabilities hardly differ.
 * rule: element i of the weight `name` is, in double rounded to float at the end,
 *        r = 2 * (splitmix64(fnv1a64(name) + (i + 1) * 0x9e3779b97f4a7c15) >> 40) / 2^24 - 1
 *      times a role's scale plus its offset. The role is that of the first node that reads the
 *      weight, Unsqueeze and Reshape looked through:
 *        rank 2 and up, `name/column`             r * GAIN * sqrt(3 / product of dims[1:])
 *        `name/row`                               2 r / n
 *        BatchNormalization inputs 1 and 4, Mul   1 + 0.2 r
 *        everything else (biases, means)          0.1 r
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 22, MAX_RANK = 8 };

static _Noreturn void die(const char *what) {
    fprintf(stderr, "light_random: %s\n", what);
    exit(1);
}

/* ---- Protobuf: reading fields, writing fields ------------------------------------------- */

typedef struct bytes {
    const uint8_t *at, *end;
} bytes;

typedef struct field {
    uint32_t number, wire;
    uint64_t value; /* varint */
    bytes data;     /* length-delimited */
    bytes whole;    /* with its tag, to be copied */
} field;

static uint64_t read_varint(bytes *in) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->at >= in->end) die("the model is cut short");
        uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    die("a number in the model is too long");
}

/* The next field of a message; false at its end. */
static bool next_field(bytes *in, field *f) {
    if (in->at >= in->end) return false;
    f->whole.at = in->at;
    uint64_t tag = read_varint(in);
    f->number = (uint32_t)(tag >> 3);
    f->wire = (uint32_t)(tag & 7);
    f->data.at = f->data.end = in->at;
    uint64_t length = 0;
    if (f->wire == 0) {
        f->value = read_varint(in);
    } else {
        length = f->wire == 2 ? read_varint(in) : f->wire == 5 ? 4 : f->wire == 1 ? 8 : UINT64_MAX;
        if (length > (uint64_t)(in->end - in->at)) die("the model is malformed");
        f->data.at = in->at;
        in->at += length;
        f->data.end = in->at;
    }
    f->whole.end = in->at;
    return true;
}

typedef struct buffer {
    uint8_t *data;
    size_t size, capacity;
} buffer;

static void append(buffer *b, const void *data, size_t size) {
    if (b->size + size > b->capacity) {
        size_t capacity = (b->size + size) * 2;
        uint8_t *grown = realloc(b->data, capacity);
        if (!grown) die("out of memory");
        b->data = grown;
        b->capacity = capacity;
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void append_varint(buffer *b, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        append(b, &byte, 1);
        value >>= 7;
    } while (value);
}

static void append_number(buffer *b, uint32_t number, uint64_t value) {
    append_varint(b, number << 3);
    append_varint(b, value);
}

static void append_bytes(buffer *b, uint32_t number, const void *data, size_t size) {
    append_varint(b, number << 3 | 2);
    append_varint(b, size);
    append(b, data, size);
}

static void append_whole(buffer *b, const field *f) { append(b, f->whole.at, (size_t)(f->whole.end - f->whole.at)); }

/* ---- The model's messages, as far as they matter here ------------------------------------ */

/* Field numbers of onnx.proto. */
enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP = 4 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_INT64 = 7, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { TYPE_FLOAT = 1, TYPE_INT64 = 7 };

typedef struct tensor {
    bytes name;
    int rank;
    int64_t dims[MAX_RANK];
    uint64_t type;
    int length; /* of an int64 list: a shape */
    int64_t list[MAX_RANK];
} tensor;

static bool equal(bytes a, bytes b) {
    if (a.at == a.end || b.at == b.end) return a.at == a.end && b.at == b.end;
    return a.end - a.at == b.end - b.at && memcmp(a.at, b.at, (size_t)(a.end - a.at)) == 0;
}

static bool is(bytes a, const char *text) {
    return (size_t)(a.end - a.at) == strlen(text) && memcmp(a.at, text, strlen(text)) == 0;
}

/* A repeated int64: one varint, or packed ones. */
static void read_list(const field *f, int *count, int64_t *list) {
    bytes in = f->data;
    if (f->wire == 0) {
        if (*count < MAX_RANK) list[(*count)++] = (int64_t)f->value;
        return;
    }
    while (in.at < in.end && *count < MAX_RANK) list[(*count)++] = (int64_t)read_varint(&in);
}

static tensor read_tensor(bytes in) {
    tensor t = {0};
    field f = {0};
    while (next_field(&in, &f)) {
        if (f.number == TENSOR_DIMS) read_list(&f, &t.rank, t.dims);
        if (f.number == TENSOR_TYPE) t.type = f.value;
        if (f.number == TENSOR_NAME) t.name = f.data;
        if (f.number == TENSOR_INT64) read_list(&f, &t.length, t.list);
        if (f.number == TENSOR_RAW && t.type == TYPE_INT64) {
            for (const uint8_t *p = f.data.at; f.data.end - p >= 8 && t.length < MAX_RANK; p += 8)
                memcpy(&t.list[t.length++], p, 8);
        }
    }
    return t;
}

/* Field `number` of a node, the `nth` one; empty when there is none. */
static bytes node_field(bytes node, uint32_t number, int nth) {
    field f = {0};
    while (next_field(&node, &f))
        if (f.number == number && nth-- == 0) return f.data;
    return (bytes){node.end, node.end};
}

static int64_t element_count(const tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0 || (t->dims[i] && n > INT64_MAX / t->dims[i])) die("a weight's shape is malformed");
        n *= t->dims[i];
    }
    return n;
}

/* ---- The rule ----------------------------------------------------------------------------- */

static uint64_t splitmix64(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t fnv1a64(bytes text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const uint8_t *p = text.at; p < text.end; p++) hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

/* True when the first reader of `name` multiplies by it. */
static bool is_factor(bytes graph, bytes name) {
    field f = {0};
    bytes rest = graph;
    while (next_field(&rest, &f)) {
        if (f.number != GRAPH_NODE) continue;
        bytes op = node_field(f.data, NODE_OP, 0);
        for (int i = 0;; i++) {
            bytes input = node_field(f.data, NODE_INPUT, i);
            if (input.at == input.end) break;
            if (!equal(input, name)) continue;
            if (is(op, "Unsqueeze") || is(op, "Reshape")) return is_factor(rest, node_field(f.data, NODE_OUTPUT, 0));
            return is(op, "Mul") || (is(op, "BatchNormalization") && (i == 1 || i == 4));
        }
    }
    return false;
}

/* An initializer with the values that follow from its name. */
static void append_values(buffer *out, const tensor *t, double scale, double offset) {
    int64_t n = element_count(t);
    float *values = malloc(n ? (size_t)n * sizeof *values : 1);
    if (!values) die("out of memory");
    uint64_t seed = fnv1a64(t->name);
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = splitmix64(seed + ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15)) >> 40;
        values[i] = (float)((2.0 * (double)bits / 16777216.0 - 1.0) * scale + offset);
    }
    buffer message = {0};
    for (int i = 0; i < t->rank; i++) append_number(&message, TENSOR_DIMS, (uint64_t)t->dims[i]);
    append_number(&message, TENSOR_TYPE, TYPE_FLOAT);
    append_bytes(&message, TENSOR_NAME, t->name.at, (size_t)(t->name.end - t->name.at));
    append_bytes(&message, TENSOR_RAW, values, (size_t)n * sizeof *values);
    append_bytes(out, GRAPH_INITIALIZER, message.data, message.size);
    free(message.data);
    free(values);
}

/* The graph input that files of IR version 3 list for each initializer that was none before. */
static void append_input(buffer *out, const tensor *t) {
    buffer shape = {0}, type = {0}, value = {0}, info = {0};
    for (int i = 0; i < t->rank; i++) {
        buffer dim = {0};
        append_number(&dim, 1, (uint64_t)t->dims[i]);
        append_bytes(&shape, 1, dim.data, dim.size);
        free(dim.data);
    }
    append_number(&type, 1, TYPE_FLOAT);
    append_bytes(&type, 2, shape.data, shape.size);
    append_bytes(&value, 1, type.data, type.size);
    append_bytes(&info, 1, t->name.at, (size_t)(t->name.end - t->name.at));
    append_bytes(&info, 2, value.data, value.size);
    append_bytes(out, GRAPH_INPUT, info.data, info.size);
    free(shape.data);
    free(type.data);
    free(value.data);
    free(info.data);
}

static void append_weight(buffer *out, const tensor *t, bytes graph, double gain) {
    if (t->rank >= 2) {
        int64_t fan_in = t->dims[0] ? element_count(t) / t->dims[0] : 1;
        append_values(out, t, gain * sqrt(3.0 / (double)(fan_in ? fan_in : 1)), 0);
    } else if (is_factor(graph, t->name)) {
        append_values(out, t, 0.2, 1);
    } else {
        append_values(out, t, 0.1, 0);
    }
}

/* A large matrix: the sum of a row vector and a column vector. */
static void append_sum(buffer *out, const tensor *t, double gain) {
    buffer names[2] = {{0}, {0}}, node = {0};
    for (int axis = 0; axis < 2; axis++) {
        const char *suffix = axis == 0 ? "/row" : "/column";
        append(&names[axis], t->name.at, (size_t)(t->name.end - t->name.at));
        append(&names[axis], suffix, strlen(suffix));
        append_bytes(&node, NODE_INPUT, names[axis].data, names[axis].size);
        tensor part = *t;
        part.name = (bytes){names[axis].data, names[axis].data + names[axis].size};
        part.dims[1 - axis] = 1;
        double n = (double)t->dims[1];
        append_values(out, &part, axis == 0 ? 2.0 / n : gain * sqrt(3.0 / n), 0);
        append_input(out, &part);
    }
    append_bytes(&node, NODE_OUTPUT, t->name.at, (size_t)(t->name.end - t->name.at));
    append_bytes(&node, NODE_OP, "Add", 3);
    append_bytes(out, GRAPH_NODE, node.data, node.size);
    free(names[0].data);
    free(names[1].data);
    free(node.data);
}

/* What a Softmax node reads becomes an output of unknown shape. */
static void append_output(buffer *out, bytes name) {
    buffer type = {0}, value = {0}, info = {0};
    append_number(&type, 1, TYPE_FLOAT);
    append_bytes(&value, 1, type.data, type.size);
    append_bytes(&info, 1, name.at, (size_t)(name.end - name.at));
    append_bytes(&info, 2, value.data, value.size);
    append_bytes(out, GRAPH_OUTPUT, info.data, info.size);
    free(type.data);
    free(value.data);
    free(info.data);
}

/* The weight that a ConstantOfShape node makes, if it is one. */
static bool is_constant_weight(bytes graph, bytes node, tensor *weight) {
    if (!is(node_field(node, NODE_OP, 0), "ConstantOfShape")) return false;
    bytes shape_name = node_field(node, NODE_INPUT, 0);
    field f = {0};
    while (next_field(&graph, &f)) {
        if (f.number != GRAPH_INITIALIZER) continue;
        tensor t = read_tensor(f.data);
        if (!equal(t.name, shape_name)) continue;
        *weight = (tensor){.name = node_field(node, NODE_OUTPUT, 0), .rank = t.length, .type = TYPE_FLOAT};
        memcpy(weight->dims, t.list, sizeof t.list);
        return true;
    }
    return false;
}

static void rewrite_graph(buffer *out, bytes graph, double gain) {
    bytes rest = graph;
    field f = {0};
    while (next_field(&rest, &f)) {
        tensor t = {0};
        if (f.number == GRAPH_NODE && is_constant_weight(graph, f.data, &t)) {
            if (t.rank == 2 && element_count(&t) > LARGEST) {
                append_sum(out, &t, gain);
            } else {
                append_weight(out, &t, graph, gain);
                append_input(out, &t);
            }
            continue;
        }
        if (f.number == GRAPH_NODE && is(node_field(f.data, NODE_OP, 0), "Softmax"))
            append_output(out, node_field(f.data, NODE_INPUT, 0));
        if (f.number == GRAPH_INITIALIZER) t = read_tensor(f.data);
        if (t.type == TYPE_FLOAT)
            append_weight(out, &t, graph, gain);
        else
            append_whole(out, &f);
    }
}

static buffer read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die("cannot open the model");
    buffer content = {0};
    uint8_t chunk[1 << 16];
    size_t n = sizeof chunk;
    while (n == sizeof chunk) {
        n = fread(chunk, 1, sizeof chunk, file);
        append(&content, chunk, n);
    }
    if (ferror(file)) die("cannot read the model");
    fclose(file);
    return content;
}

int main(int argc, char **argv) {
    if (argc < 3) die("usage: light_random IN.onnx OUT.onnx [GAIN]");
    double gain = argc > 3 ? strtod(argv[3], NULL) : 1.4;
    buffer in = read_file(argv[1]), out = {0};
    bytes model = {in.data, in.data + in.size};
    field f = {0};
    while (next_field(&model, &f)) {
        if (f.number != MODEL_GRAPH) {
            append_whole(&out, &f);
            continue;
        }
        buffer graph = {0};
        rewrite_graph(&graph, f.data, gain);
        append_bytes(&out, MODEL_GRAPH, graph.data, graph.size);
        free(graph.data);
    }
    FILE *file = fopen(argv[2], "wb");
    if (!file || fwrite(out.data, 1, out.size, file) != out.size || fclose(file) != 0) die("cannot write the model");
    free(in.data);
    free(out.data);
    return 0;
}
