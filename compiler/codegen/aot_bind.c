/* The entry NAME_bind, or NAME_bind_weights where weights are in a file (see aot_entry.h): what is found out once,
 * since an object has no place to remember it.
 *
 * in:  the file as it lies in memory; the CPU
 * out: the struct NAME_bound: where the weights are, which version of the code runs here
 * law: a version is chosen only where the CPU has, and the system keeps, all registers that it uses
 */
#include "compiler/codegen/aot_state.h"

#include <stddef.h>
#include <string.h>

#include "compiler/codegen/aot_file.h"

/* ---- The file ---- */

static LLVMValueRef rotate(aot_emitter *a, LLVMValueRef x, unsigned bits) {
    unsigned id = LLVMLookupIntrinsicID("llvm.fshl", 9);
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(a->module, id, &a->i64, 1), by = aot_i64(a, bits);
    LLVMTypeRef type = LLVMIntrinsicGetType(a->context, id, &a->i64, 1);
    return LLVMBuildCall2(a->b, type, f, (LLVMValueRef[]){x, x, by}, 3, "");
}

static LLVMValueRef times(aot_emitter *a, LLVMValueRef x, uint64_t y) {
    return LLVMBuildMul(a->b, x, aot_i64(a, y), "");
}

/* XXH64 (its specification: "xxHash fast digest algorithm", version 0.1.1) with seed 0, of a multiple of 32 bytes and
 * at least so many. */
enum { LANES = 4 };
static const uint64_t prime[] = {UINT64_C(0x9E3779B185EBCA87), UINT64_C(0xC2B2AE3D27D4EB4F),
                                 UINT64_C(0x165667B19E3779F9), UINT64_C(0x85EBCA77C2B2AE63)};

static LLVMValueRef hash_round(aot_emitter *a, LLVMValueRef lane, LLVMValueRef word) {
    LLVMValueRef sum = LLVMBuildAdd(a->b, lane, times(a, word, prime[1]), "");
    return times(a, rotate(a, sum, 31), prime[0]);
}

static LLVMValueRef mix_high(aot_emitter *a, LLVMValueRef hash, unsigned bits) {
    return LLVMBuildXor(a->b, hash, LLVMBuildLShr(a->b, hash, aot_i64(a, bits), ""), "");
}

static LLVMValueRef emit_hash(aot_emitter *a, LLVMValueRef data, uint64_t bytes) {
    static const unsigned turns[LANES] = {1, 7, 12, 18};
    const uint64_t first[LANES] = {prime[0] + prime[1], prime[1], 0, 0 - prime[0]};
    LLVMValueRef lanes_at[LANES], lane[LANES], hash = NULL;
    for (int i = 0; i < LANES; i++) {
        lanes_at[i] = LLVMBuildAlloca(a->b, a->i64, "");
        LLVMBuildStore(a->b, aot_i64(a, first[i]), lanes_at[i]);
    }
    aot_loop loop = aot_loop_open(a, aot_i64(a, bytes / (LANES * sizeof(uint64_t))));
    LLVMValueRef stripe = aot_at(a, data, LLVMBuildMul(a->b, loop.i, aot_i64(a, LANES * sizeof(uint64_t)), ""));
    for (int i = 0; i < LANES; i++) {
        LLVMValueRef word = aot_load(a, a->i64, stripe, (uint64_t)i * sizeof(uint64_t));
        lane[i] = LLVMBuildLoad2(a->b, a->i64, lanes_at[i], "");
        LLVMBuildStore(a->b, hash_round(a, lane[i], word), lanes_at[i]);
    }
    aot_loop_close(a, &loop);
    for (int i = 0; i < LANES; i++) {
        lane[i] = LLVMBuildLoad2(a->b, a->i64, lanes_at[i], "");
        LLVMValueRef turned = rotate(a, lane[i], turns[i]);
        hash = hash ? LLVMBuildAdd(a->b, hash, turned, "") : turned;
    }
    for (int i = 0; i < LANES; i++) {
        hash = LLVMBuildXor(a->b, hash, hash_round(a, aot_i64(a, 0), lane[i]), "");
        hash = LLVMBuildAdd(a->b, times(a, hash, prime[0]), aot_i64(a, prime[3]), "");
    }
    hash = LLVMBuildAdd(a->b, hash, aot_i64(a, bytes), "");
    hash = times(a, mix_high(a, hash, 33), prime[1]);
    hash = times(a, mix_high(a, hash, 29), prime[2]);
    return mix_high(a, hash, 32);
}

