/* The program's .npy and picture files: round trips, what NumPy writes, what is refused. */
#include "frontends/data/npy.h"
#include "frontends/data/picture.h"
#include "frontends/data/read_file.h"
#include "runtime/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- .npy ------------------------------------------------------------------------------- */

/* A file of version 1, 2 or 3 from its header and elements, as NumPy lays it out. */
static size_t npy_file(uint8_t *out, int version, const char *header, const void *data, size_t bytes) {
    size_t length = strlen(header), width = version == 1 ? 2 : 4;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)version;
    out[7] = 0;
    for (size_t i = 0; i < width; i++) out[8 + i] = (uint8_t)(length >> (8 * i));
    memcpy(out + 8 + width, header, length);
    if (bytes > 0) memcpy(out + 8 + width + length, data, bytes);
    return 8 + width + length + bytes;
}

static tn_status read_bytes(const uint8_t *file, size_t size, npy_array *array, tn_diag *diag) {
    uint8_t *copy = malloc(size + !size);
    assert_non_null(copy);
    memcpy(copy, file, size);
    tn_status status = npy_read_memory(copy, size, "x.npy", array, diag);
    free(copy);
    return status;
}

static void writes_what_numpy_writes(void **state) {
    (void)state;
    static const struct {
        tn_dtype dtype;
        int rank;
        int64_t dims[3];
        const char *header;
    } cases[] = {
        {TN_F32, 2, {2, 3}, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"},
        {TN_I64, 1, {3}, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }"},
        {TN_BOOL, 0, {0}, "{'descr': '|b1', 'fortran_order': False, 'shape': (), }"},
        {TN_U8, 3, {1, 0, 2}, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 0, 2), }"},
        {TN_BF16, 1, {2}, "{'descr': '<V2', 'fortran_order': False, 'shape': (2,), }"},
    };
    char path[] = "/tmp/tenon-npy-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    static const uint8_t data[24] = {1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(npy_write(path, cases[i].dtype, cases[i].rank, cases[i].dims, data, NULL), TN_OK);
        void *whole;
        size_t size;
        assert_int_equal(read_file(path, &whole, &size, NULL), TN_OK);
        const char *content = whole;
        assert_true(size >= 128);
        assert_memory_equal(content, "\x93NUMPY\x01\x00\x76\x00", 10);
        assert_memory_equal(content + 10, cases[i].header, strlen(cases[i].header));
        assert_int_equal(content[127], '\n');
        tn_free(whole);
    }
    unlink(path);
}

static void round_trips_every_dtype(void **state) {
    (void)state;
    char path[] = "/tmp/tenon-npy-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    uint8_t data[6 * 8];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(37 * i + 1);
    for (int dtype = 0; dtype < TN_DTYPE_COUNT; dtype++) {
        size_t bytes = 6 * tn_dtype_bits((tn_dtype)dtype) / 8;
        uint8_t expected[6 * 8];
        for (size_t i = 0; i < bytes; i++) expected[i] = dtype == TN_BOOL ? (uint8_t)(i & 1) : data[i];
        tn_diag diag;
        npy_array array;
        assert_int_equal(npy_write(path, (tn_dtype)dtype, 2, (int64_t[]){2, 3}, expected, &diag), TN_OK);
        assert_int_equal(npy_read(path, &array, &diag), TN_OK);
        assert_int_equal(array.dtype, dtype);
        assert_int_equal(array.rank, 2);
        assert_int_equal(array.dims[0], 2);
        assert_int_equal(array.dims[1], 3);
        assert_int_equal(array.bytes, bytes);
        assert_memory_equal(array.data, expected, bytes);
        npy_free(&array);
    }
    unlink(path);
}

