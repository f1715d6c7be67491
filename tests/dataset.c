/* Datasets and batches: what they read, in which order, and with which words they refuse. */
#include "frontends/data/csv.h"
#include "frontends/data/decimal.h"
#include "frontends/data/element.h"
#include "frontends/data/permutation.h"
#include "frontends/data/tenon_data.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* ---- Numbers in text and in arrays ------------------------------------------------------------------------------- */

static void reads_numbers_as_strtod_does(void **state) {
    (void)state;
    static const char *const good[] = {"0",
                                       "-0",
                                       "1",
                                       "+7",
                                       "16",
                                       ".5",
                                       "5.",
                                       "-1.5e3",
                                       "1E-3",
                                       "123456789012345",
                                       "0.1",
                                       "3.14159265358979",
                                       "1e22",
                                       "1e23",
                                       "9007199254740993",
                                       "2.2250738585072014e-308",
                                       "4.9e-324",
                                       "1.7976931348623157e308",
                                       "000000000000000000000000000000012.5",
                                       "0.000000000000000000000000000000000012345678901234567890",
                                       "1e-400",
                                       "6.02214076e23"};
    static const char *const bad[] = {"",    "-",   ".",  "e5", "1e",  "1e+",   "1.2.3", "0x10",
                                      "nan", "inf", "1 ", " 1", "1,5", "1e400", "--1",   "1f"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value, expected = strtod(good[i], NULL);
        if (!decimal_parse(good[i], strlen(good[i]), &value)) fail_msg("%s", good[i]);
        assert_true(value == expected && !signbit(value) == !signbit(expected));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double value;
        if (decimal_parse(bad[i], strlen(bad[i]), &value)) fail_msg("'%s' is %g", bad[i], value);
    }
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        double random = (double)(int64_t)seed * (i % 2 ? 1e-21 : 1e3), value;
        snprintf(text, sizeof text, i % 3 ? "%.*g" : "%.*e", 1 + i % 17, random);
        double expected = strtod(text, NULL);
        assert_true(decimal_parse(text, strlen(text), &value));
        if (value != expected) fail_msg("%s: %.17g", text, value);
    }
}

