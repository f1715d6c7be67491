/* The runner of file tests (see filetest.h). */
#include "tests/lib/filetest.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One file, and the verbs it may use. */
typedef struct file_case {
    char *path;
    const filetest_verb *verbs;
    size_t n_verbs;
} file_case;

/* A test without memory is over. */
static void *grow(void *old, size_t bytes) {
    void *more = realloc(old, bytes);
    if (!more) abort();
    return more;
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s cannot be opened", path);
    if (!file) return NULL;
    char *text = NULL;
    size_t n = 0, capacity = 0, got;
    do {
        capacity = capacity ? capacity * 2 : 1 << 14;
        text = grow(text, capacity + 1);
        got = fread(text + n, 1, capacity - n, file);
        n += got;
    } while (got > 0 && n == capacity);
    fclose(file);
    text[n] = '\0';
    *length = n;
    return text;
}

static void add_bytes(filetest *t, const char *text, size_t n) {
    if (t->out_length + n + 1 > t->out_capacity) {
        t->out_capacity = (t->out_length + n + 1) * 2;
        t->out = grow(t->out, t->out_capacity);
    }
    memcpy(t->out + t->out_length, text, n);
    t->out_length += n;
    t->out[t->out_length] = '\0';
}

void filetest_add(filetest *t, const char *text) { add_bytes(t, text, strlen(text)); }

void filetest_print(filetest *t, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    add_bytes(t, text, (size_t)n);
}

void filetest_diag(filetest *t, const tn_diag *diag) {
    if (diag->file) filetest_print(t, "%s:", diag->file);
    if (diag->line) filetest_print(t, "%d:", diag->line);
    if (diag->column) filetest_print(t, "%d:", diag->column);
    filetest_print(t, "%s%s: %s\n", diag->file ? " " : "", tn_status_name(diag->status), diag->message);
}

tn_module *filetest_parse(filetest *t) {
    tn_module *m = tn_module_parse(t->text, t->length, t->name);
    assert_non_null(m);
    const tn_diag *error = tn_module_error(m);
    if (!error) return m;
    filetest_diag(t, error);
    tn_module_free(m);
    return NULL;
}

/* The output as comment lines. */
static char *as_comments(const filetest *t) {
    filetest c = {0};
    const char *at = t->out ? t->out : "";
    while (*at) {
        size_t n = strcspn(at, "\n");
        add_bytes(&c, n ? "# " : "#", n ? 2 : 1);
        add_bytes(&c, at, n);
        add_bytes(&c, "\n", 1);
        at += n + (at[n] == '\n');
    }
    add_bytes(&c, "", 0);
    return c.out;
}

static void bless(const file_case *c, const filetest *t, const char *expectation) {
    FILE *file = fopen(c->path, "wb");
    if (!file) fail_msg("%s cannot be written", c->path);
    if (!file) return;
    fwrite(t->text, 1, t->length, file);
    if (t->length && t->text[t->length - 1] != '\n') fputc('\n', file);
    fprintf(file, "# expect:\n%s", expectation);
    assert_int_equal(fclose(file), 0);
}

static void run_case(void **state) {
    const file_case *c = *state;
    size_t length = 0;
    char *content = read_file(c->path, &length), arguments[256] = "", verb[32] = "";
    if (sscanf(content, "# test: %31s%255[^\n]", verb, arguments) < 1)
        fail_msg("%s does not begin with `# test: VERB`", c->path);
    char *mark = strstr(content, "\n# expect:\n");
    char *expected = mark ? mark + strlen("\n# expect:\n") : content + length;
    filetest t = {.name = strrchr(c->path, '/') + 1, .arguments = arguments + strspn(arguments, " "), .text = content};
    t.length = mark ? (size_t)(mark + 1 - content) : length;
    size_t i = 0;
    while (i < c->n_verbs && strcmp(c->verbs[i].name, verb) != 0) i++;
    if (i == c->n_verbs) fail_msg("%s: no verb is called %s", c->path, verb);
    c->verbs[i].run(&t);
    char *out = as_comments(&t);
    if (getenv("BLESS"))
        bless(c, &t, out);
    else
        assert_string_equal(out, expected);
    free(out);
    free(t.out);
    free(content);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static char **list_files(const char *folder, size_t *n) {
    DIR *dir = opendir(folder);
    char **names = NULL;
    *n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        if (length < 4 || strcmp(e->d_name + length - 3, ".tn") != 0) continue;
        names = grow(names, (*n + 1) * sizeof *names);
        char *path = malloc(strlen(folder) + length + 2);
        if (!names || !path) abort();
        sprintf(path, "%s/%s", folder, e->d_name);
        names[(*n)++] = path;
    }
    if (dir) closedir(dir);
    if (*n) qsort(names, *n, sizeof *names, by_name);
    return names;
}

int filetest_run(const char *folder, const filetest_verb *verbs, size_t n_verbs, const struct CMUnitTest *first,
                 size_t n_first) {
    size_t n;
    char **paths = list_files(folder, &n);
    struct CMUnitTest *tests = calloc(n_first + n + 1, sizeof *tests);
    file_case *cases = calloc(n + 1, sizeof *cases);
    if (!tests || !cases) abort();
    for (size_t i = 0; i < n_first; i++) tests[i] = first[i];
    for (size_t i = 0; i < n; i++) {
        cases[i] = (file_case){paths[i], verbs, n_verbs};
        tests[n_first + i] = (struct CMUnitTest){.name = paths[i], .test_func = run_case, .initial_state = &cases[i]};
    }
    int failed = _cmocka_run_group_tests(folder, tests, n_first + n, NULL, NULL);
    for (size_t i = 0; i < n; i++) free(paths[i]);
    free(paths);
    free(cases);
    free(tests);
    return failed;
}