static void reads_all_versions_and_orders(void **state) {
    (void)state;
    static const struct {
        int version;
        const char *header;
        uint8_t data[12], expected[12];
    } cases[] = {
        {1,
         "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n",
         {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0},
         {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}},
        {2,
         "{'shape': (2L, 3L), 'fortran_order': False, 'descr': '>i2'}",
         {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6},
         {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}},
        {3,
         "{\"descr\": \"<i2\", \"fortran_order\": True, \"shape\": (2, 3), }",
         {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0},
         {1, 0, 3, 0, 5, 0, 2, 0, 4, 0, 6, 0}},
        {1,
         "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 1, 3), }",
         {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6},
         {1, 0, 3, 0, 5, 0, 2, 0, 4, 0, 6, 0}},
        {1,
         "{'descr': '=i2', 'fortran_order': False, 'shape': (6,)}",
         {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0},
         {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t file[256];
        size_t size = npy_file(file, cases[i].version, cases[i].header, cases[i].data, 12);
        npy_array array;
        tn_diag diag = {0};
        if (read_bytes(file, size, &array, &diag) != TN_OK) fail_msg("case %zu: %s", i, diag.message);
        assert_int_equal(array.dtype, TN_I16);
        assert_memory_equal(array.data, cases[i].expected, 12);
        npy_free(&array);
    }
}

static void refuses_wrong_npy_files(void **state) {
    (void)state;
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
         "4 bytes follow its header, expected 8 for 2 of f32"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }",
         "its size in bytes does not fit in 63 bits"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,), }",
         "its 'shape' holds something else than sizes below 2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
         "its 'shape' holds something else than sizes below 2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1), }",
         "it has more axes than the 8 that are supported"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", "its 'shape' is not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3 4), }", "its 'shape' is not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
         "its 'shape' holds something else than sizes below 2^63"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
         "its 'descr' is not a plain dtype (structured arrays are not supported)"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
         "its dtype '<c8' is not supported, expected bool, int8 to int64, uint8 to uint64, float16, float32, float64 "
         "or bfloat16 (as V2)"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", "its 'fortran_order' is neither True nor False"},
        {"{'descr': '<f4', 'shape': (1,), }", "its header lacks 'descr', 'fortran_order' or 'shape'"},
        {"{'descr': '<f4', 'other': False}", "its header has a key that is unknown or comes twice"},
        {"{'descr'", "its header is not a Python dict"},
        {"", "its header is not a Python dict"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t file[256];
        npy_array array;
        tn_diag diag = {0};
        size_t size = npy_file(file, 1, cases[i].header, "abcd", 4);
        assert_int_not_equal(read_bytes(file, size, &array, &diag), TN_OK);
        assert_string_equal(diag.message, cases[i].message);
        assert_null(array.data);
    }
    npy_array array;
    tn_diag diag;
    assert_int_equal(read_bytes((const uint8_t *)"PNG", 3, &array, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "not a .npy file: it does not start with \\x93NUMPY");
    assert_string_equal(diag.file, "x.npy");
    assert_int_equal(npy_read("/nonexistent.npy", &array, &diag), TN_ERR_IO);
    assert_int_equal(npy_read("/tmp", &array, &diag), TN_ERR_IO);
}

static void survives_npy_truncation_and_mutation(void **state) {
    (void)state;
    uint8_t file[256];
    npy_array array;
    tn_diag diag;
    size_t size = npy_file(file, 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", "abcdefgh", 8);
    for (size_t cut = 0; cut < size; cut++) assert_int_not_equal(read_bytes(file, cut, &array, &diag), TN_OK);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            file[i] ^= (uint8_t)(1 << bit);
            if (read_bytes(file, size, &array, &diag) == TN_OK) npy_free(&array);
            file[i] ^= (uint8_t)(1 << bit);
        }
}

static void reports_failed_writes(void **state) {
    (void)state;
    tn_diag diag;
    float value = 1;
    assert_int_equal(npy_write("/nonexistent/x.npy", TN_F32, 0, NULL, &value, &diag), TN_ERR_IO);
    assert_int_equal(npy_write("/dev/full", TN_F32, 0, NULL, &value, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "No space left on device");
    assert_int_equal(access("/dev/full", F_OK), 0);
    assert_int_equal(npy_write("/tmp/x.npy", TN_TOKEN, 0, NULL, &value, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(npy_write("/tmp/x.npy", TN_F32, 1, (int64_t[]){-1}, &value, &diag), TN_ERR_ARGUMENT);
}

/* ---- Pictures --------------------------------------------------------------------------- */

static const char tiny_ppm[] = "P6\n2 2\n255\n\x0a\x14\x1e\x28\x32\x3c\x46\x50\x5a\x64\x6e\x78";
enum { TINY_BYTES = sizeof tiny_ppm - 1 };

static void write_tiny(char *path) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, tiny_ppm, TINY_BYTES), TINY_BYTES);
    close(fd);
}

