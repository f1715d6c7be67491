/* The cache's folder: entries that are damaged, removed, made by several at once, or cannot be made.
 *
 * Images are damaged in every byte (image_read alone), and in some through a compilation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compiler/image_data.h"
#include "tests/lib/cache_check.h"

/* ---- Helpers ---- */

static char folder[64];
static char names[CACHE_FILES][CACHE_NAME];

static int make_folder(void **state) {
    (void)state;
    cache_folder_make(folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    cache_folder_drop(folder);
    return 0;
}

/* y = x w + number, w of its own memory: an image with all kinds of fields but symbols is small. */
static tn_module *make(int number) {
    char text[400];
    snprintf(text, sizeof text,
             "module \"m\"\nfn @main(%%x: f32[n, 4], %%i: i32[k, 1]) -> (%%y: f32[k, 4]) {\n"
             "  %%c = constant value=f32[] {%d}\n"
             "  %%b = broadcast %%c, dims=[], shape=[n, 4]\n  %%s = add %%x, %%b\n"
             "  %%g = gather %%s, %%i, axes=[0]\n  return %%g\n}\n",
             number);
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

static void check_result(tn_program *p, int number) {
    float x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, y[4] = {0};
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, 2, 4), TN_TENSOR(TN_I32, (int32_t[]){1}, 1, 1)},
              out = TN_TENSOR(TN_F32, y, 1, 4);
    assert_int_equal(tn_run(p, in, &out), TN_OK);
    for (int i = 0; i < 4; i++) assert_true(y[i] == (float)(4 + i + number));
}

/* Compiles and runs it; what came of it is in *c. */
static void compile_with(cached_compilation *c, int number) {
    tn_module *m = make(number);
    tn_program *p = tn_compile_module(m, &c->options);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    check_result(p, number);
    tn_program_free(p);
    tn_module_free(m);
}

static cached_compilation compile(int number) {
    cached_compilation c;
    cached_compilation_begin(&c);
    compile_with(&c, number);
    return c;
}

static void entry_path(char path[200], const char *name) { snprintf(path, 200, "%s/%s", folder, name); }

static uint8_t *read_entry(const char *name, size_t *size) {
    static uint8_t bytes[1 << 20];
    char path[200];
    entry_path(path, name);
    FILE *f = fopen(path, "rb");
    if (!f) abort();
    *size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(*size < sizeof bytes);
    return bytes;
}

static void write_entry(const char *name, const uint8_t *bytes, size_t size) {
    char path[200];
    entry_path(path, name);
    FILE *f = fopen(path, "wb");
    if (!f) abort();
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* ---- Damage ---- */

/* What image_read says; NULL: good. */
static const char *read_image(const uint8_t *bytes, size_t size, const digest *key) {
    static const module_data no_data;
    image_content content;
    tn_program *p = program_new("m");
    const char *wrong = image_read(&(cache_map){bytes, size}, key, &no_data, p, &content);
    tn_free(content.objects);
    tn_program_free(p);
    return wrong;
}

static void test_every_byte(void **state) {
    (void)state;
    size_t size;
    compile(1);
    assert_int_equal(cache_folder_files(folder, names), 1);
    uint8_t *all = read_entry(names[0], &size), *bytes = tn_malloc(size); /* where a sanitiser sees its end */
    image_head head;
    memcpy(&head, memcpy(bytes, all, size), sizeof head);
    assert_null(read_image(bytes, size, &head.key));
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (uint8_t)(1 << i % 8);
        assert_non_null(read_image(bytes, size, &head.key));
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t *part = tn_malloc(i);
        memcpy(part, bytes, i);
        assert_non_null(read_image(part, i, &head.key));
        tn_free(part);
    }
    head.key.bytes[3] ^= 1;
    assert_string_equal(read_image(bytes, size, &head.key), "it is of another key");
    tn_free(bytes);
}