static LLVMValueRef is_word(aot_emitter *a, LLVMValueRef base, uint64_t offset, uint64_t expected) {
    return LLVMBuildICmp(a->b, LLVMIntEQ, aot_load(a, a->i64, base, offset), aot_i64(a, expected), "");
}

/* Nothing is read before the length is known to be right. */
static void check_file(aot_emitter *a, LLVMValueRef data, LLVMValueRef bytes) {
    const aot_block *block = &a->entry->block;
    const int32_t *codes = a->entry->weights_codes;
    uint64_t magic;
    memcpy(&magic, AOT_FILE_MAGIC, sizeof magic);
    aot_require(a, LLVMBuildIsNotNull(a->b, data, ""), codes[AOT_NO_WEIGHTS]);
    aot_require(a, aot_is_aligned(a, data, AOT_FILE_ALIGNMENT), codes[AOT_NO_WEIGHTS]);
    LLVMValueRef length = LLVMBuildZExtOrBitCast(a->b, bytes, a->i64, "");
    aot_require(a, LLVMBuildICmp(a->b, LLVMIntEQ, length, aot_i64(a, AOT_FILE_HEADER + block->bytes), ""),
                codes[AOT_WEIGHTS_CUT]);
    aot_require(a, is_word(a, data, offsetof(aot_file_header, magic), magic), codes[AOT_WEIGHTS_OTHER]);
    aot_require(a, is_word(a, data, offsetof(aot_file_header, layout), block->layout), codes[AOT_WEIGHTS_OTHER]);
    aot_require(a, is_word(a, data, offsetof(aot_file_header, bytes), block->bytes), codes[AOT_WEIGHTS_OTHER]);
    LLVMValueRef hash = emit_hash(a, aot_at(a, data, aot_i64(a, AOT_FILE_HEADER)), block->bytes);
    LLVMValueRef expected = aot_load(a, a->i64, data, offsetof(aot_file_header, checksum));
    aot_require(a, LLVMBuildICmp(a->b, LLVMIntEQ, hash, expected, ""), codes[AOT_WEIGHTS_DAMAGED]);
}

/* ---- The CPU ---- */

/* Where CPUID tells of a feature (Intel SDM volume 2, CPUID): register 0 to 3 is eax, ebx, ecx, edx. */
static const struct {
    const char *name; /* LLVM's */
    unsigned leaf, reg, bit;
} features[] = {
    {"+sse3", 1, 2, 0},      {"+ssse3", 1, 2, 9},     {"+fma", 1, 2, 12},          {"+cx16", 1, 2, 13},
    {"+sse4.1", 1, 2, 19},   {"+sse4.2", 1, 2, 20},   {"+movbe", 1, 2, 22},        {"+popcnt", 1, 2, 23},
    {"+avx", 1, 2, 28},      {"+f16c", 1, 2, 29},     {"+bmi", 7, 1, 3},           {"+avx2", 7, 1, 5},
    {"+bmi2", 7, 1, 8},      {"+avx512f", 7, 1, 16},  {"+avx512dq", 7, 1, 17},     {"+avx512cd", 7, 1, 28},
    {"+avx512bw", 7, 1, 30}, {"+avx512vl", 7, 1, 31}, {"+sahf", 0x80000001, 2, 0}, {"+lzcnt", 0x80000001, 2, 5},
};

