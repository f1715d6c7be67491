/* safetensors files: round trips, what is refused and with which words, and a file that survives any kill. */
#include "frontends/data/atomic_file.h"
#include "frontends/data/tenon_data.h"
#include "runtime/alloc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/tenon-safetensors-XXXXXX";
static char path[64], temporary[72];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when anything was left behind */
}

/* ---- Round trips ------------------------------------------------------------------------------------------------- */

static void round_trips_every_dtype(void **state) {
    (void)state;
    static uint8_t data[TN_DTYPE_COUNT][6 * 8];
    tn_named_tensor tensors[TN_DTYPE_COUNT];
    for (int d = 0; d < TN_DTYPE_COUNT; d++) {
        for (size_t i = 0; i < sizeof data[d]; i++) data[d][i] = d == TN_BOOL ? i % 2 : (uint8_t)(7 * i + (size_t)d);
        tensors[d] = (tn_named_tensor){tn_dtype_name((tn_dtype)d), TN_TENSOR((tn_dtype)d, data[d], 2, 3)};
    }
    const tn_metadata notes[] = {{"format", "pt"}, {"it's", "\"quoted\" \xc3\xa4\n"}};
    tn_diag diag = {0};
    if (tn_safetensors_write(path, tensors, TN_DTYPE_COUNT, notes, 2, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_archive *archive;
    if (tn_safetensors_open(path, &archive, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(tn_archive_count(archive), TN_DTYPE_COUNT);
    for (int d = 0; d < TN_DTYPE_COUNT; d++) {
        const tn_tensor *t = tn_archive_find(archive, tensors[d].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, d);
        assert_int_equal(t->rank, 2);
        assert_memory_equal(t->shape, tensors[d].tensor.shape, 2 * sizeof *t->shape);
        assert_memory_equal(t->data, data[d], (size_t)tn_tensor_bytes(t));
        assert_int_equal((uintptr_t)t->data % (tn_dtype_bits(t->dtype) / 8), 0);
    }
    assert_null(tn_archive_find(archive, "x"));
    assert_null(tn_archive_at(archive, TN_DTYPE_COUNT));
    assert_string_equal(tn_archive_metadata(archive, "it's"), notes[1].value);
    assert_string_equal(tn_archive_metadata_at(archive, 0)->value, "pt");
    assert_null(tn_archive_metadata(archive, "none"));
    tn_archive_free(archive);
    assert_int_equal(access(temporary, F_OK), -1);
}

static void round_trips_scalars_strides_and_nothing(void **state) {
    (void)state;
    static float m[2][3] = {{1, 2, 3}, {4, 5, 6}};
    tn_named_tensor tensors[] = {
        {"transposed", tn_tensor_strided(TN_F32, m, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3})},
        {"scalar", tn_tensor_of(TN_F32, &m[1][2], 0, NULL)},
        {"none", TN_TENSOR(TN_F32, NULL, 4, 0, 2)},
        {"", TN_TENSOR(TN_F32, m, 1)},
    };
    tn_archive *archive;
    assert_int_equal(tn_safetensors_write(path, tensors, 4, NULL, 0, NULL), TN_OK);
    assert_int_equal(tn_safetensors_open(path, &archive, NULL), TN_OK);
    static const float turned[] = {1, 4, 2, 5, 3, 6};
    assert_memory_equal(tn_archive_find(archive, "transposed")->data, turned, sizeof turned);
    assert_int_equal(tn_archive_find(archive, "scalar")->rank, 0);
    assert_memory_equal(tn_archive_find(archive, "scalar")->data, &m[1][2], 4);
    assert_int_equal(tn_tensor_elements(tn_archive_find(archive, "none")), 0);
    assert_memory_equal(tn_archive_find(archive, "")->data, m, 4);
    tn_archive_free(archive);
    assert_int_equal(tn_safetensors_write(path, NULL, 0, NULL, 0, NULL), TN_OK);
    assert_int_equal(tn_safetensors_open(path, &archive, NULL), TN_OK);
    assert_int_equal(tn_archive_count(archive), 0);
    tn_archive_free(archive);
}

/* ---- Wrong files ------------------------------------------------------------------------------------------------- */

/* Reads a file of this header and so many bytes of data, from memory of exactly its size. */
static tn_status read_header(const char *header, size_t data_bytes, uint8_t value, tn_archive **archive,
                             tn_diag *diag) {
    size_t length = strlen(header), size = 8 + length + data_bytes;
    uint8_t *file = calloc(1, size);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    for (size_t i = 0; i < length; i++) file[8 + i] = (uint8_t)header[i];
    memset(file + 8 + length, value, data_bytes);
    tn_status status = tn_safetensors_parse(file, size, "x.safetensors", archive, diag);
    if (status == TN_OK) tn_archive_free(*archive);
    free(file);
    return status;
}

static void refuses_wrong_files(void **state) {
    (void)state;
#define ENTRY(name, dtype, shape, begin, end)                                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"
    static const struct {
        const char *header;
        size_t bytes;
        const char *message;
    } cases[] = {
        {"{" ENTRY("a", "F32", "[2]", "0", "4") "}", 4,
         "tensor 'a': its data_offsets [0, 4] span 4 bytes, but f32[2] has 8"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "}", 4,
         "tensor 'a': its data_offsets [0, 8] are not within the 4 bytes behind the header"},
        {"{" ENTRY("a", "F32", "[1]", "4", "0") "}", 4,
         "tensor 'a': its data_offsets [4, 0] are not within the 4 bytes behind the header"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "4", "12") "}", 12,
         "tensor 'b' begins at offset 4 and overlaps the tensor before it, expected 8"},
        {"{" ENTRY("a", "F32", "[1]", "0", "4") "," ENTRY("b", "F32", "[1]", "8", "12") "}", 12,
         "tensor 'b' begins at offset 8 and leaves a gap before it, expected 4"},
        {"{" ENTRY("a", "F32", "[1]", "0", "4") "}", 6, "the tensors end at offset 4, but 6 bytes follow the header"},
        {"{" ENTRY("a", "F32", "[4611686018427387904,4]", "0", "4") "}", 4,
         "tensor 'a': the bytes of f32[4611686018427387904, 4] do not fit in 63 bits"},
        {"{" ENTRY("a", "F8_E4M3", "[4]", "0", "4") "}", 4,
         "tensor 'a': its dtype 'F8_E4M3' is not supported, expected BOOL, I8 to I64, U8 to U64, F16, BF16, F32 or "
         "F64"},
        {"{" ENTRY("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1,
         "tensor 'a' has 9 axes, at most 8 are supported"},
        {"{" ENTRY("a", "U8", "[-1]", "0", "1") "}", 1, "tensor 'a': size 0 of its shape is no whole number from 0 on"},
        {"{" ENTRY("a", "U8", "[1.5]", "0", "1") "}", 1,
         "tensor 'a': size 0 of its shape is no whole number from 0 on"},
        {"{" ENTRY("a", "U8", "3", "0", "1") "}", 1, "tensor 'a': its shape is no list"},
        {"{" ENTRY("a", "BOOL", "[2]", "0", "2") "}", 2, "tensor 'a': element 0 is 7, a BOOL is 0 or 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
         "tensor 'a': its data_offsets are no list of two whole numbers"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "tensor 'a': its dtype is missing or no string"},
        {"{\"a\":{\"type\":\"U8\"}}", 0,
         "tensor 'a': its entry has 'type', expected dtype, shape and data_offsets alone"},
        {"{\"a\":1}", 0, "tensor 'a': its entry in the header is no object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "the value of 'k' in its __metadata__ is no string"},
        {"{\"__metadata__\":[]}", 0, "its __metadata__ is no object"},
        {"[]", 0, "its header is no JSON object"},
        {"{" ENTRY("a", "U8", "[1]", "0", "1") "," ENTRY("a", "U8", "[1]", "1", "2") "}", 2,
         "its header has a name twice, up to offset 64: duplicate object key near '\"a\"'"},
        {"{\"a\"", 0, "its header is no valid JSON at offset 12: ':' expected near end of file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_archive *archive;
        tn_diag diag = {0};
        assert_int_not_equal(read_header(cases[i].header, cases[i].bytes, 7, &archive, &diag), TN_OK);
        assert_string_equal(diag.message, cases[i].message);
        assert_string_equal(diag.file, "x.safetensors");
        assert_null(archive);
    }
    tn_archive *archive;
    tn_diag diag = {0};
    assert_int_equal(tn_safetensors_parse("abc", 3, NULL, &archive, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "it has 3 bytes, a safetensors file begins with 8 bytes of length");
    assert_int_equal(tn_safetensors_parse("\x09\0\0\0\0\0\0\0{}", 10, NULL, &archive, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, "it is cut off: its header has 9 bytes, 2 are there");
    assert_int_equal(tn_safetensors_parse("PK\3\4....{}", 10, NULL, &archive, &diag), TN_ERR_PARSE);
    assert_int_equal(tn_safetensors_open("/nonexistent", &archive, &diag), TN_ERR_IO);
    assert_int_equal(tn_safetensors_open("/tmp", &archive, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "is not a regular file");
}

static void survives_truncation_and_mutation(void **state) {
    (void)state;
    char header[512];
    snprintf(header, sizeof header,
             "{\"__metadata__\":{\"k\":\"v\"}," ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "BOOL", "[2,1]", "8",
                                                                                             "10") "}");
    tn_archive *archive;
    tn_diag diag;
    assert_int_equal(read_header(header, 10, 1, &archive, &diag), TN_OK);
    size_t length = strlen(header);
    for (size_t i = 0; i < length; i++)
        for (int bit = 0; bit < 8; bit++) {
            header[i] ^= (char)(1 << bit);
            if (header[i]) read_header(header, 10, 1, &archive, &diag);
            header[i] ^= (char)(1 << bit);
        }
    for (size_t cut = length; cut-- > 0;) {
        header[cut] = '\0';
        assert_int_not_equal(read_header(header, 10, 1, &archive, &diag), TN_OK);
    }
}

static void refuses_wrong_writes(void **state) {
    (void)state;
    float x[2] = {1, 2};
    tn_diag diag = {0};
    const tn_named_tensor twice[] = {{"a", TN_TENSOR(TN_F32, x, 2)}, {"a", TN_TENSOR(TN_F32, x, 1)}};
    assert_int_equal(tn_safetensors_write(path, twice, 2, NULL, 0, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "two tensors are called 'a'");
    const tn_named_tensor reserved = {"__metadata__", TN_TENSOR(TN_F32, x, 2)};
    assert_int_equal(tn_safetensors_write(path, &reserved, 1, NULL, 0, &diag), TN_ERR_ARGUMENT);
    const tn_named_tensor latin = {"\xe4", TN_TENSOR(TN_F32, x, 2)};
    assert_int_equal(tn_safetensors_write(path, &latin, 1, NULL, 0, &diag), TN_ERR_ARGUMENT);
    const tn_named_tensor no_data = {"a", TN_TENSOR(TN_F32, NULL, 2)};
    assert_int_equal(tn_safetensors_write(path, &no_data, 1, NULL, 0, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "tensor 'a' is malformed, not on the host or has no data: f32[2]");
    const tn_metadata notes[] = {{"k", "v"}, {"k", "w"}};
    assert_int_equal(tn_safetensors_write(path, twice, 1, notes, 2, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_safetensors_write("/nonexistent/x", twice, 1, NULL, 0, &diag), TN_ERR_IO);
    assert_string_equal(diag.file, "/nonexistent/x");
    assert_int_equal(tn_safetensors_write("/dev/full", twice, 1, NULL, 0, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "No space left on device");
}

/* ---- The file is always whole ------------------------------------------------------------------------------------ */

enum { ELEMENTS = 1 << 16 };

static tn_status write_version(float version) {
    static float x[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) x[i] = version;
    tn_named_tensor tensor = {"x", TN_TENSOR(TN_F32, x, ELEMENTS)};
    return tn_safetensors_write(path, &tensor, 1, NULL, 0, NULL);
}

/* The version that the file holds, all of it. */
static float read_version(void) {
    tn_archive *archive;
    tn_diag diag;
    if (tn_safetensors_open(path, &archive, &diag) != TN_OK) fail_msg("%s", diag.message);
    const float *x = tn_archive_find(archive, "x")->data;
    float version = x[0];
    for (int i = 0; i < ELEMENTS; i++)
        if (x[i] != version) fail_msg("element %d is of version %g, others of %g", i, x[i], version);
    tn_archive_free(archive);
    return version;
}

/* Until it is killed. */
static void write_versions(float version) {
    while (write_version(version) == TN_OK) version++;
    _exit(1);
}

static void survives_kills(void **state) {
    (void)state;
    assert_int_equal(write_version(0), TN_OK);
    float last = 0;
    int n_moved = 0;
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) write_versions(last + 1);
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + 317000 * i}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* what the last one left did not hinder it */
        float now = read_version();
        assert_true(now >= last);
        n_moved += now > last;
        last = now;
    }
    assert_true(n_moved > 0);
    assert_int_equal(write_version(-1), TN_OK);
    assert_true(read_version() == -1);
    assert_int_equal(access(temporary, F_OK), -1);
}

static void keeps_the_old_file_when_a_write_fails(void **state) {
    (void)state;
    assert_int_equal(write_version(3), TN_OK);
    /* A second writer is refused while the first has not ended. */
    atomic_file first;
    tn_diag diag;
    float x = 4;
    tn_named_tensor tensor = {"x", TN_TENSOR(TN_F32, &x, 1)};
    assert_int_equal(atomic_file_open(path, &first, NULL), TN_OK);
    assert_int_equal(tn_safetensors_write(path, &tensor, 1, NULL, 0, &diag), TN_ERR_IO);
    assert_non_null(strstr(diag.message, "it is being written by someone else"));
    atomic_file_write(&first, "abc", 3);
    atomic_file_abandon(&first);
    assert_true(read_version() == 3);
    assert_int_equal(access(temporary, F_OK), -1);
}

static void keeps_modes_and_links(void **state) {
    (void)state;
    char link_path[64];
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    assert_int_equal(write_version(1), TN_OK);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink("x.safetensors", link_path), 0);
    float x = 5;
    tn_named_tensor tensor = {"x", TN_TENSOR(TN_F32, &x, 1)};
    assert_int_equal(tn_safetensors_write(link_path, &tensor, 1, NULL, 0, NULL), TN_OK);
    struct stat info;
    assert_int_equal(lstat(link_path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    tn_archive *archive;
    assert_int_equal(tn_safetensors_open(path, &archive, NULL), TN_OK);
    assert_memory_equal(tn_archive_find(archive, "x")->data, &x, sizeof x);
    tn_archive_free(archive);
    unlink(link_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_every_dtype),
        cmocka_unit_test(round_trips_scalars_strides_and_nothing),
        cmocka_unit_test(refuses_wrong_files),
        cmocka_unit_test(survives_truncation_and_mutation),
        cmocka_unit_test(refuses_wrong_writes),
        cmocka_unit_test(survives_kills),
        cmocka_unit_test(keeps_the_old_file_when_a_write_fails),
        cmocka_unit_test(keeps_modes_and_links),
    };
    return cmocka_run_group_tests_name("safetensors", tests, make_folder, remove_folder);
}
