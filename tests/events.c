/* Event files: their framing, their pictures, what is refused. What TensorBoard makes of them: tests/tensorboard.sh,
 * for which `events FOLDER` writes a run of every kind of record into a folder.
 */
#include "frontends/data/picture.h"
#include "frontends/data/png.h"
#include "frontends/data/proto_write.h"
#include "frontends/data/read_file.h"
#include "frontends/data/tenon_data.h"
#include "runtime/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- A run for TensorBoard --------------------------------------------------------------------------------------- */

static tn_status write_graph(tn_event_writer *w, tn_diag *diag) {
    static const char *const dense_inputs[] = {"x", "dense/kernel"}, *const relu_inputs[] = {"dense/dot"};
    static const tn_event_node nodes[] = {{"x", "param", NULL, 0, "f32[n, 784]"},
                                          {"dense/kernel", "param", NULL, 0, "f32[784, 10]"},
                                          {"dense/dot", "dot", dense_inputs, 2, "f32[n, 10]"},
                                          {"dense/relu", "max", relu_inputs, 1, NULL}};
    return tn_event_graph(w, nodes, 4, diag);
}

static tn_status write_tensors(tn_event_writer *w, tn_diag *diag) {
    static float values[1000];
    static uint8_t grey[3][5], colours[2][2][3] = {{{255, 0, 0}, {0, 255, 0}}, {{0, 0, 255}, {255, 255, 255}}};
    static const float shades[2][2] = {{0, 0.5f}, {1, 7}};
    for (int i = 0; i < 1000; i++) values[i] = (float)(i % 100) / 100;
    for (int i = 0; i < 15; i++) grey[i / 5][i % 5] = (uint8_t)(17 * i);
    tn_tensor all = TN_TENSOR(TN_F32, values, 10, 100), same = TN_TENSOR(TN_F32, values, 1);
    tn_tensor pictures[3] = {TN_TENSOR(TN_U8, grey, 3, 5), TN_TENSOR(TN_U8, colours, 2, 2, 3),
                             tn_tensor_strided(TN_F32, (void *)shades, 2, (int64_t[]){2, 2}, (int64_t[]){1, 2})};
    tn_status status = tn_event_histogram(w, "weights", 3, &all, diag);
    if (status == TN_OK) status = tn_event_histogram(w, "one", 4, &same, diag);
    for (int i = 0; status == TN_OK && i < 3; i++) status = tn_event_image(w, "picture", i, &pictures[i], diag);
    return status;
}

static int write_run(const char *folder) {
    tn_event_writer *w;
    tn_diag diag = {0};
    tn_status status = tn_event_writer_new(folder, &w, &diag);
    for (int i = 0; status == TN_OK && i < 100; i++) status = tn_event_scalar(w, "train/loss", i, 1.0 / (1 + i), &diag);
    if (status == TN_OK) status = tn_event_scalar(w, "train/loss", INT64_C(1) << 40, NAN, &diag);
    if (status == TN_OK) status = write_tensors(w, &diag);
    if (status == TN_OK) status = tn_event_text(w, "sample", 7, "To be, or *not* to be \xc3\xa4", &diag);
    if (status == TN_OK) status = write_graph(w, &diag);
    tn_status closed = tn_event_writer_close(w, status == TN_OK ? &diag : NULL);
    if (status == TN_OK && closed == TN_OK) return 0;
    fprintf(stderr, "%s\n", diag.message);
    return 1;
}

/* ---- Framing ----------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/tenon-events-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static uint64_t number_at(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* CRC-32C bit by bit, rotated and offset as the format has it. */
static uint32_t sum_of(const uint8_t *bytes, size_t n) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void frames_records(void **state) {
    (void)state;
    assert_int_equal(sum_of((const uint8_t *)"123456789", 9), (0xe3069283u >> 15 | 0xe3069283u << 17) + 0xa282ead8u);
    tn_event_writer *w, *other;
    char path[512], second[512], deep[64];
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    assert_int_equal(tn_event_writer_new(deep, &w, NULL), TN_OK);
    assert_int_equal(tn_event_writer_new(deep, &other, NULL), TN_OK);
    snprintf(path, sizeof path, "%s", tn_event_writer_path(w));
    snprintf(second, sizeof second, "%s", tn_event_writer_path(other));
    assert_string_not_equal(path, second);
    assert_non_null(strstr(path, "/events.out.tfevents."));
    assert_int_equal(tn_event_scalar(w, "loss", 5, 0.25, NULL), TN_OK);
    /* What was written is there before the file is closed. */
    void *content;
    size_t size, at = 0;
    int n_records = 0;
    assert_int_equal(read_file(path, &content, &size, NULL), TN_OK);
    const uint8_t *file = content;
    for (; at < size; n_records++) {
        uint64_t length = number_at(file + at, 8);
        assert_true(length < size - at);
        assert_int_equal(number_at(file + at + 8, 4), sum_of(file + at, 8));
        assert_int_equal(number_at(file + at + 12 + length, 4), sum_of(file + at + 12, length));
        at += 16 + length;
    }
    assert_int_equal(at, size);
    assert_int_equal(n_records, 2);
    /* summary { value { tag: "loss" simple_value: 0.25 } } ends the last one */
    static const uint8_t expected[] = "\x10\x05\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x80\x3e";
    assert_memory_equal(file + size - 4 - (sizeof expected - 1), expected, sizeof expected - 1);
    tn_free(content);
    assert_int_equal(tn_event_writer_close(w, NULL), TN_OK);
    assert_int_equal(tn_event_writer_close(other, NULL), TN_OK);
    assert_int_equal(tn_event_writer_close(NULL, NULL), TN_OK);
    unlink(path);
    unlink(second);
    rmdir(deep);
    *strrchr(deep, '/') = '\0';
    rmdir(deep);
}