/* Descriptions that whoever made them has given a good checksum: refused or taken, but never read beyond. */
static void test_hostile_descriptions(void **state) {
    (void)state;
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t size;
    compile(1);
    assert_int_equal(cache_folder_files(folder, names), 1);
    uint8_t *all = read_entry(names[0], &size), *bytes = tn_malloc(size);
    image_head head;
    memcpy(&head, memcpy(bytes, all, size), sizeof head);
    int n_refused = 0;
    for (size_t i = 0; i < head.description_bytes; i++)
        for (size_t k = 0; k < sizeof values; k++) {
            memcpy(bytes, all, size);
            bytes[sizeof head + i] = values[k];
            head.checksum = image_checksum(&head, digest_of(bytes + sizeof head, size - sizeof head));
            memcpy(bytes, &head, sizeof head);
            n_refused += read_image(bytes, size, &head.key) != NULL;
        }
    assert_true(n_refused > (int)head.description_bytes);
    tn_free(bytes);
}

static void assert_compiled_again(int number, const char *reason) {
    cached_compilation c = compile(number);
    assert_int_equal(c.n_hits, 0);
    assert_int_equal(c.n_stores, 1);
    assert_int_equal(c.n_warnings, 1);
    assert_int_equal(c.warned, TN_ERR_PARSE);
    if (!strstr(c.warning, reason)) fail_msg("%s: not %s", c.warning, reason);
    c = compile(number);
    assert_int_equal(c.n_hits, 1);
    assert_int_equal(c.n_warnings, 0);
}

static void test_damage_is_reported(void **state) {
    (void)state;
    size_t size;
    compile(1);
    cache_folder_files(folder, names);
    uint8_t *bytes = read_entry(names[0], &size);
    static const char *const reasons[] = {"does not begin", "another format", "another key", "its length", "checksum"};
    static const size_t places[] = {2, 8, 17, 33, 60};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bytes[places[i]] ^= 0x40;
        write_entry(names[0], bytes, size);
        bytes[places[i]] ^= 0x40;
        assert_compiled_again(1, reasons[i]);
    }
    for (size_t at = 64; at < size; at += size / 9) {
        bytes[at] ^= 1;
        write_entry(names[0], bytes, size);
        bytes[at] ^= 1;
        assert_compiled_again(1, "checksum");
    }
    write_entry(names[0], bytes, 10);
    assert_compiled_again(1, "shorter than its head");
    write_entry(names[0], bytes, size / 2);
    assert_compiled_again(1, "its length");
    write_entry(names[0], bytes, 0);
    assert_int_equal(compile(1).n_hits, 0); /* an empty file is none */
    assert_int_equal(compile(1).n_hits, 1);
}

/* A good image under another one's name. */
static void test_wrong_content(void **state) {
    (void)state;
    static uint8_t copy[1 << 20];
    char first[CACHE_NAME];
    size_t size;
    compile(1);
    cache_folder_files(folder, names);
    memcpy(first, names[0], sizeof first);
    memcpy(copy, read_entry(first, &size), sizeof copy);
    compile(2);
    assert_int_equal(cache_folder_files(folder, names), 2);
    write_entry(strcmp(names[0], first) == 0 ? names[1] : names[0], copy, size);
    assert_compiled_again(2, "another key");
    assert_int_equal(compile(1).n_hits, 1);
}

/* ---- Removal ---- */

static void set_age(const char *name, time_t seconds) {
    char path[200];
    entry_path(path, name);
    struct timespec at = {.tv_sec = time(NULL) - seconds};
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){at, at}, 0), 0);
}

static bool is_there(const char *name) {
    char path[200];
    entry_path(path, name);
    return access(path, F_OK) == 0;
}

/* Which entry is whose: the one that is new. */
static void compile_named(int number, char name[CACHE_NAME]) {
    static char before[CACHE_FILES][CACHE_NAME];
    int n = cache_folder_files(folder, before), more;
    assert_int_equal(compile(number).n_stores, 1);
    more = cache_folder_files(folder, names);
    assert_int_equal(more, n + 1);
    int at = 0;
    while (at < n && strcmp(before[at], names[at]) == 0) at++;
    memcpy(name, names[at], CACHE_NAME);
}

