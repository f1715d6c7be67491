/* The ONNX reader: what it reads, what it refuses and with which message, hostile files.
 *
 * Files are built here byte by byte with a small protobuf writer. The standard's own files are
 * read too when they are installed (package libonnx-testdata).
 */
#include "frontends/onnx/proto.h"
#include "frontends/onnx/tensorproto.h"
#include "runtime/alloc.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
enum { IS_SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif
#else
enum { IS_SANITIZED = 0 };
#endif

/* ---- Writing protobuf ------------------------------------------------------------------- */

typedef struct buffer {
    uint8_t *data;
    size_t size, capacity;
} buffer;

static void put_bytes(buffer *b, const void *bytes, size_t size) {
    if (b->size + size > b->capacity) {
        b->capacity = (b->size + size) * 2;
        uint8_t *grown = realloc(b->data, b->capacity);
        if (!grown) abort();
        b->data = grown;
    }
    if (size > 0) memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

static void put_varint(buffer *b, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    put_bytes(b, bytes, n);
}

static void put_int(buffer *b, uint32_t field, uint64_t value) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, value);
}

static void put_float(buffer *b, uint32_t field, float value) {
    put_varint(b, ((uint64_t)field << 3) | 5);
    put_bytes(b, &value, 4);
}

static void put_blob(buffer *b, uint32_t field, const void *bytes, size_t size) {
    put_varint(b, ((uint64_t)field << 3) | 2);
    put_varint(b, size);
    put_bytes(b, bytes, size);
}

static void put_text(buffer *b, uint32_t field, const char *text) { put_blob(b, field, text, strlen(text)); }

/* Adds `inner` as a message and frees it. */
static void put_message(buffer *b, uint32_t field, buffer inner) {
    put_blob(b, field, inner.data, inner.size);
    free(inner.data);
}

enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, NODE_ATTRIBUTE = 5 };

/* A model around a graph, with IR version 8 and opset 17. */
static buffer model_of(buffer graph) {
    buffer opset = {0}, model = {0};
    put_text(&opset, 1, "");
    put_int(&opset, 2, 17);
    put_int(&model, 1, 8);
    put_message(&model, 8, opset);
    put_message(&model, MODEL_GRAPH, graph);
    return model;
}

static buffer node_of(const char *op_type) {
    buffer node = {0};
    put_text(&node, 1, "x");
    put_text(&node, 2, "y");
    put_text(&node, 4, op_type);
    return node;
}

static buffer graph_with_node(buffer node) {
    buffer graph = {0};
    put_text(&graph, 2, "g");
    put_message(&graph, GRAPH_NODE, node);
    return graph;
}

static buffer model_with_attribute(buffer attribute) {
    buffer node = node_of("If");
    put_message(&node, NODE_ATTRIBUTE, attribute);
    return model_of(graph_with_node(node));
}

static buffer model_with_initializer(buffer tensor) {
    buffer graph = {0};
    put_message(&graph, GRAPH_INITIALIZER, tensor);
    return model_of(graph);
}

static buffer input_of(const char *name, int kind, buffer type) {
    buffer type_proto = {0}, input = {0};
    put_message(&type_proto, (uint32_t)kind, type);
    put_text(&input, 1, name);
    put_message(&input, 2, type_proto);
    return input;
}

/* ---- Helpers ---------------------------------------------------------------------------- */