enum { FEATURES = sizeof features / sizeof *features, OSXSAVE = 27, REGISTERS = 4 };

/* XCR0: bits of the registers that the system keeps (Intel SDM volume 1, 13.3). */
enum { KEEPS_AVX = 0x6, KEEPS_AVX512 = 0xe6 };

static LLVMValueRef run_cpuid(aot_emitter *a, unsigned leaf, int reg) {
    static const char code[] = "cpuid", places[] = "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}";
    LLVMTypeRef members[REGISTERS] = {a->i32, a->i32, a->i32, a->i32};
    LLVMTypeRef all = LLVMStructTypeInContext(a->context, members, REGISTERS, false);
    LLVMTypeRef type = LLVMFunctionType(all, (LLVMTypeRef[]){a->i32, a->i32}, 2, false);
    LLVMValueRef f = LLVMGetInlineAsm(type, code, sizeof code - 1, places, sizeof places - 1, true, false,
                                      LLVMInlineAsmDialectATT, false);
    LLVMValueRef got = LLVMBuildCall2(a->b, type, f, (LLVMValueRef[]){aot_i32(a, (int32_t)leaf), aot_i32(a, 0)}, 2, "");
    return LLVMBuildExtractValue(a->b, got, (unsigned)reg, "");
}

static LLVMValueRef read_xcr0(aot_emitter *a) {
    static const char code[] = "xgetbv", places[] = "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}";
    LLVMTypeRef all = LLVMStructTypeInContext(a->context, (LLVMTypeRef[]){a->i32, a->i32}, 2, false);
    LLVMTypeRef type = LLVMFunctionType(all, &a->i32, 1, false);
    LLVMValueRef f = LLVMGetInlineAsm(type, code, sizeof code - 1, places, sizeof places - 1, true, false,
                                      LLVMInlineAsmDialectATT, false);
    return LLVMBuildExtractValue(a->b, LLVMBuildCall2(a->b, type, f, (LLVMValueRef[]){aot_i32(a, 0)}, 1, ""), 0, "");
}

static bool is_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = strstr(list, name); at; at = strstr(at + 1, name))
        if (at[length] == ',' || at[length] == '\0') return true;
    return false;
}

/* The bits of a leaf's register that a version needs. */
static uint32_t needed_bits(const char *needs, unsigned leaf, unsigned reg) {
    uint32_t bits = 0;
    for (int i = 0; i < FEATURES; i++)
        if (features[i].leaf == leaf && features[i].reg == reg && is_listed(needs, features[i].name))
            bits |= UINT32_C(1) << features[i].bit;
    return bits;
}

static LLVMValueRef has_bits(aot_emitter *a, LLVMValueRef got, uint32_t bits) {
    LLVMValueRef wanted = aot_i32(a, (int32_t)bits);
    return LLVMBuildICmp(a->b, LLVMIntEQ, LLVMBuildAnd(a->b, got, wanted, ""), wanted, "");
}

typedef struct cpu {
    LLVMValueRef basic, extended, amd, xcr0; /* ecx of 1, ebx of 7, ecx of 0x80000001 */
} cpu;

static LLVMValueRef runs_here(aot_emitter *a, const cpu *c, const char *needs) {
    LLVMValueRef ok = has_bits(a, c->basic, needed_bits(needs, 1, 2));
    ok = LLVMBuildAnd(a->b, ok, has_bits(a, c->extended, needed_bits(needs, 7, 1)), "");
    ok = LLVMBuildAnd(a->b, ok, has_bits(a, c->amd, needed_bits(needs, 0x80000001, 2)), "");
    uint32_t keeps = is_listed(needs, "+avx512f") ? KEEPS_AVX512 : is_listed(needs, "+avx") ? KEEPS_AVX : 0;
    return LLVMBuildAnd(a->b, ok, has_bits(a, c->xcr0, keeps), "");
}