static void lays_pictures_out(void **state) {
    (void)state;
    static const struct {
        picture_options options;
        int64_t dims[4];
        float values[12];
    } cases[] = {
        {{.layout = PICTURE_NHWC}, {1, 2, 2, 3}, {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120}},
        {{.layout = PICTURE_NCHW}, {1, 3, 2, 2}, {10, 40, 70, 100, 20, 50, 80, 110, 30, 60, 90, 120}},
        {{.layout = PICTURE_NHWC, .is_bgr = true}, {1, 2, 2, 3}, {30, 20, 10, 60, 50, 40, 90, 80, 70, 120, 110, 100}},
        {{.layout = PICTURE_NCHW, .is_bgr = true, .mean = {30, 20, 10}, .scale = {0.5f, 1, 2}},
         {1, 3, 2, 2},
         {0, 15, 30, 45, 0, 30, 60, 90, 0, 60, 120, 180}},
    };
    char path[] = "/tmp/tenon-picture-XXXXXX";
    write_tiny(path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t dims[4];
        float *values;
        tn_diag diag = {0};
        if (picture_load(path, &cases[i].options, dims, &values, &diag) != TN_OK) fail_msg("%s", diag.message);
        assert_memory_equal(dims, cases[i].dims, sizeof dims);
        for (size_t k = 0; k < 12; k++) assert_true(values[k] == cases[i].values[k]);
        tn_free(values);
    }
    unlink(path);
}

static void resizes_between_pixel_centres(void **state) {
    (void)state;
    uint8_t row[4] = {0, 100, 200, 50}, wide[8];
    picture from = {4, 1, 1, row}, to;
    /* Target centres fall at -0.25, 0.25, 0.75, ... of the source. */
    assert_int_equal(picture_resize(&from, 8, 1, &to), TN_OK);
    static const uint8_t doubled[8] = {0, 25, 75, 125, 175, 163, 88, 50};
    memcpy(wide, to.pixels, 8);
    assert_memory_equal(wide, doubled, 8);
    picture_free(&to);
    assert_int_equal(picture_resize(&from, 2, 1, &to), TN_OK);
    assert_int_equal(to.pixels[0], 50);
    assert_int_equal(to.pixels[1], 125);
    picture_free(&to);
    assert_int_equal(picture_resize(&from, 4, 3, &to), TN_OK);
    for (int y = 0; y < 3; y++) assert_memory_equal(to.pixels + 4 * y, row, 4);
    picture_free(&to);
    assert_int_equal(picture_resize(&from, 0, 1, &to), TN_ERR_ARGUMENT);
    assert_int_equal(picture_resize(&from, 1 << 30, 1, &to), TN_ERR_ARGUMENT);
}

static void keeps_the_aspect_ratio(void **state) {
    (void)state;
    char path[] = "/tmp/tenon-picture-XXXXXX";
    write_tiny(path);
    int64_t dims[4];
    float *values;
    tn_diag diag;
    picture_options options = {.height = 5, .channels = 1};
    assert_int_equal(picture_load(path, &options, dims, &values, &diag), TN_OK);
    assert_memory_equal(dims, ((int64_t[]){1, 1, 5, 5}), sizeof dims);
    tn_free(values);
    options.width = 40000;
    assert_int_equal(picture_load(path, &options, dims, &values, &diag), TN_ERR_ARGUMENT);
    assert_null(values);
    unlink(path);
}

static void refuses_wrong_pictures(void **state) {
    (void)state;
    picture p;
    tn_diag diag;
    assert_int_equal(picture_read_memory("GIF89a", 6, 3, "x.gif", &p, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "not a picture: expected PNG, JPEG, PPM or PGM");
    assert_int_equal(picture_read_memory(tiny_ppm, 0, 3, NULL, &p, &diag), TN_ERR_PARSE);
    static const char large[] = "P6\n30000 30000\n255\n";
    assert_int_equal(picture_read_memory(large, sizeof large - 1, 3, NULL, &p, &diag), TN_ERR_LIMIT);
    assert_int_equal(picture_read("/nonexistent.png", 3, &p, &diag), TN_ERR_IO);
    for (size_t cut = 0; cut < TINY_BYTES; cut++) {
        char *copy = malloc(cut + !cut);
        assert_non_null(copy);
        memcpy(copy, tiny_ppm, cut);
        assert_int_equal(picture_read_memory(copy, cut, 3, NULL, &p, &diag), TN_ERR_PARSE);
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_numpy_writes),
        cmocka_unit_test(round_trips_every_dtype),
        cmocka_unit_test(reads_all_versions_and_orders),
        cmocka_unit_test(refuses_wrong_npy_files),
        cmocka_unit_test(survives_npy_truncation_and_mutation),
        cmocka_unit_test(reports_failed_writes),
        cmocka_unit_test(lays_pictures_out),
        cmocka_unit_test(resizes_between_pixel_centres),
        cmocka_unit_test(keeps_the_aspect_ratio),
        cmocka_unit_test(refuses_wrong_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
