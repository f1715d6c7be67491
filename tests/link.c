/* The linker: objects whose every byte may be wrong, and programs of both machines that it knows.
 *
 * That programs run as linked is seen by all other tests; here those of aarch64 are linked and run by a program for it,
 * under emulation, and those of this machine the same way. Needs the cross compiler and qemu (make deps-emulation), else
 * it is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/codegen/link.h"
#include "runtime/alloc.h"
#include "tests/lib/object_run.h"

/* A branch, a table of kernels, copies of parameters, constants of more than one section, an index that is checked. */
static const char text[] = "module \"m\"\n"
                           "fn @main(%x: f32[4, 32], %i: i32[3, 1], %c: bool[], %w: f32[32, 48] weight) -> "
                           "(%y: f32[3, 48], %z: f32[4, 32], %e: f32[4, 32], %k: f32[2, 40]) {\n"
                           "  %0 = if %c, %x, then=@twice, otherwise=@same\n"
                           "  %1 = dot %0, %w, contract=[1]x[0]\n"
                           "  %y = gather %1, %i, axes=[0]\n"
                           "  %s = abs %x\n"
                           "  %e = floor %s\n"
                           "  %r = iota shape=[2, 40], dtype=f32, axis=1\n"
                           "  return %y, %x, %e, %r\n"
                           "}\n"
                           "fn @twice(%x: f32[4, 32]) -> (%y: f32[4, 32]) { %0 = add %x, %x return %0 }\n"
                           "fn @same(%x: f32[4, 32]) -> (%y: f32[4, 32]) { return %x }\n";

static tn_module *parse(void) {
    tn_module *m = tn_module_parse(text, sizeof text - 1, "m.tn");
    if (tn_module_error(m)) fail_msg("line %d: %s", tn_module_error(m)->line, tn_module_error(m)->message);
    return m;
}

/* ---- Damage ------------------------------------------------------------------------------------------------------- */

static uint8_t *make_object(size_t *size) {
    void *object;
    tn_diag diag = {0};
    tn_module *m = parse();
    if (tn_compile_object(m, NULL, "", &object, size, &diag) != TN_OK) fail_msg("%s", diag.message);
    uint8_t *copy = tn_malloc(*size); /* where a sanitiser sees its end */
    memcpy(copy, object, *size);
    tn_text_free(object);
    tn_module_free(m);
    return copy;
}

/* Whether it links; none of it is run. */
static bool links(const uint8_t *bytes, size_t size) {
    tn_diag diag = {0};
    linked_objects *l = link_objects(&(object_file){bytes, size}, 1, &diag);
    if (!l) {
        assert_int_not_equal(diag.status, TN_OK);
        assert_string_not_equal(diag.message, "");
    }
    link_free(l);
    return l != NULL;
}

static void test_every_byte(void **state) {
    (void)state;
    static const uint8_t values[] = {0, 1, 0x7f, 0xff};
    size_t size;
    uint8_t *object = make_object(&size);
    assert_true(links(object, size));
    int n_refused = 0;
    for (size_t i = 0; i < size; i++)
        for (size_t k = 0; k < sizeof values; k++) {
            uint8_t was = object[i];
            object[i] = values[k];
            n_refused += !links(object, size);
            object[i] = was;
        }
    assert_true(n_refused > 1000);
    tn_free(object);
}

static void test_cut(void **state) {
    (void)state;
    size_t size;
    uint8_t *object = make_object(&size);
    for (size_t n = 0; n < size; n += 7) {
        uint8_t *part = tn_malloc(n);
        memcpy(part, object, n);
        assert_false(links(part, n)); /* the list of sections is last */
        tn_free(part);
    }
    tn_free(object);
}

static void test_other_machine(void **state) {
    (void)state;
    size_t size;
    tn_diag diag = {0};
    uint8_t *object = make_object(&size);
    object[offsetof(Elf64_Ehdr, e_machine)] = EM_SPARC;
    assert_null(link_objects(&(object_file){object, size}, 1, &diag));
    assert_string_equal(diag.message, "this object file is for another kind of machine");
    tn_free(object);
}

static void count_function(void *ctx, const char *name, const void *address, size_t bytes) {
    int *n = ctx;
    assert_non_null(address);
    assert_true(*name && bytes > 0);
    ++*n;
}