static void nests_messages(void **state) {
    (void)state;
    proto_buffer b = {0};
    static char long_text[301];
    memset(long_text, 'x', 300);
    size_t outer = proto_begin(&b, 1), inner = proto_begin(&b, 2);
    proto_text(&b, 3, long_text);
    proto_end(&b, inner);
    proto_int(&b, 16, -1);
    proto_end(&b, outer);
    /* 1: 317 bytes { 2: 303 bytes { 3: 300 bytes } 16: -1 } */
    static const uint8_t head[] = {0x0a, 0xbe, 0x02, 0x12, 0xaf, 0x02, 0x1a, 0xac, 0x02, 'x'};
    static const uint8_t tail[] = {'x', 0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    assert_false(b.has_failed);
    assert_int_equal(b.used, 3 + 318);
    assert_memory_equal(b.bytes, head, sizeof head);
    assert_memory_equal(b.bytes + b.used - sizeof tail, tail, sizeof tail);
    tn_free(b.bytes);
}

/* Grey and RGB come back from the decoder as they were, noisy and smooth ones. */
static void writes_png(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < 40; i++) {
        uint32_t width = 1 + (uint32_t)(i * 7) % 40, height = 1 + (uint32_t)(i * 5) % 30;
        int channels = i % 2 ? 3 : 1;
        size_t n = (size_t)width * height * (size_t)channels, bytes;
        uint8_t *pixels = malloc(n);
        assert_non_null(pixels);
        for (size_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            pixels[k] = i % 4 < 2 ? (uint8_t)(seed >> 24) : (uint8_t)(k / width);
        }
        uint8_t *png = png_of(pixels, width, height, channels, &bytes);
        assert_non_null(png);
        picture back;
        assert_int_equal(picture_read_memory(png, bytes, channels, NULL, &back, NULL), TN_OK);
        assert_int_equal(back.width, width);
        assert_int_equal(back.height, height);
        assert_memory_equal(back.pixels, pixels, n);
        picture_free(&back);
        tn_free(png);
        free(pixels);
    }
}

static void refuses_wrong_records(void **state) {
    (void)state;
    tn_event_writer *w;
    tn_diag diag;
    float x[4] = {1, NAN, INFINITY, 2};
    tn_tensor bad = TN_TENSOR(TN_F32, x, 4), none = TN_TENSOR(TN_F32, x, 0), five = TN_TENSOR(TN_F32, x, 1, 1, 5),
              whole = TN_TENSOR(TN_I32, x, 2, 2), no_data = TN_TENSOR(TN_F32, NULL, 2, 2);
    assert_int_equal(tn_event_writer_new("/dev/null/x", &w, &diag), TN_ERR_IO);
    assert_null(w);
    assert_int_equal(tn_event_writer_new("", &w, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_writer_new(folder, &w, &diag), TN_OK);
    char path[512];
    snprintf(path, sizeof path, "%s", tn_event_writer_path(w));
    assert_int_equal(tn_event_scalar(w, "", 0, 0, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_scalar(w, "\xc0\x80", 0, 0, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_scalar(NULL, "a", 0, 0, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_histogram(w, "h", 2, &bad, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "'h', step 2: 2 of 4 elements are not finite");
    assert_string_equal(diag.file, path);
    assert_int_equal(tn_event_histogram(w, "h", 2, &none, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "'h', step 2: a histogram of no elements");
    assert_int_equal(tn_event_histogram(w, "h", 2, NULL, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_image(w, "p", 0, &five, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "'p', step 0: a picture has 1 to 4 channels, its last axis");
    assert_int_equal(tn_event_image(w, "p", 0, &whole, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_image(w, "p", 0, &bad, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_image(w, "p", 0, &no_data, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_event_text(w, "t", 0, "\xff", &diag), TN_ERR_ARGUMENT);
    static const char *const missing[] = {"b"};
    tn_event_node nodes[] = {{"a", "param", missing, 1, NULL}, {"a", "param", NULL, 0, NULL}};
    assert_int_equal(tn_event_graph(w, nodes, 1, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "node 'a': its input 'b' is no node");
    nodes[0].n_inputs = 0;
    assert_int_equal(tn_event_graph(w, nodes, 2, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "two nodes are called 'a'");
    assert_int_equal(tn_event_graph(w, nodes, 1, &diag), TN_OK);
    assert_int_equal(tn_event_graph(w, nodes, 1, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "the file has a graph already");
    assert_int_equal(tn_event_writer_close(w, &diag), TN_OK);
    unlink(path);
}

int main(int argc, char **argv) {
    if (argc == 2) return write_run(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_records),
        cmocka_unit_test(nests_messages),
        cmocka_unit_test(writes_png),
        cmocka_unit_test(refuses_wrong_records),
    };
    return cmocka_run_group_tests_name("events", tests, make_folder, remove_folder);
}