static void sets_what_dtypes_have(void **state) {
    (void)state;
    static const struct {
        tn_dtype dtype;
        double good[3], bad[2];
    } cases[] = {
        {TN_BOOL, {0, 1, 1}, {2, -1}},
        {TN_I8, {-128, 127, 0}, {128, 0.5}},
        {TN_U8, {0, 255, 7}, {256, -1}},
        {TN_I16, {-32768, 32767, 1}, {32768, -32769}},
        {TN_U16, {0, 65535, 1}, {65536, -1}},
        {TN_I32, {-2147483648.0, 2147483647, 1}, {2147483648, 1e300}},
        {TN_U32, {0, 4294967295, 1}, {4294967296, -1}},
        {TN_I64, {-0x1p63, 0x1p62, 1}, {0x1p63, 1.5}},
        {TN_U64, {0, 0x1p63, 1}, {0x1p64, -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t to[4];
        for (int k = 0; k < 3; k++) {
            assert_true(element_set(cases[i].dtype, (char *)to + 1, 2, cases[i].good[k]));
            assert_true(element_get(cases[i].dtype, (char *)to + 1, 2) == cases[i].good[k]);
        }
        for (int k = 0; k < 2; k++) assert_false(element_set(cases[i].dtype, to, 0, cases[i].bad[k]));
        assert_false(element_set(cases[i].dtype, to, 0, strtod("nan", NULL)));
    }
    uint16_t half;
    assert_true(element_set(TN_F16, &half, 0, 1.0009765625));
    assert_int_equal(half, 0x3c01);
    assert_true(element_get(TN_F16, &half, 0) == 1.0009765625);
}

/* ---- Arrays, functions ------------------------------------------------------------------------------------------- */

static int n_released;
static void count_release(void *ctx) { n_released += *(int *)ctx; }

static void reads_arrays(void **state) {
    (void)state;
    static float x[3][2][2] = {{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}, {{9, 10}, {11, 12}}};
    static int64_t y[3] = {4, 5, 6};
    int one = 1;
    tn_named_tensor arrays[] = {
        {"x", TN_TENSOR(TN_F32, x, 3, 2, 2)},
        {"y", TN_TENSOR(TN_I64, y, 3)},
        {"turned", tn_tensor_strided(TN_F32, x, 3, (int64_t[]){3, 2, 2}, (int64_t[]){4, 1, 2})}};
    tn_dataset *d;
    tn_diag diag;
    assert_int_equal(tn_dataset_arrays(arrays, 3, count_release, &one, &d, &diag), TN_OK);
    assert_int_equal(tn_dataset_count(d), 3);
    assert_int_equal(tn_dataset_n_fields(d), 3);
    assert_int_equal(tn_dataset_find_field(d, "y"), 1);
    assert_int_equal(tn_dataset_find_field(d, "z"), -1);
    assert_int_equal(tn_dataset_field(d, 0)->rank, 2);
    float out[4], turned[4] = {5, 7, 6, 8};
    int64_t label;
    assert_int_equal(tn_dataset_read(d, 0, 1, out, &diag), TN_OK);
    assert_memory_equal(out, x[1], sizeof out);
    assert_int_equal(tn_dataset_read(d, 1, 2, &label, &diag), TN_OK);
    assert_int_equal(label, 6);
    assert_int_equal(tn_dataset_read(d, 2, 1, out, &diag), TN_OK);
    assert_memory_equal(out, turned, sizeof out);
    assert_int_equal(tn_dataset_read(d, 0, 3, out, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "there is no example 3, the dataset has 3");
    assert_int_equal(tn_dataset_read(d, 3, 0, out, &diag), TN_ERR_ARGUMENT);
    tn_dataset_free(tn_dataset_retain(d));
    assert_int_equal(n_released, 0);
    tn_dataset_free(d);
    assert_int_equal(n_released, 1);

    arrays[1].tensor.shape[0] = 2;
    assert_int_equal(tn_dataset_arrays(arrays, 3, count_release, &one, &d, &diag), TN_ERR_SHAPE);
    assert_string_equal(diag.message, "array 'y' is i64[2], but 'x' has 3 examples");
    arrays[1].tensor.shape[0] = 3;
    arrays[1].name = "x";
    assert_int_equal(tn_dataset_arrays(arrays, 3, count_release, &one, &d, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "two fields are called 'x'");
    assert_int_equal(n_released, 1);
    assert_null(d);
}

/* Example i is the number i; number `fails_at` cannot be read. */
typedef struct numbers {
    int64_t fails_at;
    atomic_int n_reads;
} numbers;

static tn_status read_number(void *ctx, int field, int64_t index, void *out, tn_diag *diag) {
    numbers *n = ctx;
    n->n_reads++;
    if (index == n->fails_at) {
        if (field == 0) snprintf(diag->message, sizeof diag->message, "the disk is gone");
        return TN_ERR_IO;
    }
    *(int32_t *)out = (int32_t)(field == 0 ? index : -index);
    return TN_OK;
}

static tn_dataset *make_numbers(int64_t count, numbers *n) {
    static const tn_field fields[] = {{"x", TN_I32, 0, {0}}, {"minus", TN_I32, 0, {0}}};
    tn_dataset *d;
    assert_int_equal(tn_dataset_callback(count, fields, 2, read_number, NULL, n, &d, NULL), TN_OK);
    return d;
}

static void names_the_record_that_fails(void **state) {
    (void)state;
    numbers n = {.fails_at = 7};
    tn_dataset *d = make_numbers(10, &n), *part;
    int32_t out;
    tn_diag diag;
    assert_int_equal(tn_dataset_read(d, 0, 7, &out, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "record 7, field 'x': the disk is gone");
    assert_int_equal(tn_dataset_read(d, 1, 7, &out, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "record 7, field 'minus': ERR_IO");
    assert_int_equal(tn_dataset_read(d, 1, 7, &out, NULL), TN_ERR_IO);
    assert_int_equal(tn_dataset_slice(d, 5, 5, &part, NULL), TN_OK);
    assert_int_equal(tn_dataset_read(part, 0, 2, &out, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "record 7, field 'x': the disk is gone");
    tn_dataset_free(part);
    tn_dataset_free(d);
}

static void converts_and_reshapes(void **state) {
    (void)state;
    static uint8_t x[2][4] = {{0, 51, 102, 255}, {1, 2, 3, 4}};
    tn_named_tensor array = {"x", TN_TENSOR(TN_U8, x, 2, 4)};
    tn_dataset *d, *part;
    tn_diag diag;
    assert_int_equal(tn_dataset_arrays(&array, 1, NULL, NULL, &d, NULL), TN_OK);
    assert_int_equal(tn_dataset_convert(d, "x", TN_F32, 0, 1.0 / 255, NULL), TN_OK);
    assert_int_equal(tn_dataset_reshape(d, "x", 3, (int64_t[]){1, 2, 2}, NULL), TN_OK);
    assert_int_equal(tn_dataset_field(d, 0)->rank, 3);
    assert_int_equal(tn_dataset_field(d, 0)->dtype, TN_F32);
    float out[4];
    assert_int_equal(tn_dataset_read(d, 0, 0, out, NULL), TN_OK);
    for (int i = 0; i < 4; i++) assert_true(out[i] == (float)(x[0][i] * (1.0 / 255)));
    assert_int_equal(tn_dataset_convert(d, "x", TN_I8, 0, 1, NULL), TN_OK);
    assert_int_equal(tn_dataset_read(d, 0, 1, out, NULL), TN_OK);
    assert_memory_equal(out, x[1], 4);
    assert_int_equal(tn_dataset_read(d, 0, 0, out, &diag), TN_ERR_DTYPE);
    assert_string_equal(diag.message, "record 0, field 'x': element 3 is 255, which is no i8");
    assert_int_equal(tn_dataset_reshape(d, "x", 1, (int64_t[]){3}, &diag), TN_ERR_SHAPE);
    assert_string_equal(diag.message, "field 'x': i8[3] is not of 4 elements and at most 7 axes");
    assert_int_equal(tn_dataset_convert(d, "y", TN_I8, 0, 1, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "the dataset has no field 'y'");
    assert_int_equal(tn_dataset_slice(d, 0, 1, &part, NULL), TN_OK);
    assert_int_equal(tn_dataset_convert(d, "x", TN_U8, 0, 1, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "field 'x': the dataset is in use by a loader or a split");
    tn_dataset_free(part);
    tn_dataset_free(d);
}

/* ---- Orders ------------------------------------------------------------------------------------------------------ */

static void permutes(void **state) {
    (void)state;
    for (int64_t n = 1; n < 300; n += n < 20 ? 1 : 37) {
        permutation p = permutation_of(n, 3, 9);
        bool seen[300] = {false};
        for (int64_t i = 0; i < n; i++) {
            int64_t item = permutation_at(&p, i);
            assert_true(item >= 0 && item < n && !seen[item]);
            seen[item] = true;
        }
    }
    /* Fixed for all times and machines: checkpoints depend on it. */
    static const int64_t expected[8] = {5, 0, 7, 2, 4, 3, 6, 1};
    permutation p = permutation_of(8, 42, 1);
    for (int i = 0; i < 8; i++) assert_int_equal(permutation_at(&p, i), expected[i]);
    p = permutation_of(INT64_MAX, 1, 2);
    assert_true(permutation_at(&p, 0) == INT64_C(8338908895067362896));
    /* Every item is about as often at every position. */
    enum { N = 5, EPOCHS = 5000 };
    int counts[N][N] = {{0}};
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        p = permutation_of(N, 1, (uint64_t)epoch);
        for (int i = 0; i < N; i++) counts[i][permutation_at(&p, i)]++;
    }
    for (int i = 0; i < N * N; i++) assert_in_range(counts[i / N][i % N], EPOCHS / N - 150, EPOCHS / N + 150);
}

static void splits_without_loss(void **state) {
    (void)state;
    numbers n = {.fails_at = -1};
    tn_dataset *d = make_numbers(101, &n), *training, *validation, *again[2];
    assert_int_equal(tn_dataset_split(d, &(tn_split_options){.fraction = 0.2, .seed = 5}, &training, &validation, NULL),
                     TN_OK);
    assert_int_equal(tn_dataset_split(d, &(tn_split_options){.count = 20, .seed = 5}, &again[0], &again[1], NULL),
                     TN_OK);
    tn_dataset_free(d);
    assert_int_equal(tn_dataset_count(training), 81);
    assert_int_equal(tn_dataset_count(validation), 20);
    bool seen[101] = {false};
    int n_moved = 0;
    for (int i = 0; i < 101; i++) {
        int32_t a, b;
        assert_int_equal(tn_dataset_read(i < 81 ? training : validation, 0, i < 81 ? i : i - 81, &a, NULL), TN_OK);
        assert_int_equal(tn_dataset_read(again[i >= 81], 0, i < 81 ? i : i - 81, &b, NULL), TN_OK);
        assert_int_equal(a, b);
        assert_false(seen[a]);
        seen[a] = true;
        n_moved += a != i;
    }
    assert_true(n_moved > 50);
    tn_dataset_free(training);
    tn_dataset_free(validation);
    tn_dataset_free(again[0]);
    tn_dataset_free(again[1]);

    d = make_numbers(10, &n);
    int32_t last;
    assert_int_equal(
        tn_dataset_split(d, &(tn_split_options){.count = 3, .in_order = true}, &training, &validation, NULL), TN_OK);
    assert_int_equal(tn_dataset_read(validation, 0, 0, &last, NULL), TN_OK);
    assert_int_equal(last, 7);
    tn_dataset_free(training);
    tn_dataset_free(validation);
    tn_diag diag;
    assert_int_equal(tn_dataset_split(d, &(tn_split_options){.count = 11}, &training, &validation, &diag),
                     TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "11 examples for validation, but the dataset has 10");
    assert_int_equal(tn_dataset_split(d, &(tn_split_options){.fraction = 1.5}, &training, &validation, &diag),
                     TN_ERR_ARGUMENT);
    assert_int_equal(tn_dataset_slice(d, 8, 3, &training, &diag), TN_ERR_ARGUMENT);
    tn_dataset_free(d);
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

static tn_status parse_csv(const char *text, const tn_csv_options *options, tn_dataset **d, tn_diag *diag) {
    size_t size = strlen(text);
    char *copy = malloc(size + !size);
    assert_non_null(copy);
    for (size_t i = 0; i < size; i++) copy[i] = text[i];
    tn_status status = csv_parse(copy, size, options, d, diag);
    free(copy);
    return status;
}

static void reads_csv(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tn_csv_options options;
        int64_t count, width;
        double x[4];
        int64_t y[2];
    } cases[] = {
        {"1,2,0\n3,4,1\n", {.label = -1}, 2, 2, {1, 2, 3, 4}, {0, 1}},
        {"7,1,2\r\n8,3,4", {.label = 1}, 2, 2, {1, 2, 3, 4}, {7, 8}},
        {"\xef\xbb\xbf\"a, b\",\"say \"\"y\"\"\",c\n 1 , \"5\" ,2\n3,6,4\n\n \n",
         {.label_name = "say \"\"y\"\""},
         2,
         2,
         {1, 2, 3, 4},
         {5, 6}},
        {"a;b\n1.5;-2e1\n", {.separator = ';'}, 1, 2, {1.5, -20}, {0}},
        {"1\t2\n3\t4\n", {.separator = '\t', .header = TN_CSV_NO_NAMES}, 2, 2, {1, 2, 3, 4}, {0}},
        {"1,2\n3,4\n", {.header = TN_CSV_NAMES, .dtype = TN_F64}, 1, 2, {3, 4}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_dataset *d;
        tn_diag diag = {0};
        if (parse_csv(cases[i].text, &cases[i].options, &d, &diag) != TN_OK) fail_msg("case %zu: %s", i, diag.message);
        assert_int_equal(tn_dataset_count(d), cases[i].count);
        assert_int_equal(tn_dataset_field(d, 0)->shape[0], cases[i].width);
        for (int64_t k = 0; k < cases[i].count; k++) {
            double row[2];
            int64_t y;
            assert_int_equal(tn_dataset_read(d, 0, k, row, NULL), TN_OK);
            for (int c = 0; c < 2; c++)
                assert_true(element_get(tn_dataset_field(d, 0)->dtype, row, c) == cases[i].x[2 * k + c]);
            if (tn_dataset_n_fields(d) == 2) {
                assert_int_equal(tn_dataset_read(d, 1, k, &y, NULL), TN_OK);
                assert_int_equal(y, cases[i].y[k]);
            }
        }
        tn_dataset_free(d);
    }
}

static void refuses_wrong_csv(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tn_csv_options options;
        int line, column;
        const char *message;
    } cases[] = {
        {"1,2\n3,x\n", {0}, 2, 3, "'x' is no finite number"},
        {"1,2\n3,nan\n", {0}, 2, 3, "'nan' is no finite number"},
        {"1,2\n3, \n", {0}, 2, 4, "'' is an empty cell, expected a number"},
        {"1,2\n3\n", {0}, 2, 0, "the line has 1 cell, the first line has 2"},
        {"1,2\n3,4,5\n", {0}, 2, 0, "the line has more cells than the first line, which has 2"},
        {"1,2\n\n3,4\n", {0}, 2, 0, "the line has 1 cell, the first line has 2"},
        {"1,2\n3,\"4\n", {0}, 2, 3, "a cell has a quote that is not closed on its line"},
        {"1,2\n\"3\"4,5\n", {0}, 2, 1, "a cell goes on behind its closing quote"},
        {"1,2\n3,1e300\n", {0}, 2, 3, "'1e300' does not fit in f32"},
        {"1,2.5\n", {.label = 2}, 1, 3, "'2.5' does not fit in i64"},
        {"a,1\n1,2\n",
         {0},
         1,
         1,
         "'a' is no number, others of the first line are: say whether that line holds names (header)"},
        {"a,b\n", {0}, 0, 0, "it has no examples, only names"},
        {"", {0}, 0, 0, "it is empty"},
        {" \n\n", {0}, 0, 0, "it is empty"},
        {"a,b\n1,2\n", {.label_name = "c"}, 0, 0, "there is no column 'c'"},
        {"1,2\n", {.label_name = "c"}, 0, 0, "there is no column 'c', the first line holds numbers"},
        {"1,2\n", {.label = 3}, 0, 0, "column 3 is to be the label, but there are 2"},
        {"1,2\n", {.label = -3}, 0, 0, "column -3 is to be the label, but there are 2"},
        {"1\n", {.label = 1}, 0, 0, "its only column is the label, nothing is left for \"x\""},
        {"1,2\n", {.separator = '.'}, 0, 0, "'.' cannot separate cells"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_dataset *d;
        tn_diag diag = {0};
        assert_int_not_equal(parse_csv(cases[i].text, &cases[i].options, &d, &diag), TN_OK);
        assert_string_equal(diag.message, cases[i].message);
        assert_int_equal(diag.line, cases[i].line);
        assert_int_equal(diag.column, cases[i].column);
        assert_null(d);
    }
    tn_dataset *d;
    assert_int_equal(tn_dataset_csv("/nonexistent.csv", NULL, &d, NULL), TN_ERR_IO);
}

static void reads_gzipped_csv(void **state) {
    (void)state;
    char path[] = "/tmp/tenon-csv-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    gzFile gz = gzdopen(fd, "wb");
    assert_non_null(gz);
    for (int i = 0; i < 30000; i++) gzprintf(gz, "%d,%d,%d\n", i, 2 * i, i % 10);
    gzclose(gz);
    tn_dataset *d;
    tn_diag diag = {0};
    if (tn_dataset_csv(path, &(tn_csv_options){.label = -1}, &d, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(tn_dataset_count(d), 30000);
    float x[2];
    assert_int_equal(tn_dataset_read(d, 0, 29999, x, NULL), TN_OK);
    assert_true(x[0] == 29999 && x[1] == 59998);
    tn_dataset_free(d);
    assert_int_equal(truncate(path, 20000), 0);
    assert_int_equal(tn_dataset_csv(path, NULL, &d, &diag), TN_ERR_PARSE);
    assert_non_null(strstr(diag.message, "its gzip data cannot be expanded: it is cut off"));
    assert_string_equal(diag.file, path);
    unlink(path);
}

/* The digits of the examples are what their README says. */
static void reads_the_digits(void **state) {
    (void)state;
    tn_dataset *d;
    tn_diag diag = {0};
    if (tn_dataset_csv("docs/examples/data/digits.csv.gz", &(tn_csv_options){.label = -1}, &d, &diag) != TN_OK)
        fail_msg("%s", diag.message);
    assert_int_equal(tn_dataset_count(d), 1797);
    assert_int_equal(tn_dataset_reshape(d, "x", 3, (int64_t[]){1, 8, 8}, NULL), TN_OK);
    int counts[10] = {0};
    float most = 0;
    for (int64_t i = 0; i < 1797; i++) {
        float x[64];
        int64_t y;
        assert_int_equal(tn_dataset_read(d, 0, i, x, NULL), TN_OK);
        assert_int_equal(tn_dataset_read(d, 1, i, &y, NULL), TN_OK);
        for (int k = 0; k < 64; k++) most = x[k] > most ? x[k] : most;
        counts[y]++;
    }
    static const int expected[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};
    assert_memory_equal(counts, expected, sizeof counts);
    assert_true(most == 16);
    tn_dataset_free(d);
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static tn_status open_text(const char *text, size_t bytes, const tn_text_options *options, tn_dataset **d,
                           tn_diag *diag) {
    char path[] = "/tmp/tenon-text-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), bytes);
    close(fd);
    tn_status status = tn_dataset_text(path, options, d, diag);
    unlink(path);
    return status;
}

static void reads_text(void **state) {
    (void)state;
    static const char sample[] = "ba\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"
                                 "ab\n"; /* b a, a umlaut, euro sign, a smile, a b, newline */
    static const int64_t numbers[8] = {2, 1, 3, 4, 5, 1, 2, 0};
    static const char *const characters[] = {"\n", "a", "b", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    tn_dataset *d;
    tn_diag diag = {0};
    if (open_text(sample, sizeof sample - 1, &(tn_text_options){.context = 3, .stride = 2}, &d, &diag) != TN_OK)
        fail_msg("%s", diag.message);
    assert_int_equal(tn_dataset_count(d), 3);
    for (int i = 0; i < 6; i++) assert_string_equal(tn_dataset_class(d, i), characters[i]);
    assert_null(tn_dataset_class(d, 6));
    for (int i = 0; i < 3; i++) {
        int64_t x[3], y[3];
        assert_int_equal(tn_dataset_read(d, 0, i, x, NULL), TN_OK);
        assert_int_equal(tn_dataset_read(d, 1, i, y, NULL), TN_OK);
        assert_memory_equal(x, numbers + 2 * i, sizeof x);
        assert_memory_equal(y, numbers + 2 * i + 1, sizeof y);
    }
    int64_t back[8], n;
    assert_int_equal(tn_text_encode(d, sample, back, 8, &n, NULL), TN_OK);
    assert_int_equal(n, 8);
    assert_memory_equal(back, numbers, sizeof back);
    assert_int_equal(tn_text_encode(d, "ac", back, 8, &n, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "the vocabulary has no 'c', character 1 of the text");
    tn_dataset_free(d);
    assert_int_equal(open_text(sample, sizeof sample - 1, &(tn_text_options){.context = 7}, &d, NULL), TN_OK);
    assert_int_equal(tn_dataset_count(d), 1);
    tn_dataset_free(d);
}

static void refuses_wrong_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        tn_text_options options;
        const char *message;
    } cases[] = {
        {"ab\xff", 3, {.context = 1}, "it is no UTF-8 text: byte 0xff at offset 2"},
        {"ab\xe2\x82", 4, {.context = 1}, "it is no UTF-8 text: byte 0xe2 at offset 2"},
        {"a\0b", 3, {.context = 1}, "it is no UTF-8 text: byte 0x00 at offset 1"},
        {"\xed\xa0\x80", 3, {.context = 1}, "it is no UTF-8 text: byte 0xed at offset 0"},
        {"abc", 3, {.context = 3}, "it has 3 characters, no example of 3 and the one that comes next"},
        {"", 0, {0}, "it has 0 characters, no example of 64 and the one that comes next"},
        {"abc", 3, {.context = 1, .stride = -1}, "context 1 and stride -1, expected 1 or more"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_dataset *d;
        tn_diag diag = {0};
        assert_int_not_equal(open_text(cases[i].text, cases[i].bytes, &cases[i].options, &d, &diag), TN_OK);
        assert_string_equal(diag.message, cases[i].message);
        assert_null(d);
    }
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

static void gives_batches_in_order(void **state) {
    (void)state;
    numbers n = {.fails_at = -1};
    tn_dataset *d = make_numbers(10, &n);
    for (int mode = 0; mode < 4; mode++) {
        bool drop = mode % 2;
        tn_loader *l;
        tn_batch b;
        tn_loader_options options = {.batch_size = 4, .drop_last = drop, .no_prefetch = mode / 2};
        assert_int_equal(tn_loader_new(d, &options, &l, NULL), TN_OK);
        assert_int_equal(tn_loader_batches(l), drop ? 2 : 3);
        for (int64_t epoch = 0; epoch < 3; epoch++)
            for (int64_t i = 0; i < tn_loader_batches(l); i++) {
                assert_int_equal(tn_loader_next(l, &b, NULL), TN_OK);
                assert_int_equal(b.epoch, epoch);
                assert_int_equal(b.position, 4 * i);
                assert_int_equal(b.size, i == 2 ? 2 : 4);
                assert_int_equal(b.is_last, i == tn_loader_batches(l) - 1);
                assert_int_equal(b.n_fields, 2);
                assert_int_equal(b.fields[0].rank, 1);
                assert_int_equal(b.fields[0].shape[0], b.size);
                assert_int_equal((uintptr_t)b.fields[1].data % 64, 0);
                for (int64_t k = 0; k < b.size; k++) {
                    assert_int_equal(((int32_t *)b.fields[0].data)[k], 4 * i + k);
                    assert_int_equal(((int32_t *)b.fields[1].data)[k], -(4 * i + k));
                }
            }
        tn_loader_free(l);
    }
    tn_dataset_free(d);
}

/* The first examples of 40 batches from (epoch, position) on. */
static void follow(tn_loader *l, int32_t out[40]) {
    for (int i = 0; i < 40; i++) {
        tn_batch b;
        assert_int_equal(tn_loader_next(l, &b, NULL), TN_OK);
        out[i] = *(int32_t *)b.fields[0].data;
    }
}

static void shuffles_and_resumes(void **state) {
    (void)state;
    numbers n = {.fails_at = -1};
    tn_dataset *d = make_numbers(50, &n);
    tn_loader_options options = {.batch_size = 3, .shuffle = true, .seed = 11};
    tn_loader *l, *other;
    int32_t all[40], rest[40];
    assert_int_equal(tn_loader_new(d, &options, &l, NULL), TN_OK);
    follow(l, all);
    /* Every place is one to go on from, in the same loader or another. */
    for (int start = 0; start < 40; start += 7) {
        int64_t epoch, position;
        tn_batch b;
        assert_int_equal(tn_loader_seek(l, 0, 0), TN_OK);
        for (int i = 0; i < start; i++) assert_int_equal(tn_loader_next(l, &b, NULL), TN_OK);
        tn_loader_tell(l, &epoch, &position);
        assert_int_equal(epoch, start / 17);
        assert_int_equal(position, start % 17 * 3);
        options.epoch = epoch;
        options.position = position;
        options.no_prefetch = start % 2;
        assert_int_equal(tn_loader_new(d, &options, &other, NULL), TN_OK);
        follow(other, rest);
        assert_memory_equal(rest, all + start, (size_t)(40 - start) * sizeof *all);
        tn_loader_free(other);
    }
    /* All examples in each epoch, in different orders. */
    int32_t order[2][50];
    assert_int_equal(tn_loader_seek(l, 4, 0), TN_OK);
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[50] = {false};
        for (int i = 0; i < 50;) {
            tn_batch b;
            assert_int_equal(tn_loader_next(l, &b, NULL), TN_OK);
            assert_int_equal(b.epoch, 4 + epoch);
            for (int64_t k = 0; k < b.size; k++) {
                order[epoch][i] = ((int32_t *)b.fields[0].data)[k];
                assert_false(seen[order[epoch][i]]);
                seen[order[epoch][i++]] = true;
            }
        }
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    assert_int_equal(tn_loader_seek(l, 0, 51), TN_ERR_ARGUMENT);
    assert_int_equal(tn_loader_seek(l, -1, 0), TN_ERR_ARGUMENT);
    tn_loader_free(l);
    tn_dataset_free(d);
}

static void hands_errors_on(void **state) {
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        numbers n = {.fails_at = 9};
        tn_dataset *d = make_numbers(20, &n);
        tn_loader *l;
        tn_batch b;
        tn_diag diag;
        assert_int_equal(tn_loader_new(d, &(tn_loader_options){.batch_size = 4, .no_prefetch = mode}, &l, NULL), TN_OK);
        assert_int_equal(tn_loader_next(l, &b, &diag), TN_OK);
        assert_int_equal(tn_loader_next(l, &b, &diag), TN_OK);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(tn_loader_next(l, &b, &diag), TN_ERR_IO);
            assert_string_equal(diag.message, "record 9, field 'x': the disk is gone");
            assert_null(b.fields);
        }
        assert_int_equal(tn_loader_seek(l, 0, 10), TN_OK);
        assert_int_equal(tn_loader_next(l, &b, &diag), TN_OK);
        assert_int_equal(b.position, 10);
        tn_loader_free(l);
        tn_dataset_free(d);
    }
}

static void ends_at_any_moment(void **state) {
    (void)state;
    numbers n = {.fails_at = -1};
    tn_dataset *d = make_numbers(1000, &n);
    for (int i = 0; i < 300; i++) {
        tn_loader *l;
        tn_batch b;
        assert_int_equal(tn_loader_new(d, &(tn_loader_options){.batch_size = 1 + i, .shuffle = i % 2}, &l, NULL),
                         TN_OK);
        for (int k = 0; k < i % 4; k++) assert_int_equal(tn_loader_next(l, &b, NULL), TN_OK);
        if (i % 3 == 0) assert_int_equal(tn_loader_seek(l, i, i), TN_OK);
        tn_loader_free(l);
    }
    /* Not a batch more than one ahead is read. */
    tn_loader *l;
    tn_batch b;
    n.n_reads = 0;
    assert_int_equal(tn_loader_new(d, &(tn_loader_options){.batch_size = 10}, &l, NULL), TN_OK);
    assert_int_equal(tn_loader_next(l, &b, NULL), TN_OK);
    for (int i = 0; i < 10000 && n.n_reads < 2 * 20; i++) usleep(1000);
    usleep(50000);
    assert_int_equal(n.n_reads, 2 * 20);
    tn_loader_free(l);
    tn_dataset_free(d);
}

static void refuses_wrong_loaders(void **state) {
    (void)state;
    numbers n = {.fails_at = -1};
    tn_dataset *d = make_numbers(3, &n);
    tn_loader *l;
    tn_diag diag;
    assert_int_equal(tn_loader_new(d, &(tn_loader_options){.drop_last = true}, &l, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message,
                        "the dataset has 3 examples, not one batch of 32 (drop_last leaves smaller ones out)");
    assert_int_equal(tn_loader_new(d, &(tn_loader_options){.position = 4}, &l, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_loader_new(d, &(tn_loader_options){.batch_size = -1}, &l, &diag), TN_ERR_ARGUMENT);
    assert_null(l);
    assert_int_equal(tn_loader_batches(NULL), -1);
    tn_dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_as_strtod_does),
        cmocka_unit_test(sets_what_dtypes_have),
        cmocka_unit_test(reads_arrays),
        cmocka_unit_test(names_the_record_that_fails),
        cmocka_unit_test(converts_and_reshapes),
        cmocka_unit_test(permutes),
        cmocka_unit_test(splits_without_loss),
        cmocka_unit_test(reads_csv),
        cmocka_unit_test(refuses_wrong_csv),
        cmocka_unit_test(reads_gzipped_csv),
        cmocka_unit_test(reads_the_digits),
        cmocka_unit_test(reads_text),
        cmocka_unit_test(refuses_wrong_text),
        cmocka_unit_test(gives_batches_in_order),
        cmocka_unit_test(shuffles_and_resumes),
        cmocka_unit_test(hands_errors_on),
        cmocka_unit_test(ends_at_any_moment),
        cmocka_unit_test(refuses_wrong_loaders),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