/* XGETBV is legal, and leaf 7 there, only where CPUID says so: with OSXSAVE, and leaf 0 telling how many there are. */
static LLVMValueRef read_if(aot_emitter *a, LLVMValueRef condition, LLVMValueRef (*read)(aot_emitter *a)) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(a->b), there = aot_block_new(a, "there"),
                      after = aot_block_new(a, "after");
    LLVMBuildCondBr(a->b, condition, there, after);
    LLVMPositionBuilderAtEnd(a->b, there);
    LLVMValueRef value = read(a);
    LLVMBuildBr(a->b, after);
    LLVMPositionBuilderAtEnd(a->b, after);
    LLVMValueRef got = LLVMBuildPhi(a->b, a->i32, "");
    LLVMAddIncoming(got, (LLVMValueRef[]){aot_i32(a, 0), value}, (LLVMBasicBlockRef[]){before, there}, 2);
    return got;
}

static LLVMValueRef read_leaf7(aot_emitter *a) { return run_cpuid(a, 7, 1); }
static LLVMValueRef read_amd(aot_emitter *a) { return run_cpuid(a, 0x80000001, 2); }

static LLVMValueRef choose_version(aot_emitter *a) {
    const aot_entry *e = a->entry;
    if (e->n_versions < 2) return aot_i32(a, 0);
    cpu c = {.basic = run_cpuid(a, 1, 2)};
    LLVMValueRef has_xgetbv = has_bits(a, c.basic, UINT32_C(1) << OSXSAVE);
    LLVMValueRef has_leaf7 = LLVMBuildICmp(a->b, LLVMIntUGE, run_cpuid(a, 0, 0), aot_i32(a, 7), "");
    LLVMValueRef most = aot_i32(a, (int32_t)0x80000001);
    LLVMValueRef has_amd = LLVMBuildICmp(a->b, LLVMIntUGE, run_cpuid(a, 0x80000000, 0), most, "");
    c.xcr0 = read_if(a, has_xgetbv, read_xcr0);
    c.extended = read_if(a, has_leaf7, read_leaf7);
    c.amd = read_if(a, has_amd, read_amd);
    LLVMValueRef chosen = aot_i32(a, -1);
    for (size_t v = 0; v < e->n_versions; v++)
        chosen = LLVMBuildSelect(a->b, runs_here(a, &c, e->versions[v].needs), aot_i32(a, (int32_t)v), chosen, "");
    aot_require(a, LLVMBuildICmp(a->b, LLVMIntSGE, chosen, aot_i32(a, 0), ""), e->cpu_code);
    return chosen;
}

/* ---- The entry ---- */

void aot_emit_bind(aot_emitter *a) {
    const aot_entry *e = a->entry;
    bool has_file = e->block.is_in_file;
    LLVMTypeRef size = LLVMIntTypeInContext(a->context, a->pointer_bytes * 8);
    LLVMTypeRef types[] = {a->pointer, a->pointer, size};
    LLVMTypeRef type = LLVMFunctionType(a->i32, types, has_file ? 3 : 1, false);
    LLVMValueRef f = aot_function(a, has_file ? "bind_weights" : "bind", type), bound = LLVMGetParam(f, 0);
    aot_require(a, LLVMBuildIsNotNull(a->b, bound, ""), e->weights_codes[AOT_NO_BOUND]);
    LLVMValueRef weights = LLVMConstNull(a->pointer);
    if (has_file) {
        check_file(a, LLVMGetParam(f, 1), LLVMGetParam(f, 2));
        weights = aot_at(a, LLVMGetParam(f, 1), aot_i64(a, AOT_FILE_HEADER));
    }
    LLVMValueRef version = choose_version(a);
    aot_store(a, weights, bound, (uint64_t)AOT_BOUND_WEIGHTS * a->pointer_bytes);
    aot_store(a, version, bound, (uint64_t)AOT_BOUND_VERSION * a->pointer_bytes);
    LLVMBuildRet(a->b, aot_i32(a, AOT_OK));
}
