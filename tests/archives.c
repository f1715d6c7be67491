/* .npz and IDX files and image folders: what they read, and with which words they refuse.
 *
 * What NumPy and the safetensors package make of files, and Tenon of theirs: tests/interchange.sh, for which
 * `archives FROM TO` reads one file of tensors and writes another, each in the format that its name ends in.
 */
#include "frontends/data/compress.h"
#include "frontends/data/read_file.h"
#include "frontends/data/tenon_data.h"
#include "runtime/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

static char folder[] = "/tmp/tenon-archives-XXXXXX";
static char path[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when anything was left behind */
}

static void write_bytes(const char *name, const void *data, size_t bytes) {
    FILE *file = fopen(name, "wb");
    if (!file) abort();
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* ---- .npz -------------------------------------------------------------------------------------------------------- */

static void round_trips_npz(void **state) {
    (void)state;
    static float x[1000][7];
    static double turned[2][3] = {{1, 2, 3}, {4, 5, 6}};
    int64_t y = -3;
    for (int i = 0; i < 7000; i++) x[i / 7][i % 7] = (float)(i % 50);
    tn_named_tensor tensors[] = {
        {"x", TN_TENSOR(TN_F32, x, 1000, 7)},
        {"turned", tn_tensor_strided(TN_F64, turned, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3})},
        {"sub/sc\xc3\xa4lar", tn_tensor_of(TN_I64, &y, 0, NULL)},
        {"none", TN_TENSOR(TN_BF16, NULL, 0, 2)},
    };
    static const double expected[] = {1, 4, 2, 5, 3, 6};
    for (int deflates = 0; deflates < 2; deflates++) {
        tn_archive *a;
        tn_diag diag = {0};
        if (tn_npz_write(path, tensors, 4, deflates, &diag) != TN_OK) fail_msg("%s", diag.message);
        if (tn_npz_open(path, &a, &diag) != TN_OK) fail_msg("%s", diag.message);
        assert_int_equal(tn_archive_count(a), 4);
        assert_memory_equal(tn_archive_find(a, "x")->data, x, sizeof x);
        assert_memory_equal(tn_archive_find(a, "turned")->data, expected, sizeof expected);
        assert_memory_equal(tn_archive_find(a, "sub/sc\xc3\xa4lar")->data, &y, sizeof y);
        assert_int_equal(tn_archive_find(a, "none")->dtype, TN_BF16);
        tn_archive_free(a);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_true(deflates ? info.st_size < 3000 : info.st_size > 28000);
    }
    tn_archive *a;
    assert_int_equal(tn_npz_write(path, NULL, 0, true, NULL), TN_OK);
    assert_int_equal(tn_npz_open(path, &a, NULL), TN_OK);
    assert_int_equal(tn_archive_count(a), 0);
    tn_archive_free(a);
    tn_diag diag;
    tensors[1].name = "x";
    assert_int_equal(tn_npz_write(path, tensors, 4, true, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "two arrays are called 'x'");
}

static tn_status parse_npz(const uint8_t *file, size_t size, tn_diag *diag) {
    uint8_t *copy = malloc(size + !size);
    tn_archive *a;
    assert_non_null(copy);
    memcpy(copy, file, size);
    tn_status status = tn_npz_parse(copy, size, "x.npz", &a, diag);
    free(copy);
    tn_archive_free(a);
    return status;
}

static void survives_npz_truncation_and_mutation(void **state) {
    (void)state;
    float x[40] = {1, 2, 3};
    tn_named_tensor tensors[] = {{"a", TN_TENSOR(TN_F32, x, 40)}, {"b", TN_TENSOR(TN_F32, x, 1)}};
    for (int deflates = 0; deflates < 2; deflates++) {
        void *content;
        size_t size;
        tn_diag diag;
        assert_int_equal(tn_npz_write(path, tensors, 2, deflates, NULL), TN_OK);
        assert_int_equal(read_file(path, &content, &size, NULL), TN_OK);
        uint8_t *file = content;
        assert_int_equal(parse_npz(file, size, &diag), TN_OK);
        for (size_t cut = 0; cut < size; cut++) assert_int_not_equal(parse_npz(file, cut, &diag), TN_OK);
        for (size_t i = 0; i < size; i++)
            for (int bit = 0; bit < 8; bit++) {
                file[i] ^= (uint8_t)(1 << bit);
                parse_npz(file, size, &diag);
                file[i] ^= (uint8_t)(1 << bit);
            }
        /* An element changed: the sum tells. Deflated data lie elsewhere in the file. */
        file[30 + 5 + 20 + 128 + (deflates ? -100 : 3)] ^= 1;
        assert_int_equal(parse_npz(file, size, &diag), TN_ERR_PARSE);
        if (!deflates) assert_non_null(strstr(diag.message, "entry 'a.npy': its CRC-32 is "));
        assert_string_equal(diag.file, "x.npz");
        tn_free(content);
    }
}

/* A small archive with one stored entry, in the plain form, of which a test changes what it wants. */
enum { PLAIN_LOCAL = 0, PLAIN_NAME = 30, PLAIN_DATA = 31, PLAIN_ENTRY = 35, PLAIN_END = 82, PLAIN_BYTES = 104 };
static void plain_zip(uint8_t out[PLAIN_BYTES]) {
    static const uint8_t local[] = "PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\4\0\0\0\1\0\0\0xabcd";
    static const uint8_t entry[] =
        "PK\1\2\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\4\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x";
    static const uint8_t end[] = "PK\5\6\0\0\0\0\1\0\1\0\x2f\0\0\0\x23\0\0\0\0\0";
    uLong crc = crc32(0, (const Bytef *)"abcd", 4);
    memcpy(out, local, sizeof local - 1);
    memcpy(out + PLAIN_ENTRY, entry, sizeof entry - 1);
    memcpy(out + PLAIN_END, end, sizeof end - 1);
    for (int i = 0; i < 4; i++) out[14 + i] = out[PLAIN_ENTRY + 16 + i] = (uint8_t)(crc >> (8 * i));
}

static void refuses_wrong_npz(void **state) {
    (void)state;
    static const struct {
        int at;
        uint8_t value;
        const char *message;
    } cases[] = {
        {PLAIN_NAME, 'x', "entry 'x': its name is not that of a .npy file"},
        {PLAIN_ENTRY + 8, 1, "entry 0 is encrypted"},
        {PLAIN_ENTRY + 42, 1, "entry 0 of the archive has no header where the directory says"},
        {PLAIN_ENTRY + 20, 200, "entry 0 of the archive reaches past the end"},
        {PLAIN_ENTRY + 28, 9, "entry 0 of the archive reaches past the directory"},
        {PLAIN_ENTRY, 'Q', "entry 0 of the archive is not where it should be"},
        {PLAIN_END + 10, 9,
         "its directory of 9 entries, 47 bytes from offset 35 on, is not within the 82 bytes before the end record"},
        {PLAIN_END + 16, 90,
         "its directory of 1 entries, 47 bytes from offset 90 on, is not within the 82 bytes before the end record"},
        {PLAIN_END + 20, 1, "not a zip archive, or one that is cut off: it has no end record"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t zip[PLAIN_BYTES];
        tn_diag diag = {0};
        plain_zip(zip);
        zip[cases[i].at] = cases[i].value;
        assert_int_not_equal(parse_npz(zip, sizeof zip, &diag), TN_OK);
        assert_string_equal(diag.message, cases[i].message);
    }
    tn_archive *a;
    assert_int_equal(tn_npz_open("/nonexistent.npz", &a, NULL), TN_ERR_IO);
}

static void round_trips_npy(void **state) {
    (void)state;
    float x[2][2] = {{1, 2}, {3, 4}};
    tn_tensor turned = tn_tensor_strided(TN_F32, x, 2, (int64_t[]){2, 2}, (int64_t[]){1, 2});
    tn_archive *a;
    static const float expected[] = {1, 3, 2, 4};
    assert_int_equal(tn_npy_write(path, &turned, NULL), TN_OK);
    assert_int_equal(tn_npy_open(path, &a, NULL), TN_OK);
    assert_memory_equal(tn_archive_find(a, "data")->data, expected, sizeof expected);
    tn_archive_free(a);
    turned.dtype = TN_TOKEN;
    assert_int_equal(tn_npy_write(path, &turned, NULL), TN_ERR_ARGUMENT);
}

/* ---- IDX --------------------------------------------------------------------------------------------------------- */

static void reads_idx(void **state) {
    (void)state;
    static const uint8_t pictures[] = "\0\0\x08\3\0\0\0\2\0\0\0\1\0\0\0\3abcdef",
                         labels[] = "\0\0\x0b\1\0\0\0\2\1\0\xff\xfe";
    char other[72];
    snprintf(other, sizeof other, "%s/labels", folder);
    gzFile gz = gzopen(path, "wb");
    gzwrite(gz, pictures, sizeof pictures - 1);
    gzclose(gz);
    write_bytes(other, labels, sizeof labels - 1);
    tn_dataset *d;
    tn_diag diag = {0};
    if (tn_dataset_idx(path, other, &d, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(tn_dataset_count(d), 2);
    assert_int_equal(tn_dataset_field(d, 0)->shape[1], 3);
    assert_int_equal(tn_dataset_convert(d, "y", TN_I64, 0, 1, NULL), TN_OK);
    char x[3];
    int64_t y;
    assert_int_equal(tn_dataset_read(d, 0, 1, x, NULL), TN_OK);
    assert_memory_equal(x, "def", 3);
    assert_int_equal(tn_dataset_read(d, 1, 0, &y, NULL), TN_OK);
    assert_int_equal(y, 256);
    assert_int_equal(tn_dataset_read(d, 1, 1, &y, NULL), TN_OK);
    assert_int_equal(y, -2);
    tn_dataset_free(d);
    write_bytes(other, "\0\0\x08\1\0\0\0\1a", 9);
    assert_int_equal(tn_dataset_idx(path, other, &d, &diag), TN_ERR_SHAPE);
    assert_string_equal(diag.message, "array 'y' is u8[1], but 'x' has 2 examples");
    assert_string_equal(diag.file, other);
    unlink(other);
    assert_int_equal(tn_dataset_idx(path, NULL, &d, &diag), TN_OK);
    assert_int_equal(tn_dataset_n_fields(d), 1);
    tn_dataset_free(d);
}

static void refuses_wrong_idx(void **state) {
    (void)state;
    static const struct {
        const char *file;
        size_t size;
        const char *message;
    } cases[] = {
        {"\0\0\x08", 3, "not an IDX file: it does not start with two zero bytes, a type and a rank"},
        {"\1\0\x08\0a", 5, "not an IDX file: it does not start with two zero bytes, a type and a rank"},
        {"\0\0\x0a\0a", 5, "its type is 0x0a, expected 0x08, 0x09 or 0x0b to 0x0e"},
        {"\0\0\x08\x09zzzzzzzz", 12, "it has 9 axes, at most 8 are supported"},
        {"\0\0\x08\1\0\0\0", 7, "it is cut off in its header"},
        {"\0\0\x0d\1\0\0\0\2abcde", 13, "5 bytes follow its header, expected 8 for f32[2]"},
        {"\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16,
         "0 bytes follow its header, expected -1 for u8[4294967295, 4294967295, 4294967295]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_archive *a;
        tn_diag diag = {0};
        assert_int_not_equal(tn_idx_parse(cases[i].file, cases[i].size, "x", &a, &diag), TN_OK);
        assert_string_equal(diag.message, cases[i].message);
        assert_null(a);
    }
}

/* ---- Image folders ----------------------------------------------------------------------------------------------- */

static const char ppm_2x1[] = "P6\n2 1\n255\n\x0a\x14\x1e\xff\x00\x80", ppm_1x1[] = "P6\n1 1\n255\n\x28\x32\x3c";

static void in_folder(char out[128], const char *name) { snprintf(out, 128, "%s/pictures/%s", folder, name); }

static void put_picture(const char *name, const char *content, size_t bytes) {
    char file[128];
    in_folder(file, name);
    write_bytes(file, content, bytes);
}

static const char *const made[] = {"b/1.ppm",   "b/2.PPM", "a/z.ppm", "a/.hidden", "a/notes.txt",
                                   "loose.ppm", "b",       "a",       "c",         ""};

static void remove_pictures(void) {
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        char file[128];
        in_folder(file, made[i]);
        remove(file);
    }
}

static void make_pictures(void) {
    static const char *const folders[] = {"", "a", "b"};
    for (int i = 0; i < 3; i++) {
        char name[128];
        in_folder(name, folders[i]);
        assert_int_equal(mkdir(name, 0777), 0);
    }
    put_picture("b/1.ppm", ppm_2x1, sizeof ppm_2x1 - 1);
    put_picture("b/2.PPM", ppm_2x1, sizeof ppm_2x1 - 1);
    put_picture("a/z.ppm", ppm_2x1, sizeof ppm_2x1 - 1);
    put_picture("a/.hidden", "x", 1);
}

static void reads_image_folders(void **state) {
    (void)state;
    char root[128];
    in_folder(root, "");
    make_pictures();
    tn_dataset *d;
    tn_diag diag = {0};
    if (tn_dataset_images(root, NULL, &d, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(tn_dataset_count(d), 3);
    assert_memory_equal(tn_dataset_field(d, 0)->shape, ((int64_t[]){3, 1, 2}), 3 * sizeof(int64_t));
    assert_string_equal(tn_dataset_class(d, 0), "a");
    assert_string_equal(tn_dataset_class(d, 1), "b");
    assert_null(tn_dataset_class(d, 2));
    float x[6];
    int64_t y;
    static const uint8_t planar[6] = {10, 255, 20, 0, 30, 128};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tn_dataset_read(d, 0, i, x, &diag), TN_OK);
        for (int k = 0; k < 6; k++) assert_true(x[k] == (float)planar[k] * (1.0f / 255));
        assert_int_equal(tn_dataset_read(d, 1, i, &y, &diag), TN_OK);
        assert_int_equal(y, i > 0);
    }
    /* Another size, known only when the picture is read; then a file that is no picture any more. */
    put_picture("b/2.PPM", ppm_1x1, sizeof ppm_1x1 - 1);
    assert_int_equal(tn_dataset_read(d, 0, 2, x, &diag), TN_ERR_SHAPE);
    assert_string_equal(diag.message,
                        "record 2, field 'x': the picture is 1 x 1, the first one 2 x 1: say which size all "
                        "are to have (width, height)");
    assert_non_null(strstr(diag.file, "/b/2.PPM"));
    put_picture("b/2.PPM", "GIF89a", 6);
    assert_int_equal(tn_dataset_read(d, 0, 2, x, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "record 2, field 'x': not a picture: expected PNG, JPEG, PPM or PGM");
    tn_dataset_free(d);

    put_picture("b/2.PPM", ppm_1x1, sizeof ppm_1x1 - 1);
    tn_image_options options = {
        .width = 2, .height = 2, .channels_last = true, .scale = {1, 1, 1}, .mean = {40, 50, 60}};
    assert_int_equal(tn_dataset_images(root, &options, &d, NULL), TN_OK);
    float resized[12];
    assert_int_equal(tn_dataset_read(d, 0, 2, resized, NULL), TN_OK);
    for (int k = 0; k < 12; k++) assert_true(resized[k] == 0);
    tn_dataset_free(d);
    remove_pictures();
}

static void refuses_wrong_image_folders(void **state) {
    (void)state;
    char root[128], empty[128];
    in_folder(root, "");
    in_folder(empty, "c");
    tn_dataset *d;
    tn_diag diag;
    assert_int_equal(tn_dataset_images("/nonexistent", NULL, &d, &diag), TN_ERR_IO);
    make_pictures();
    assert_int_equal(tn_dataset_images(root, &(tn_image_options){.width = 3}, &d, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_dataset_images(root, &(tn_image_options){.channels = 2}, &d, &diag), TN_ERR_ARGUMENT);
    put_picture("a/notes.txt", "x", 1);
    assert_int_equal(tn_dataset_images(root, NULL, &d, &diag), TN_ERR_PARSE);
    assert_non_null(strstr(diag.message, "/a/notes.txt' is no picture, expected .png, .jpg, .jpeg, .ppm or .pgm"));
    char file[128];
    in_folder(file, "a/notes.txt");
    unlink(file);
    put_picture("loose.ppm", ppm_1x1, sizeof ppm_1x1 - 1);
    assert_int_equal(tn_dataset_images(root, NULL, &d, &diag), TN_ERR_PARSE);
    assert_non_null(strstr(diag.message, "/loose.ppm' is no folder, expected one for each class"));
    in_folder(file, "loose.ppm");
    unlink(file);
    assert_int_equal(mkdir(empty, 0777), 0);
    assert_int_equal(tn_dataset_images(root, NULL, &d, &diag), TN_ERR_PARSE);
    assert_non_null(strstr(diag.message, "/c' has no pictures"));
    remove_pictures();
    assert_int_equal(mkdir(root, 0777), 0);
    assert_int_equal(tn_dataset_images(root, NULL, &d, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "the folder is empty, expected one folder for each class");
    assert_string_equal(diag.file, root);
    remove_pictures();
}

/* ---- For other programs ------------------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static tn_status write_all(const char *to, const tn_archive *a, tn_diag *diag) {
    const tn_named_tensor *all = tn_archive_at(a, 0);
    if (ends_with(to, ".npy")) return tn_npy_write(to, &all->tensor, diag);
    if (ends_with(to, ".safetensors"))
        return tn_safetensors_write(to, all, tn_archive_count(a), tn_archive_metadata_at(a, 0),
                                    tn_archive_metadata_at(a, 0) ? 1 : 0, diag);
    return tn_npz_write(to, all, tn_archive_count(a), ends_with(to, ".deflated.npz"), diag);
}

static int convert_file(const char *from, const char *to) {
    tn_archive *a;
    tn_diag diag;
    tn_status status = ends_with(from, ".npy")           ? tn_npy_open(from, &a, &diag)
                       : ends_with(from, ".safetensors") ? tn_safetensors_open(from, &a, &diag)
                                                         : tn_npz_open(from, &a, &diag);
    if (status == TN_OK) status = write_all(to, a, &diag);
    tn_archive_free(a);
    if (status != TN_OK) fprintf(stderr, "%s: %s\n", diag.file, diag.message);
    return status != TN_OK;
}

int main(int argc, char **argv) {
    if (argc == 3) return convert_file(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_npz),     cmocka_unit_test(survives_npz_truncation_and_mutation),
        cmocka_unit_test(refuses_wrong_npz),   cmocka_unit_test(round_trips_npy),
        cmocka_unit_test(reads_idx),           cmocka_unit_test(refuses_wrong_idx),
        cmocka_unit_test(reads_image_folders), cmocka_unit_test(refuses_wrong_image_folders),
    };
    return cmocka_run_group_tests_name("archives", tests, make_folder, remove_folder);
}