static void test_least_recently_used(void **state) {
    (void)state;
    char name[4][CACHE_NAME];
    struct stat info;
    char path[200];
    for (int i = 0; i < 4; i++) compile_named(i, name[i]);
    for (int i = 0; i < 4; i++) set_age(name[i], 1000 - 100 * i);
    assert_int_equal(compile(0).n_hits, 1); /* the oldest is used, and is the newest now */
    entry_path(path, name[0]);
    assert_int_equal(stat(path, &info), 0);
    assert_true(time(NULL) - info.st_mtime < 60);
    write_entry("readme", (const uint8_t *)"mine", 4); /* what is not the cache's stays */
    cached_compilation c;
    cached_compilation_begin(&c);
    c.options.cache_bytes = (uint64_t)info.st_size * 7 / 2; /* three of them */
    compile_with(&c, 4);
    assert_int_equal(c.n_stores, 1);
    assert_true(is_there(name[0]) && !is_there(name[1]) && !is_there(name[2]) && is_there(name[3]));
    assert_true(is_there("readme"));
    assert_int_equal(cache_folder_files(folder, names), 4);
    c.options.cache_bytes = (uint64_t)info.st_size / 2; /* one alone is too large: nothing is removed for it */
    compile_with(&c, 5);
    assert_int_equal(c.n_stores, 1);
    assert_int_equal(cache_folder_files(folder, names), 4);
}

static void test_what_writers_left(void **state) {
    (void)state;
    write_entry("123-45-0.part", (const uint8_t *)"x", 1);
    write_entry("123-46-0.part", (const uint8_t *)"x", 1);
    set_age("123-45-0.part", 3 * 3600);
    compile(1);
    assert_false(is_there("123-45-0.part"));
    assert_true(is_there("123-46-0.part"));
}

static void test_stats_and_clear(void **state) {
    (void)state;
    tn_cache_info info;
    assert_int_equal(tn_cache_stats(&info, NULL), TN_OK);
    assert_string_equal(info.folder, folder);
    assert_true(info.entries == 0 && info.bytes == 0 && info.limit_bytes == (uint64_t)1 << 30);
    compile(1);
    compile(2);
    write_entry("readme", (const uint8_t *)"mine", 4);
    setenv("TENON_CACHE_BYTES", "20M", 1);
    assert_int_equal(tn_cache_stats(&info, NULL), TN_OK);
    assert_true(info.entries == 2 && info.bytes > 1000 && info.limit_bytes == (uint64_t)20 << 20);
    unsetenv("TENON_CACHE_BYTES");
    uint64_t bytes = info.bytes;
    assert_int_equal(tn_cache_clear(&info, NULL), TN_OK);
    assert_true(info.entries == 2 && info.bytes == bytes);
    assert_int_equal(tn_cache_stats(&info, NULL), TN_OK);
    assert_true(info.entries == 0 && info.bytes == 0);
    assert_true(is_there("readme"));
    assert_int_equal(compile(1).n_hits, 0);
}

/* ---- Folders ---- */

static void test_folders_that_cannot_be(void **state) {
    (void)state;
    cached_compilation c;
    tn_cache_info info;
    tn_diag diag;
    char path[200];
    setenv("TENON_CACHE_DIR", "/dev/null/cache", 1);
    c = compile(1);
    assert_true(c.n_stores == 0 && c.n_warnings == 1 && c.warned == TN_ERR_IO);
    assert_int_equal(tn_cache_stats(&info, &diag), TN_ERR_IO);
    assert_int_equal(chmod(folder, 0777), 0);
    setenv("TENON_CACHE_DIR", folder, 1);
    c = compile(1);
    assert_true(c.n_stores == 0 && c.n_warnings == 1 && c.warned == TN_ERR_IO);
    assert_non_null(strstr(c.warning, "others may write to it"));
    assert_int_equal(tn_cache_clear(&info, &diag), TN_ERR_IO);
    assert_int_equal(chmod(folder, 0700), 0);
    entry_path(path, "file");
    write_entry("file", (const uint8_t *)"x", 1);
    setenv("TENON_CACHE_DIR", path, 1);
    c = compile(1);
    assert_true(c.n_stores == 0 && c.n_warnings == 1 && c.warned == TN_ERR_IO);
}

