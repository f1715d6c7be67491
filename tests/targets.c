/* Objects for every target that Tenon knows: what their sections and symbols say, without running them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <string.h>

#include "compiler/tenon_compile.h"

/* Constants, functions, a branch, a loop, an index that is checked, messages, packed weights. */
static const char text[] = "module \"m\"\n"
                           "fn @main(%x: f32[n, 24], %i: i64[k, 1], %w: f32[24, 10] weight, %h: f16[n])\n"
                           "    -> (%p: f32[n, 10], %g: f32[k, 10], %t: f16[n], %s: f32[n, 24], %r: f32[n, 24]) {\n"
                           "  %e = exp %w\n"
                           "  %0 = dot %x, %e, contract=[1]x[0]\n"
                           "  %p = softmax %0, axis=1\n"
                           "  %g = gather %p, %i, axes=[0]\n"
                           "  %t = tanh %h\n"
                           "  %s = sort %x, axis=1\n"
                           "  %c = constant value=f32[2] {0.25, -3}\n"
                           "  %b = broadcast %c, dims=[0], shape=[2, 12]\n"
                           "  %d = reshape %b, shape=[24]\n"
                           "  %d2 = broadcast %d, dims=[1], shape=[n, 24]\n"
                           "  %y = add %x, %d2\n"
                           "  %z = atan2 %y, %x\n"
                           "  %r = while %z, cond=@large, body=@half, symbols=[n, 24, n, 24]\n"
                           "  return %p, %g, %t, %s, %r\n"
                           "}\n"
                           "fn @large(%a: f32[n, k]) -> (%c: bool[]) {\n"
                           "  %m = reduce %a, kind=max, axes=[0, 1]\n"
                           "  %one = constant value=f32[] {0.01}\n"
                           "  %c = compare %m, %one, compare=gt\n"
                           "  return %c\n"
                           "}\n"
                           "fn @half(%a: f32[n, k]) -> (%b: f32[n, k]) {\n"
                           "  %half = constant value=f32[] {0.5}\n"
                           "  %h = broadcast %half, dims=[], shape=[n, k]\n"
                           "  %b = mul %a, %h\n"
                           "  return %b\n"
                           "}\n";

typedef struct object {
    char *bytes;
    size_t size;
} object;

static object object_for(const tn_compile_options *options) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    if (tn_module_error(m)) fail_msg("%d: %s", tn_module_error(m)->line, tn_module_error(m)->message);
    void *bytes;
    object o;
    tn_diag diag = {0};
    if (tn_compile_object(m, options, "m_", &bytes, &o.size, &diag) != TN_OK)
        fail_msg("%s: %s", options->target ? options->target : "host", diag.message);
    o.bytes = bytes;
    tn_module_free(m);
    return o;
}

/* ---- Sections ---- */

/* What both classes of ELF files say of a section. */
typedef struct section {
    const char *name;
    uint64_t flags, size;
} section;

#define SECTION_OF(CLASS)                                                                                              \
    static section section_of_##CLASS(const object *o, size_t i, size_t *n) {                                          \
        const Elf##CLASS##_Ehdr *file = (const void *)o->bytes;                                                        \
        const Elf##CLASS##_Shdr *all = (const void *)(o->bytes + file->e_shoff);                                       \
        *n = file->e_shnum;                                                                                            \
        return (section){o->bytes + all[file->e_shstrndx].sh_offset + all[i].sh_name, all[i].sh_flags,                 \
                         all[i].sh_size};                                                                              \
    }
SECTION_OF(32)
SECTION_OF(64)

static void check_sections(const object *o, const char *target) {
    assert_memory_equal(o->bytes, ELFMAG, SELFMAG);
    size_t n = 1;
    for (size_t i = 0; i < n; i++) {
        section s = o->bytes[EI_CLASS] == ELFCLASS32 ? section_of_32(o, i, &n) : section_of_64(o, i, &n);
        if (s.flags & SHF_WRITE && s.size) fail_msg("%s: section %s can be written", target, s.name);
        if (strncmp(s.name, ".init", 5) == 0 || strncmp(s.name, ".ctors", 6) == 0)
            fail_msg("%s: section %s has code that runs before main", target, s.name);
    }
}

static void test_nothing_can_be_written(void **state) {
    static const char *const targets[] = {NULL, "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"};
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        object o = object_for(&(tn_compile_options){.target = targets[i]});
        check_sections(&o, targets[i] ? targets[i] : "host");
        tn_text_free(o.bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_can_be_written),
    };
    return cmocka_run_group_tests_name("targets", tests, NULL, NULL);
}
