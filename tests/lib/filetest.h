/* File tests: one small .tn file each.
 *
 * A file's first line says how it is run, `# test: VERB ARGUMENTS`; other comments on top say
 * what it shows. Behind the module stands, as comments, what must come out:
 *
 *     # test: print
 *     module "m"
 *     fn @main() -> () { return }
 *     # expect:
 *     # module "m"
 *     # ...
 *
 * BLESS=1 in the environment rewrites what stands behind `# expect:` instead of failing.
 */
#ifndef TN_TESTS_FILETEST_H
#define TN_TESTS_FILETEST_H

#include "tenon_graph.h"

/* What a verb is given, and where its output goes. */
typedef struct filetest {
    const char *name; /* of the file, without folders */
    const char *arguments;
    const char *text; /* up to `# expect:` */
    size_t length;
    char *out; /* what came out, from malloc */
    size_t out_length, out_capacity;
} filetest;

typedef struct filetest_verb {
    const char *name;
    void (*run)(filetest *t);
} filetest_verb;

void filetest_print(filetest *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void filetest_add(filetest *t, const char *text);
/* "file:line:column: message" and a new line. */
void filetest_diag(filetest *t, const tn_diag *diag);
/* The module of the test; NULL when it has an error, which is then in the output. */
tn_module *filetest_parse(filetest *t);

/* Runs every .tn file of the folder as a cmocka test of its own, after `first` (n_first of them).
 * Returns what main returns. */
struct CMUnitTest;
int filetest_run(const char *folder, const filetest_verb *verbs, size_t n_verbs, const struct CMUnitTest *first,
                 size_t n_first);

#endif