static void test_names(void **state) {
    (void)state;
    size_t size;
    int n = 0;
    uint8_t *object = make_object(&size);
    linked_objects *l = link_objects(&(object_file){object, size}, 1, NULL);
    assert_non_null(link_find(l, "run"));
    assert_non_null(link_find(l, "prepare_run"));
    assert_null(link_find(l, "nothing"));
    assert_null(link_find(l, ""));
    link_each_function(l, count_function, &n);
    assert_true(n > 4);
    link_free(l);
    link_free(NULL);
    assert_non_null(l = link_objects(NULL, 0, NULL));
    assert_null(link_find(l, "run"));
    link_free(l);
    tn_free(object);
}

/* ---- Programs ------------------------------------------------------------------------------------------------------ */

/* What the program computes: small whole numbers, so that no order of a sum matters. */
static void expect(const float *x, const int32_t *i, bool twice, const float *w, float *y, float *e) {
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 48; c++) {
            float sum = 0;
            for (int k = 0; k < 32; k++) sum += x[i[r] * 32 + k] * (twice ? 2.0f : 1.0f) * w[k * 48 + c];
            y[r * 48 + c] = sum;
        }
    for (int k = 0; k < 128; k++) e[k] = x[k] < 0 ? -x[k] : x[k];
}

static void check_machine(const object_machine *machine) {
    float x[128], w[32 * 48], y[144], z[128], e[128], k[80], want_y[144], want_e[128];
    int32_t i[3] = {2, 0, 3};
    char message[OBJECT_MESSAGE];
    for (int n = 0; n < 128; n++) x[n] = (float)(n % 9 - 4);
    for (int n = 0; n < 32 * 48; n++) w[n] = (float)(n % 7 - 3);
    object_run *r = object_run_open(machine);
    tn_module *m = parse();
    for (int twice = 0; twice < 2; twice++) {
        bool c = twice;
        eval_tensor in[] = {{.dtype = TN_F32, .rank = 2, .dims = {4, 32}, .n = 128, .data = x},
                            {.dtype = TN_I32, .rank = 2, .dims = {3, 1}, .n = 3, .data = i},
                            {.dtype = TN_BOOL, .n = 1, .data = &c},
                            {.dtype = TN_F32, .rank = 2, .dims = {32, 48}, .n = 32 * 48, .data = w}};
        eval_tensor out[] = {{.dtype = TN_F32, .rank = 2, .dims = {3, 48}, .n = 144, .data = y},
                             {.dtype = TN_F32, .rank = 2, .dims = {4, 32}, .n = 128, .data = z},
                             {.dtype = TN_F32, .rank = 2, .dims = {4, 32}, .n = 128, .data = e},
                             {.dtype = TN_F32, .rank = 2, .dims = {2, 40}, .n = 80, .data = k}};
        if (!object_run_module(r, m, NULL, &(object_call){.in = in, .out = out}, message)) fail_msg("%s", message);
        expect(x, i, c, w, want_y, want_e);
        assert_memory_equal(y, want_y, sizeof y);
        assert_memory_equal(z, x, sizeof z);
        assert_memory_equal(e, want_e, sizeof e);
        for (int n = 0; n < 80; n++) assert_true(k[n] == (float)(n % 40));
    }
    tn_module_free(m);
    object_run_close(r);
}

static bool have(const char *command) {
    char line[100];
    snprintf(line, sizeof line, "command -v %s >/dev/null", command);
    return system(line) == 0;
}

static void check_linked(const char *target, const char *compiler, const char *emulator) {
    char root[300], command[400];
    if (!getcwd(root, sizeof root)) fail();
    snprintf(command, sizeof command, "'%s/tests/tools/link_cc.sh' %.60s", root, compiler);
    check_machine(&(object_machine){.target = target, .compiler = command, .emulator = emulator});
}

static void test_here(void **state) {
    (void)state;
    check_linked(NULL, "cc", "");
}

static void test_aarch64(void **state) {
    (void)state;
    if (!have("aarch64-linux-gnu-gcc") || !have("qemu-aarch64")) skip();
    check_linked("aarch64", "aarch64-linux-gnu-gcc", "qemu-aarch64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_cut),  cmocka_unit_test(test_other_machine),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_here), cmocka_unit_test(test_aarch64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
