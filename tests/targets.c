/* Objects for every target that Tenon knows: what their sections and symbols say, without running them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler/codegen/codegen.h"
#include "compiler/codegen/target.h"
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

static const char *const targets[] = {
    NULL, "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64-linux-gnu", "riscv64-linux-gnu", "arm-none-eabi", "wasm32"};

static void test_nothing_can_be_written(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        object o = object_for(&(tn_compile_options){.target = targets[i]});
        bool is_elf = !targets[i] || strcmp(targets[i], "wasm32") != 0;
        if (is_elf) check_sections(&o, targets[i] ? targets[i] : "host");
        tn_text_free(o.bytes);
    }
}

/* ---- What it asks for ---- */

static void check_needs(const object *o, const char *target, const char *expected) {
    tn_diag diag = {0};
    char *needs = codegen_undefined_symbols(o->bytes, o->size, &diag);
    if (!needs) fail_msg("%s: %s", target, diag.message);
    if (needs && strcmp(needs, expected) != 0) fail_msg("%s: the object needs %s", target, needs);
    tn_text_free(needs);
}

/* The loop's values are copied. */
static void test_needs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        const char *name = targets[i] ? targets[i] : "host";
        bool has_copy = strcmp(name, "arm-none-eabi") == 0 || strcmp(name, "wasm32") == 0; /* or an instruction */
        object hosted = object_for(&(tn_compile_options){.target = targets[i]}),
               alone = object_for(&(tn_compile_options){.target = targets[i], .freestanding = true});
        check_needs(&hosted, name, has_copy ? "" : "memcpy");
        check_needs(&alone, name, "");
        tn_text_free(hosted.bytes);
        tn_text_free(alone.bytes);
    }
}

static void test_no_object(void **state) {
    static const struct {
        size_t bytes;
        const char *data, *message;
    } wrong[] = {{4, "text", "this is no object file: "},
                 {3, "\0as", "this is no object file: "},
                 {9, "\0asm\1\0\0\0\2", "this WebAssembly object ends early"},
                 {10, "\0asm\1\0\0\0\2\5", "this WebAssembly object ends early"},
                 {11, "\0asm\1\0\0\0\2\1\7", "this WebAssembly object ends early"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tn_diag diag = {0};
        assert_null(codegen_undefined_symbols(wrong[i].data, wrong[i].bytes, &diag));
        assert_int_equal(diag.status, TN_ERR_PARSE);
        assert_memory_equal(diag.message, wrong[i].message, strlen(wrong[i].message));
    }
}

/* ---- CPUs and features ---- */

/* A target of each architecture. */
static const char *const target_of[] = {[ARCHITECTURE_X86] = "x86-64-v2",
                                        [ARCHITECTURE_AARCH64] = "aarch64",
                                        [ARCHITECTURE_RISCV] = "riscv64",
                                        [ARCHITECTURE_ARM] = "arm-none-eabi",
                                        [ARCHITECTURE_WASM] = "wasm32"};

/* Makes LLVM's machine: for names that it does not know it prints a line. */
static void make_machine(architecture a, const char *cpu, const char *features) {
    target t;
    tn_diag diag = {0};
    tn_status status = target_choose(&t, &(target_choice){target_of[a], cpu, features, false}, &diag);
    LLVMTargetMachineRef machine = status == TN_OK ? target_machine_new(&t, 2, &diag) : NULL;
    if (!machine && status != TN_ERR_UNSUPPORTED) fail_msg("%s: %s", target_of[a], diag.message);
    if (machine) LLVMDisposeTargetMachine(machine);
    target_free(&t);
}

static void make_all_machines(void) {
#define CPU(ARCHITECTURE, name, features) make_machine(ARCHITECTURE_##ARCHITECTURE, name, NULL);
#define FEATURE(ARCHITECTURE, name, implies) make_machine(ARCHITECTURE_##ARCHITECTURE, NULL, "+" name ",-" name);
#include "compiler/codegen/target_cpus.def"
}

static void test_llvm_knows_all_names(void **state) {
    (void)state;
    char line[300] = "";
    FILE *caught = tmpfile();
    int before = dup(STDERR_FILENO);
    if (!caught || before < 0) {
        if (caught) fclose(caught);
        fail_msg("no temporary file");
        return;
    }
    dup2(fileno(caught), STDERR_FILENO);
    make_all_machines();
    dup2(before, STDERR_FILENO);
    close(before);
    bool says = fseek(caught, 0, SEEK_SET) == 0 && fread(line, 1, sizeof line - 1, caught) > 0;
    fclose(caught);
    if (says) fail_msg("LLVM says: %s", line);
}

static const struct {
    const char *name, *cpu, *features;
    int vector_bytes, vector_count;
    bool has_fma, has_f16, has_f64;
} expected[] = {
    {"x86-64-v2", NULL, NULL, 16, 16, false, false, true},
    {"x86-64-v2", NULL, "+avx2,+fma", 32, 16, true, false, true},
    {"x86-64-v4", NULL, "-avx512vl", 32, 16, true, true, true},
    {"x86-64-v4", NULL, "-avx", 16, 16, false, false, true},
    {"x86-64-v2", "znver4", NULL, 64, 32, true, true, true},
    {"x86-64-v3", "sandybridge", NULL, 16, 16, false, false, true},
    {"aarch64-linux-gnu", "neoverse-n2", NULL, 16, 32, true, true, true},
    {"riscv64-linux-gnu", NULL, NULL, 4, 28, true, false, true},
    {"riscv64-linux-gnu", NULL, "+v", 16, 32, true, false, true},
    {"riscv64-linux-gnu", "spacemit-x60", NULL, 32, 32, true, true, true},
    {"arm-none-eabi", NULL, NULL, 4, 24, true, true, true},
    {"arm-none-eabi", "cortex-m4", NULL, 4, 24, true, true, false},
    {"wasm32", NULL, NULL, 16, 16, false, false, true},
    {"wasm32", NULL, "-simd128", 4, 16, false, false, true},
};

static void test_what_features_amount_to(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        target t;
        tn_diag diag = {0};
        target_choice choice = {expected[i].name, expected[i].cpu, expected[i].features, false};
        if (target_choose(&t, &choice, &diag) != TN_OK) fail_msg("%s", diag.message);
        assert_int_equal(t.machine.vector_bytes, expected[i].vector_bytes);
        assert_int_equal(t.machine.vector_count, expected[i].vector_count);
        assert_int_equal(t.machine.has_fma, expected[i].has_fma);
        assert_int_equal(t.has_f16, expected[i].has_f16);
        assert_int_equal(t.has_f64, expected[i].has_f64);
        target_free(&t);
    }
}