static void test_where_it_is(void **state) {
    (void)state;
    tn_cache_info info;
    char path[200], *home = getenv("HOME"), before[1000];
    struct stat made;
    snprintf(before, sizeof before, "%s", home ? home : "");
    unsetenv("TENON_CACHE_DIR");
    setenv("XDG_CACHE_HOME", folder, 1);
    assert_int_equal(tn_cache_stats(&info, NULL), TN_OK); /* which makes none */
    entry_path(path, "tenon");
    assert_string_equal(info.folder, path);
    assert_int_not_equal(stat(path, &made), 0);
    compile(1);
    assert_int_equal(stat(path, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0700);
    assert_int_equal(tn_cache_clear(&info, NULL), TN_OK);
    assert_int_equal(info.entries, 1);
    rmdir(path);
    setenv("XDG_CACHE_HOME", "relative", 1); /* which the specification says is to be ignored */
    setenv("HOME", folder, 1);
    assert_int_equal(tn_cache_stats(&info, NULL), TN_OK);
    entry_path(path, ".cache/tenon");
    assert_string_equal(info.folder, path);
    compile(1);
    assert_int_equal(tn_cache_clear(&info, NULL), TN_OK);
    assert_int_equal(info.entries, 1);
    rmdir(path);
    entry_path(path, ".cache");
    rmdir(path);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", before, 1);
    setenv("TENON_CACHE_DIR", folder, 1);
}

/* ---- Several at once ---- */

enum { THREADS = 6, PROCESSES = 4, MODULES = 3 };

static void *compile_all(void *ctx) {
    int *n_wrong = ctx;
    for (int i = 0; i < MODULES; i++) {
        cached_compilation c;
        cached_compilation_begin(&c);
        tn_module *m = make(i);
        tn_program *p = tn_compile_module(m, &c.options);
        float x[8] = {0}, y[4] = {0};
        tn_tensor in[] = {TN_TENSOR(TN_F32, x, 2, 4), TN_TENSOR(TN_I32, (int32_t[]){1}, 1, 1)},
                  out = TN_TENSOR(TN_F32, y, 1, 4);
        if (!p || tn_run(p, in, &out) != TN_OK || y[3] != (float)i || c.n_warnings) ++*n_wrong;
        tn_program_free(p);
        tn_module_free(m);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    int n_wrong[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, compile_all, &n_wrong[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) assert_int_equal(n_wrong[i], 0);
    assert_int_equal(cache_folder_files(folder, names), MODULES);
}

/* Each with a folder that is not there yet, and one that others empty meanwhile. */
static void test_processes(void **state) {
    (void)state;
    char path[200];
    entry_path(path, "new/folder");
    setenv("TENON_CACHE_DIR", path, 1);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            int n_wrong = 0;
            tn_cache_info info;
            for (int k = 0; k < 5; k++) {
                compile_all(&n_wrong);
                if (i == 0) n_wrong += tn_cache_clear(&info, NULL) != TN_OK;
            }
            _exit(n_wrong);
        }
    }
    int n_wrong = 0;
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        n_wrong += status != 0;
    }
    assert_int_equal(n_wrong, 0);
    tn_cache_info info;
    assert_int_equal(tn_cache_clear(&info, NULL), TN_OK);
    rmdir(path);
    entry_path(path, "new");
    rmdir(path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_byte),          TEST(test_hostile_descriptions),
        TEST(test_damage_is_reported),  TEST(test_wrong_content),
        TEST(test_least_recently_used), TEST(test_what_writers_left),
        TEST(test_stats_and_clear),     TEST(test_folders_that_cannot_be),
        TEST(test_where_it_is),         TEST(test_threads),
        TEST(test_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