/* Reads a model from memory of exactly its size, so that reading past it is seen. */
static tn_status try_model(const uint8_t *bytes, size_t size, tn_diag *diag) {
    uint8_t *copy = malloc(size + !size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    onnx_model *model;
    tn_status status = onnx_model_from_memory(copy, size, NULL, NULL, &model, diag);
    assert_true((status == TN_OK) == (model != NULL));
    onnx_model_close(model);
    free(copy);
    return status;
}

static void expect_refused(buffer model, tn_status status, const char *message) {
    tn_diag diag = {0};
    tn_status got = try_model(model.data, model.size, &diag);
    free(model.data);
    assert_string_equal(diag.message, message);
    assert_int_equal(got, status);
    assert_int_equal(diag.status, status);
}

static onnx_model *read_model(buffer model) {
    tn_diag diag = {0};
    onnx_model *read;
    if (onnx_model_from_memory(model.data, model.size, NULL, NULL, &read, &diag) != TN_OK) fail_msg("%s", diag.message);
    return read;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static long peak_kb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* ---- What it reads ---------------------------------------------------------------------- */

static buffer small_tensor(void) {
    buffer tensor = {0};
    float values[4] = {1, 2, 3, 4};
    put_int(&tensor, 1, 2);
    put_int(&tensor, 1, 2);
    put_int(&tensor, 2, ONNX_FLOAT);
    put_text(&tensor, 8, "w");
    put_blob(&tensor, 9, values, sizeof values);
    return tensor;
}

static buffer small_attribute(void) {
    buffer attribute = {0};
    put_text(&attribute, 1, "perm");
    put_int(&attribute, 8, 1);
    put_blob(&attribute, 8, "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    put_int(&attribute, 20, ONNX_ATTR_INTS);
    return attribute;
}

static buffer small_input(void) {
    buffer shape = {0}, type = {0}, dim = {0};
    put_text(&dim, 2, "n");
    put_message(&shape, 1, dim);
    dim = (buffer){0};
    put_int(&dim, 1, 784);
    put_message(&shape, 1, dim);
    put_message(&shape, 1, (buffer){0});
    dim = (buffer){0};
    put_int(&dim, 1, (uint64_t)-1);
    put_message(&shape, 1, dim);
    put_int(&type, 1, ONNX_FLOAT);
    put_message(&type, 2, shape);
    return input_of("x", ONNX_TYPE_TENSOR, type);
}

static buffer small_model(void) {
    buffer node = node_of("Transpose"), graph = {0};
    put_message(&node, NODE_ATTRIBUTE, small_attribute());
    put_text(&node, 7, "ai.onnx");
    put_text(&graph, 2, "main");
    put_message(&graph, GRAPH_NODE, node);
    put_message(&graph, GRAPH_INITIALIZER, small_tensor());
    put_message(&graph, GRAPH_INPUT, small_input());
    put_text(&graph, 10, "documentation is skipped");
    return model_of(graph);
}

static void reads_a_model(void **state) {
    (void)state;
    buffer bytes = small_model();
    onnx_model *model = read_model(bytes);
    assert_int_equal(model->ir_version, 8);
    assert_int_equal(model->opset_imports.count, 1);
    assert_int_equal(model->opset_imports.items[0].version, 17);
    assert_string_equal(model->producer_name, "");
    assert_string_equal(model->graph->name, "main");
    assert_int_equal(model->graph->nodes.count, 1);
    const onnx_node *node = &model->graph->nodes.items[0];
    assert_string_equal(node->op_type, "Transpose");
    assert_string_equal(node->domain, "ai.onnx");
    assert_string_equal(node->inputs.items[0], "x");
    assert_string_equal(node->outputs.items[0], "y");
    const onnx_attribute *perm = onnx_node_attribute(node, "perm");
    assert_non_null(perm);
    assert_null(onnx_node_attribute(node, "axis"));
    assert_int_equal(perm->type, ONNX_ATTR_INTS);
    assert_int_equal(perm->ints.count, 3);
    assert_int_equal(perm->ints.items[0], 1);
    assert_int_equal(perm->ints.items[1], 0);
    assert_int_equal(perm->ints.items[2], -1);
    const onnx_value_info *input = &model->graph->inputs.items[0];
    assert_int_equal(input->type->kind, ONNX_TYPE_TENSOR);
    assert_int_equal(input->type->tensor->elem_type, ONNX_FLOAT);
    const onnx_shape *shape = input->type->tensor->shape;
    assert_int_equal(shape->dims.count, 4);
    assert_string_equal(shape->dims.items[0].param, "n");
    assert_int_equal(shape->dims.items[1].value, 784);
    assert_int_equal(shape->dims.items[2].kind, ONNX_DIM_UNKNOWN);
    assert_int_equal(shape->dims.items[3].kind, ONNX_DIM_UNKNOWN);
    onnx_model_close(model);
    free(bytes.data);
}

static void references_tensors_in_place(void **state) {
    (void)state;
    buffer bytes = small_model();
    onnx_model *model = read_model(bytes);
    const onnx_tensor *w = &model->graph->initializers.items[0];
    tensor_info info;
    const void *data;
    tn_diag diag;
    assert_int_equal(tensorproto_view(model->store, w, &info, &data, &diag), TN_OK);
    assert_string_equal(w->name, "w");
    assert_int_equal(info.dtype, TN_F32);
    assert_int_equal(info.rank, 2);
    assert_int_equal(info.bytes, 16);
    assert_true((const uint8_t *)data > bytes.data && (const uint8_t *)data < bytes.data + bytes.size);
    float values[4];
    memcpy(values, data, sizeof values);
    assert_true(values[3] == 4);
    onnx_model_close(model);
    free(bytes.data);
}

static void reads_attributes_without_a_type(void **state) {
    (void)state;
    buffer attribute = {0};
    put_text(&attribute, 1, "alpha");
    put_float(&attribute, 2, 0.5f);
    buffer bytes = model_with_attribute(attribute);
    onnx_model *model = read_model(bytes);
    const onnx_attribute *alpha = &model->graph->nodes.items[0].attributes.items[0];
    assert_int_equal(alpha->type, ONNX_ATTR_FLOAT);
    assert_true(alpha->f == 0.5f);
    onnx_model_close(model);
    free(bytes.data);
}

static void recognises_other_types(void **state) {
    (void)state;
    static const int kinds[] = {ONNX_TYPE_SEQUENCE, ONNX_TYPE_MAP, ONNX_TYPE_OPTIONAL, ONNX_TYPE_SPARSE_TENSOR};
    static const char *const names[] = {"sequence", "map", "optional", "sparse tensor"};
    for (size_t i = 0; i < 4; i++) {
        buffer graph = {0};
        put_message(&graph, GRAPH_INPUT, input_of("s", kinds[i], (buffer){0}));
        buffer bytes = model_of(graph);
        onnx_model *model = read_model(bytes);
        assert_int_equal(model->graph->inputs.items[0].type->kind, kinds[i]);
        assert_string_equal(onnx_type_kind_name(kinds[i]), names[i]);
        onnx_model_close(model);
        free(bytes.data);
    }
}

static void reads_functions(void **state) {
    (void)state;
    buffer function = {0}, graph = {0};
    put_text(&function, 1, "Gelu2");
    put_text(&function, 4, "x");
    put_text(&function, 5, "y");
    put_text(&function, 6, "alpha");
    put_message(&function, 7, node_of("Gelu"));
    put_text(&function, 10, "mine");
    put_text(&graph, 2, "g");
    buffer bytes = model_of(graph);
    put_message(&bytes, 25, function);
    onnx_model *model = read_model(bytes);
    assert_int_equal(model->functions.count, 1);
    const onnx_function *read = &model->functions.items[0];
    assert_string_equal(read->name, "Gelu2");
    assert_string_equal(read->domain, "mine");
    assert_string_equal(read->attributes.items[0], "alpha");
    assert_string_equal(read->nodes.items[0].op_type, "Gelu");
    onnx_model_close(model);
    free(bytes.data);
}

/* Every data type through its typed field, values packed and single in one message. */
static void reads_typed_fields(void **state) {
    (void)state;
    static const struct {
        int32_t data_type;
        uint32_t field;
    } varint_types[] = {
        {ONNX_UINT8, 5},   {ONNX_INT8, 5},     {ONNX_UINT16, 5}, {ONNX_INT16, 5},   {ONNX_INT32, 5},   {ONNX_INT64, 7},
        {ONNX_FLOAT16, 5}, {ONNX_BFLOAT16, 5}, {ONNX_BOOL, 5},   {ONNX_UINT32, 11}, {ONNX_UINT64, 11},
    };
    for (size_t i = 0; i < sizeof varint_types / sizeof varint_types[0]; i++) {
        buffer tensor = {0};
        put_int(&tensor, 1, 3);
        put_int(&tensor, 2, (uint64_t)varint_types[i].data_type);
        put_int(&tensor, varint_types[i].field, 1);
        put_blob(&tensor, varint_types[i].field, "\x00\x01", 2);
        onnx_tensor_file file;
        tn_diag diag = {0};
        if (tensorproto_file_from_memory(tensor.data, tensor.size, &file, &diag) != TN_OK) fail_msg("%s", diag.message);
        assert_int_equal(file.info.dtype, onnx_data_type_dtype(varint_types[i].data_type));
        size_t each = file.info.bytes / 3;
        uint8_t expected[24] = {0};
        expected[0] = expected[2 * each] = 1;
        assert_memory_equal(file.data, expected, file.info.bytes);
        tensorproto_file_close(&file);
        free(tensor.data);
    }
}

static void reads_negative_and_fixed_values(void **state) {
    (void)state;
    buffer ints = {0}, doubles = {0};
    double values[2] = {0.25, -1e300};
    put_int(&ints, 2, ONNX_INT16);
    put_int(&ints, 5, (uint64_t)-2);
    put_int(&doubles, 1, 2);
    put_int(&doubles, 2, ONNX_DOUBLE);
    put_blob(&doubles, 10, values, sizeof values);
    onnx_tensor_file file;
    assert_int_equal(tensorproto_file_from_memory(ints.data, ints.size, &file, NULL), TN_OK);
    int16_t got;
    memcpy(&got, file.data, 2);
    assert_int_equal(got, -2);
    assert_int_equal(file.info.rank, 0);
    tensorproto_file_close(&file);
    assert_int_equal(tensorproto_file_from_memory(doubles.data, doubles.size, &file, NULL), TN_OK);
    assert_memory_equal(file.data, values, sizeof values);
    tensorproto_file_close(&file);
    free(ints.data);
    free(doubles.data);
}

/* ---- What it refuses, with the exact message -------------------------------------------- */

static buffer raw_model(const char *bytes, size_t size) {
    buffer b = {0};
    put_bytes(&b, bytes, size);
    return b;
}

static void refuses_what_is_no_model(void **state) {
    (void)state;
    tn_diag diag;
    assert_int_equal(try_model((const uint8_t *)"", 0, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "the file is empty");
    expect_refused(
        raw_model("version https://git-lfs.github.com/spec/v1\n", 43), TN_ERR_PARSE,
        "not an ONNX model; this is a Git LFS pointer in place of the file: fetch the file itself first (git lfs "
        "pull)");
    expect_refused(raw_model("<!DOCTYPE html>", 15), TN_ERR_PARSE, "not an ONNX model; this is a web page or XML");
    expect_refused(raw_model("\x08\x08", 2), TN_ERR_PARSE, "no graph in it: is this an ONNX model? (byte 0)");
}

static void refuses_malformed_bytes(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } cases[] = {
        {"\x08", 1, "a varint is cut off or longer than 64 bits (byte 0)"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "a varint is cut off or longer than 64 bits (byte 0)"},
        {"\x00\x01", 2, "a field has the number 0 (byte 0)"},
        {"\x80", 1, "a field's tag is cut off or longer than 32 bits (byte 0)"},
        {"\x0b\x0c", 2, "a field has a wire type that protobuf does not use any more (byte 0)"},
        {"\x08\x08\x3a\x7f", 4, "the file is cut short, or damaged: a field needs 127 bytes more (byte 2)"},
        {"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11,
         "the file is cut short, or damaged: a field needs 18446744073709551615 bytes more (byte 0)"},
        {"\x3a\xff\xff\xff\xff\x0f", 6,
         "the file is cut short, or damaged: a field needs 4294967295 bytes more (byte 0)"},
        {"\x0a\x01x", 3, "field 'ir_version' has wire type bytes, expected varint (byte 0)"},
        {"\x38\x01", 2, "field 'graph' has wire type varint, expected bytes (byte 0)"},
        {"\x3a\x00\x3a\x00", 4, "field 'graph' is given twice (byte 2)"},
        {"\x3a\x02\x12\x05", 4, "graph: a field is longer than the message that holds it (byte 2)"},
        {"\x3a\x04\x12\x02\xc3\x28", 6, "graph.name: text is not valid UTF-8 (byte 4)"},
        {"\x3a\x03\x12\x01\x00", 5, "graph.name: text is not valid UTF-8 (byte 4)"},
        {"\x3a\x04\x0a\x02\x22\x00", 6, "graph.node[0]: node '' has no op_type (byte 4)"},
        {"\x3a\x02\x2a\x00", 4, "graph: initializer[0] has no name (byte 4)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refused(raw_model(cases[i].bytes, cases[i].size), TN_ERR_PARSE, cases[i].message);
}

static void refuses_wrong_attributes(void **state) {
    (void)state;
    buffer both = {0}, mismatch = {0}, missing = {0}, nameless = {0}, unknown = {0}, sparse = {0};
    put_text(&both, 1, "a");
    put_int(&both, 3, 1);
    put_float(&both, 2, 1);
    expect_refused(model_with_attribute(both), TN_ERR_PARSE,
                   "graph.node[0].attribute[0]: both 'i' and 'f' are given, expected one of them (byte 32)");
    put_text(&mismatch, 1, "a");
    put_int(&mismatch, 3, 1);
    put_int(&mismatch, 20, ONNX_ATTR_FLOAT);
    expect_refused(model_with_attribute(mismatch), TN_ERR_PARSE,
                   "graph.node[0].attribute[0]: attribute 'a' is of type FLOAT, but its value is in field 3, "
                   "expected 2 (byte 27)");
    put_text(&missing, 1, "then_branch");
    put_int(&missing, 20, ONNX_ATTR_GRAPH);
    expect_refused(model_with_attribute(missing), TN_ERR_PARSE,
                   "graph.node[0].attribute[0]: attribute 'then_branch' is of type GRAPH, but has no value (byte 27)");
    put_int(&nameless, 3, 1);
    expect_refused(model_with_attribute(nameless), TN_ERR_PARSE,
                   "graph.node[0].attribute[0]: the attribute has no name (byte 27)");
    put_text(&unknown, 1, "a");
    put_int(&unknown, 20, 99);
    expect_refused(model_with_attribute(unknown), TN_ERR_UNSUPPORTED,
                   "graph.node[0].attribute[0]: attribute 'a' has the unknown type 99 (byte 27)");
    buffer values = {0};
    put_message(&values, 1, small_tensor());
    put_text(&sparse, 1, "sparse_value");
    put_message(&sparse, 22, values);
    expect_refused(model_with_attribute(sparse), TN_ERR_UNSUPPORTED,
                   "graph.node[0].attribute[0].sparse_tensor: sparse tensor 'w' is not supported (byte 44)");
}

static void refuses_sparse_initializers(void **state) {
    (void)state;
    buffer sparse = {0}, graph = {0};
    put_message(&sparse, 1, small_tensor());
    put_message(&graph, 15, sparse);
    expect_refused(model_of(graph), TN_ERR_UNSUPPORTED,
                   "graph.sparse_initializer[0]: sparse tensor 'w' is not supported (byte 12)");
}

static buffer tensor_of(int32_t data_type, const int64_t *dims, size_t rank) {
    buffer tensor = {0};
    for (size_t i = 0; i < rank; i++) put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, (uint64_t)data_type);
    return tensor;
}

static void expect_tensor_refused(buffer tensor, tn_status status, const char *message) {
    onnx_tensor_file file;
    tn_diag diag = {0};
    uint8_t *copy = malloc(tensor.size + !tensor.size);
    assert_non_null(copy);
    memcpy(copy, tensor.data, tensor.size);
    tn_status got = tensorproto_file_from_memory(copy, tensor.size, &file, &diag);
    assert_string_equal(diag.message, message);
    assert_int_equal(got, status);
    assert_null(file.store);
    free(copy);
    free(tensor.data);
}

static void refuses_wrong_tensors(void **state) {
    (void)state;
    const int64_t two = 2, negative = -3, lowest = INT64_MIN, huge[2] = {INT64_C(1) << 31, INT64_C(1) << 31};
    const int64_t overflow[3] = {INT64_C(1) << 31, INT64_C(1) << 31, 4}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    buffer t = tensor_of(ONNX_FLOAT, &two, 1);
    put_blob(&t, 9, "abcd", 4);
    expect_tensor_refused(t, TN_ERR_PARSE,
                          "tensor '': 4 bytes of data are given, its type and dims ask for 8 (byte 0)");
    t = tensor_of(ONNX_FLOAT, &two, 1);
    put_float(&t, 4, 1);
    put_text(&t, 8, "b");
    expect_tensor_refused(t, TN_ERR_PARSE, "tensor 'b': 1 elements are given, its dims ask for 2 (byte 0)");
    t = tensor_of(ONNX_FLOAT, &two, 1);
    put_int(&t, 7, 1);
    expect_tensor_refused(t, TN_ERR_PARSE,
                          "tensor '': elements of type FLOAT are in field 7, expected 4 or raw_data (byte 0)");
    t = tensor_of(ONNX_FLOAT, &two, 1);
    put_blob(&t, 4, "abcde", 5);
    expect_tensor_refused(t, TN_ERR_PARSE, "the last value of 'float_data' is cut off (byte 4)");
    expect_tensor_refused(tensor_of(ONNX_FLOAT, &negative, 1), TN_ERR_PARSE, "tensor '': dim 0 is -3 (byte 0)");
    expect_tensor_refused(tensor_of(ONNX_FLOAT, &lowest, 1), TN_ERR_PARSE,
                          "tensor '': dim 0 is -9223372036854775808 (byte 0)");
    expect_tensor_refused(tensor_of(ONNX_UINT8, huge, 2), TN_ERR_PARSE,
                          "tensor '': 0 elements are given, its dims ask for 4611686018427387904 (byte 0)");
    expect_tensor_refused(tensor_of(ONNX_UINT8, overflow, 3), TN_ERR_LIMIT,
                          "tensor '': its size in bytes does not fit in 63 bits (byte 0)");
    expect_tensor_refused(tensor_of(ONNX_DOUBLE, huge, 2), TN_ERR_LIMIT,
                          "tensor '': its size in bytes does not fit in 63 bits (byte 0)");
    expect_tensor_refused(tensor_of(ONNX_UINT8, ones, 9), TN_ERR_LIMIT,
                          "tensor '': rank 9, the highest supported is 8 (byte 0)");
    expect_tensor_refused(tensor_of(ONNX_STRING, &two, 1), TN_ERR_UNSUPPORTED,
                          "tensor '': data type STRING (8) is not supported (byte 0)");
    expect_tensor_refused(tensor_of(22, &two, 1), TN_ERR_UNSUPPORTED,
                          "tensor '': data type INT4 (22) is not supported (byte 0)");
    expect_tensor_refused(tensor_of(77, &two, 1), TN_ERR_UNSUPPORTED,
                          "tensor '': data type unknown (77) is not supported (byte 0)");
    t = tensor_of(ONNX_FLOAT, &two, 1);
    put_blob(&t, 3, "\x08\x00\x10\x01", 4);
    expect_tensor_refused(t, TN_ERR_UNSUPPORTED, "'segment' is not supported (byte 4)");
}

static void accepts_empty_tensors(void **state) {
    (void)state;
    const int64_t dims[3] = {INT64_MAX, 0, INT64_MAX};
    buffer tensor = tensor_of(ONNX_INT64, dims, 3);
    onnx_tensor_file file;
    assert_int_equal(tensorproto_file_from_memory(tensor.data, tensor.size, &file, NULL), TN_OK);
    assert_int_equal(file.info.elements, 0);
    assert_int_equal(file.info.bytes, 0);
    tensorproto_file_close(&file);
    free(tensor.data);
}

static void refuses_sequences(void **state) {
    (void)state;
    static const char *const message = "this is a SequenceProto or OptionalProto, only tensors are supported";
    buffer sequence = {0}, empty = {0}, optional = {0}, inner = {0};
    put_text(&sequence, 1, "x");
    put_int(&sequence, 2, 1);
    put_message(&sequence, 3, small_tensor());
    put_message(&sequence, 3, small_tensor());
    expect_tensor_refused(sequence, TN_ERR_UNSUPPORTED, message);
    put_text(&empty, 1, "seq_empty");
    put_int(&empty, 2, 1);
    expect_tensor_refused(empty, TN_ERR_UNSUPPORTED, message);
    put_int(&inner, 2, 1);
    put_message(&inner, 3, small_tensor());
    put_text(&optional, 1, "opt");
    put_int(&optional, 2, 3);
    put_message(&optional, 5, inner);
    expect_tensor_refused(optional, TN_ERR_UNSUPPORTED, message);
}

/* ---- Hostile files ---------------------------------------------------------------------- */

static void survives_truncation_everywhere(void **state) {
    (void)state;
    buffer model = small_model();
    tn_diag diag;
    for (size_t size = 0; size < model.size; size++) assert_int_not_equal(try_model(model.data, size, &diag), TN_OK);
    free(model.data);
}

/* Every byte replaced by a few others: an answer each time, and its tensors can be looked at. */
static void survives_mutation_everywhere(void **state) {
    (void)state;
    static const uint8_t masks[] = {0xff, 0x80, 0x01, 0x07, 0x40};
    buffer model = small_model();
    for (size_t i = 0; i < model.size; i++)
        for (size_t m = 0; m < sizeof masks; m++) {
            model.data[i] ^= masks[m];
            tn_diag diag;
            onnx_model *read;
            if (onnx_model_from_memory(model.data, model.size, NULL, NULL, &read, &diag) == TN_OK) {
                tensor_info info;
                const void *data;
                for (size_t t = 0; t < read->graph->initializers.count; t++)
                    tensorproto_view(read->store, &read->graph->initializers.items[t], &info, &data, &diag);
            }
            onnx_model_close(read);
            model.data[i] ^= masks[m];
        }
    free(model.data);
}

static void refuses_deep_nesting(void **state) {
    (void)state;
    buffer graph = graph_with_node(node_of("Relu"));
    for (int i = 0; i < 3000; i++) {
        buffer attribute = {0}, node = node_of("If");
        put_text(&attribute, 1, "then_branch");
        put_message(&attribute, 6, graph);
        put_int(&attribute, 20, ONNX_ATTR_GRAPH);
        put_message(&node, NODE_ATTRIBUTE, attribute);
        graph = graph_with_node(node);
    }
    buffer model = model_of(graph);
    tn_diag diag;
    double start = now_ms();
    assert_int_equal(try_model(model.data, model.size, &diag), TN_ERR_LIMIT);
    assert_non_null(strstr(diag.message, ".attribute[0].g: graphs are nested more than 64 deep (byte "));
    assert_true(now_ms() - start < 1000);
    free(model.data);
}

/* Two bytes a node: the limits hold before the memory does. */
static void refuses_floods(void **state) {
    (void)state;
    /* Fields of the graph, given over and over without content. */
    static const uint8_t floods[] = {GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT};
    long before = peak_kb();
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        buffer graph = {0};
        for (int n = 0; n < 5000000; n++) put_bytes(&graph, (uint8_t[]){(uint8_t)(floods[i] << 3 | 2), 0}, 2);
        buffer model = model_of(graph);
        tn_diag diag = {0};
        double start = now_ms();
        onnx_model *read;
        assert_int_equal(onnx_model_from_memory(model.data, model.size, NULL, NULL, &read, &diag), TN_ERR_LIMIT);
        assert_string_equal(diag.message,
                            "graph: the model's structure takes more than the limit of 67108864 bytes (byte 13)");
        assert_true(now_ms() - start < 1000);
        free(model.data);
    }
    /* Building the file takes 30 MB, a sanitizer's shadow some more. */
    if (!IS_SANITIZED) assert_true(peak_kb() - before < 100 * 1024);
}

static void keeps_to_given_limits(void **state) {
    (void)state;
    buffer graph = {0};
    for (int i = 0; i < 3; i++) put_message(&graph, GRAPH_NODE, node_of("Relu"));
    buffer model = model_of(graph);
    onnx_limits limits = ONNX_LIMITS_DEFAULT;
    onnx_model *read;
    tn_diag diag;
    limits.max_nodes = 2;
    assert_int_equal(onnx_model_from_memory(model.data, model.size, NULL, &limits, &read, &diag), TN_ERR_LIMIT);
    assert_string_equal(diag.message, "graph.node[2]: the model has more than 2 nodes (byte 40)");
    limits = ONNX_LIMITS_DEFAULT;
    limits.max_string_bytes = 3;
    assert_int_equal(onnx_model_from_memory(model.data, model.size, NULL, &limits, &read, &diag), TN_ERR_LIMIT);
    assert_string_equal(diag.message, "graph.node[0].op_type: text of 4 bytes, the limit is 3 (byte 20)");
    free(model.data);
}

#ifdef TN_HOSTILE_MALLOC
/* Each allocation fails in turn: out of memory each time, until there are no more to fail. */
static void reports_failed_allocations(void **state) {
    (void)state;
    buffer bytes = small_model(), tensor = tensor_of(ONNX_INT64, &(int64_t){1}, 1);
    put_int(&tensor, 7, 1);
    tn_status status = TN_ERR_MEMORY;
    uint64_t nth = 0;
    for (; status != TN_OK; nth++) {
        onnx_model *model;
        tn_diag diag = {0};
        tn_malloc_fail_at(nth, false);
        status = onnx_model_from_memory(bytes.data, bytes.size, NULL, NULL, &model, &diag);
        onnx_model_close(model);
        assert_true(status == TN_OK || (status == TN_ERR_MEMORY && diag.status == TN_ERR_MEMORY));
    }
    assert_true(nth > 2);
    status = TN_ERR_MEMORY;
    for (nth = 0; status != TN_OK; nth++) {
        onnx_tensor_file file;
        tn_malloc_fail_at(nth, false);
        status = tensorproto_file_from_memory(tensor.data, tensor.size, &file, NULL);
        tensorproto_file_close(&file);
        assert_true(status == TN_OK || status == TN_ERR_MEMORY);
    }
    assert_true(nth > 2);
    tn_malloc_fail_at(UINT64_MAX, false);
    free(bytes.data);
    free(tensor.data);
}
#endif

/* ---- External data ---------------------------------------------------------------------- */

typedef struct folder {
    char path[64];
} folder;

static void write_file(const folder *at, const char *name, const void *data, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", at->path, name);
    FILE *file = fopen(path, "wb");
    if (!file) abort();
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static int make_folder(void **state) {
    folder *at = calloc(1, sizeof *at);
    assert_non_null(at);
    strcpy(at->path, "/tmp/tenon-onnx-XXXXXX");
    assert_non_null(mkdtemp(at->path));
    char path[256];
    snprintf(path, sizeof path, "%s/model", at->path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/model/sub", at->path);
    assert_int_equal(mkdir(path, 0700), 0);
    float values[4] = {1, 2, 3, 4};
    write_file(at, "outside.bin", values, sizeof values);
    write_file(at, "model/w.bin", values, sizeof values);
    write_file(at, "model/sub/w.bin", values, sizeof values);
    static const char *const links[][2] = {
        {"../outside.bin", "model/link.bin"}, {"w.bin", "model/inner.bin"}, {"..", "model/up"}};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", at->path, links[i][1]);
        assert_int_equal(symlink(links[i][0], path), 0);
    }
    snprintf(path, sizeof path, "%s/model/pipe", at->path);
    assert_int_equal(mkfifo(path, 0600), 0);
    *state = at;
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static int remove_folder(void **state) {
    folder *at = *state;
    nftw(at->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(at);
    return 0;
}

/* A model file whose one tensor f32[2] is in `location`. */
static tn_status view_external(const folder *at, const char *location, const char *offset, const char *length,
                               float values[2], tn_diag *diag) {
    const int64_t two = 2;
    const char *const entries[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    buffer tensor = tensor_of(ONNX_FLOAT, &two, 1);
    put_text(&tensor, 8, "w");
    put_int(&tensor, 14, 1);
    for (size_t i = 0; i < 3; i++)
        if (entries[i][1]) {
            buffer entry = {0};
            put_text(&entry, 1, entries[i][0]);
            put_text(&entry, 2, entries[i][1]);
            put_message(&tensor, 13, entry);
        }
    buffer bytes = model_with_initializer(tensor);
    write_file(at, "model/m.onnx", bytes.data, bytes.size);
    free(bytes.data);
    char path[256];
    snprintf(path, sizeof path, "%s/model/m.onnx", at->path);
    onnx_model *model;
    assert_int_equal(onnx_model_open(path, NULL, &model, diag), TN_OK);
    tensor_info info;
    const void *data;
    tn_status status = tensorproto_view(model->store, &model->graph->initializers.items[0], &info, &data, diag);
    if (status == TN_OK)
        memcpy(values, data, info.bytes);
    else
        assert_string_equal(diag->file, path);
    onnx_model_close(model);
    return status;
}

static void reads_external_data(void **state) {
    tn_diag diag = {0};
    float values[2] = {0};
    static const char *const locations[] = {"w.bin", "sub/w.bin", "./sub/./w.bin"};
    for (size_t i = 0; i < 3; i++) {
        if (view_external(*state, locations[i], "4", "8", values, &diag) != TN_OK) fail_msg("%s", diag.message);
        assert_true(values[0] == 2 && values[1] == 3);
    }
    assert_int_equal(view_external(*state, "w.bin", NULL, NULL, values, &diag), TN_OK);
    assert_true(values[0] == 1 && values[1] == 2);
}

static void confines_external_data(void **state) {
    static const struct {
        const char *location, *offset, *length, *message;
    } cases[] = {
        {"../outside.bin", NULL, NULL,
         "external data: location '../outside.bin' leads out of the model's folder ('..')"},
        {"sub/../../outside.bin", NULL, NULL,
         "external data: location 'sub/../../outside.bin' leads out of the model's folder ('..')"},
        {"/etc/passwd", NULL, NULL,
         "external data: location '/etc/passwd' is an absolute path, expected one relative to the model's folder"},
        {"", NULL, NULL, "external data: location '' is empty"},
        {NULL, NULL, NULL, "external data: location '' is empty"},
        {"link.bin", NULL, NULL,
         "external data: 'link.bin': is or goes through a link or file, expected plain folders and a file"},
        {"inner.bin", NULL, NULL,
         "external data: 'inner.bin': is or goes through a link or file, expected plain folders and a file"},
        {"up/outside.bin", NULL, NULL,
         "external data: 'up/outside.bin': is or goes through a link or file, expected plain folders and a file"},
        {"pipe", NULL, NULL, "external data: 'pipe': is not a regular file"},
        {"sub", NULL, NULL, "external data: 'sub': is not a regular file"},
        {"none.bin", NULL, NULL, "external data: 'none.bin': No such file or directory"},
        {"w.bin", "12", "8", "tensor 'w': external data: 8 bytes at 12 are not in 'w.bin', which has 16 (byte 12)"},
        {"w.bin", "18446744073709551615", "8",
         "tensor 'w': external data: 8 bytes at 18446744073709551615 are not in 'w.bin', which has 16 (byte 12)"},
        {"w.bin", "18446744073709551616", "8",
         "tensor 'w': external data: offset '18446744073709551616' is not a number of bytes (byte 12)"},
        {"w.bin", "-4", "8", "tensor 'w': external data: offset '-4' is not a number of bytes (byte 12)"},
        {"w.bin", "0", "4", "tensor 'w': 4 bytes of data are given, its type and dims ask for 8 (byte 12)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_diag diag = {0};
        float values[2] = {0};
        tn_status status = view_external(*state, cases[i].location, cases[i].offset, cases[i].length, values, &diag);
        assert_int_not_equal(status, TN_OK);
        assert_string_equal(diag.message, cases[i].message);
    }
}

static void refuses_external_data_from_memory(void **state) {
    (void)state;
    const int64_t two = 2;
    buffer tensor = tensor_of(ONNX_FLOAT, &two, 1), entry = {0};
    put_text(&entry, 1, "location");
    put_text(&entry, 2, "w.bin");
    put_message(&tensor, 13, entry);
    put_int(&tensor, 14, 1);
    expect_tensor_refused(tensor, TN_ERR_UNSUPPORTED, "tensor '': external data, but the model has no folder (byte 0)");
}

static void refuses_files_that_are_none(void **state) {
    (void)state;
    onnx_model *model;
    tn_diag diag;
    assert_int_equal(onnx_model_open("/nonexistent.onnx", NULL, &model, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "No such file or directory");
    assert_string_equal(diag.file, "/nonexistent.onnx");
    assert_int_equal(onnx_model_open("/tmp", NULL, &model, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "is not a regular file");
    assert_int_equal(onnx_model_open("/dev/zero", NULL, &model, &diag), TN_ERR_IO);
}

/* ---- The standard's files --------------------------------------------------------------- */

static const char standard_folder[] = "/usr/share/libonnx-testdata";
static struct {
    int models, tensors, unsupported, failed;
} standard;

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static int read_standard_file(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)walk;
    tn_diag diag = {0};
    tn_status status = TN_OK;
    if (type == FTW_F && ends_with(path, ".onnx")) {
        onnx_model *model;
        status = onnx_model_open(path, NULL, &model, &diag);
        onnx_model_close(model);
        standard.models++;
    } else if (type == FTW_F && ends_with(path, ".pb")) {
        onnx_tensor_file file;
        status = tensorproto_file_open(path, &file, &diag);
        tensorproto_file_close(&file);
        standard.tensors++;
    }
    standard.unsupported += status == TN_ERR_UNSUPPORTED;
    if (status != TN_OK && status != TN_ERR_UNSUPPORTED) {
        print_message("%s: %s\n", path, diag.message);
        standard.failed++;
    }
    return 0;
}

static void reads_the_standards_files(void **state) {
    (void)state;
    if (access(standard_folder, R_OK) != 0) {
        print_message("skipped: %s is not there (package libonnx-testdata)\n", standard_folder);
        skip();
    }
    double start = now_ms();
    nftw(standard_folder, read_standard_file, 16, FTW_PHYS);
    print_message("%d models and %d tensors in %.0f ms, %d of them unsupported\n", standard.models, standard.tensors,
                  now_ms() - start, standard.unsupported);
    assert_int_equal(standard.failed, 0);
    assert_true(standard.models > 900);
    assert_true(standard.unsupported < 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_floods), /* first: it looks at peak memory */
        cmocka_unit_test(reads_a_model),
        cmocka_unit_test(references_tensors_in_place),
        cmocka_unit_test(reads_attributes_without_a_type),
        cmocka_unit_test(recognises_other_types),
        cmocka_unit_test(reads_functions),
        cmocka_unit_test(reads_typed_fields),
        cmocka_unit_test(reads_negative_and_fixed_values),
        cmocka_unit_test(refuses_what_is_no_model),
        cmocka_unit_test(refuses_malformed_bytes),
        cmocka_unit_test(refuses_wrong_attributes),
        cmocka_unit_test(refuses_sparse_initializers),
        cmocka_unit_test(refuses_wrong_tensors),
        cmocka_unit_test(accepts_empty_tensors),
        cmocka_unit_test(refuses_sequences),
        cmocka_unit_test(survives_truncation_everywhere),
        cmocka_unit_test(survives_mutation_everywhere),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(keeps_to_given_limits),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(reports_failed_allocations),
#endif
        cmocka_unit_test_setup_teardown(reads_external_data, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(confines_external_data, make_folder, remove_folder),
        cmocka_unit_test(refuses_external_data_from_memory),
        cmocka_unit_test(refuses_files_that_are_none),
        cmocka_unit_test(reads_the_standards_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