static void check_refused(const target_choice *choice, tn_status status, const char *message) {
    target t;
    tn_diag diag = {0};
    assert_int_equal(target_choose(&t, choice, &diag), status);
    assert_memory_equal(diag.message, message, strlen(message));
    target_free(&t);
}

static void test_wrong_names(void **state) {
    (void)state;
    check_refused(&(target_choice){"z80", NULL, NULL, false}, TN_ERR_ARGUMENT,
                  "unknown target \"z80\"; known are native, x86-64-v2, ");
    check_refused(&(target_choice){"x86-64-v3", "cortex-a72", NULL, false}, TN_ERR_ARGUMENT,
                  "unknown cpu \"cortex-a72\"; known are x86-64, x86-64-v2, ");
    check_refused(&(target_choice){"aarch64", NULL, "+neon,+avx", false}, TN_ERR_ARGUMENT,
                  "unknown feature \"avx\"; known are neon, rdm, ");
    check_refused(&(target_choice){"aarch64", NULL, "neon", false}, TN_ERR_ARGUMENT,
                  "feature \"neon\" needs a + or - before it");
    check_refused(&(target_choice){"x86-64-v3", NULL, "+", false}, TN_ERR_ARGUMENT, "unknown feature \"\"; known are ");
    check_refused(&(target_choice){"x86-64-v3", NULL, "-sse3", false}, TN_ERR_UNSUPPORTED,
                  "target x86-64-v3 (x86-64-v3) lacks features: Tenon needs x86-64 with sse4.1");
    check_refused(&(target_choice){"riscv64", NULL, "-d", false}, TN_ERR_UNSUPPORTED,
                  "target riscv64 (generic-rv64) lacks features: Tenon needs riscv64 with m,d");
}

/* Another CPU than the target's, and what runs here of it, through the whole compiler. */
static void test_options_of_a_compilation(void **state) {
    (void)state;
    object v3 = object_for(&(tn_compile_options){.target = "x86-64-v3"}),
           haswell = object_for(&(tn_compile_options){.target = "x86-64-v2", .cpu = "haswell"}),
           v2 = object_for(&(tn_compile_options){.target = "x86-64-v3", .features = "-avx"});
    assert_int_not_equal(v3.size, v2.size);
    assert_true(haswell.size > 0);
    tn_text_free(v3.bytes);
    tn_text_free(haswell.bytes);
    tn_text_free(v2.bytes);
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    assert_null(tn_compile_module(m, &(tn_compile_options){.target = "riscv64-linux-gnu", .features = "+v"}));
    assert_string_equal(tn_module_error(m)->message, "code for riscv64-linux-gnu +v cannot run on this machine");
    /* The module itself is as good as before, and other options may do. */
    assert_null(tn_compile_module(m, &(tn_compile_options){.gemm = "fast"}));
    assert_non_null(strstr(tn_module_error(m)->message, "gemm is \"fast\""));
    tn_program *p = tn_compile_module(m, NULL);
    assert_non_null(p);
    assert_null(tn_module_error(m));
    tn_program_free(p);
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_can_be_written),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_no_object),
        cmocka_unit_test(test_llvm_knows_all_names),
        cmocka_unit_test(test_what_features_amount_to),
        cmocka_unit_test(test_wrong_names),
        cmocka_unit_test(test_options_of_a_compilation),
    };
    return cmocka_run_group_tests_name("targets", tests, NULL, NULL);
}
