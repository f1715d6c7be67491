/* Relocations, and a jump, for x86-64 and aarch64: a table of each (see link_state.h).
 *
 * S: the symbol's address, A: the addend, P: the place's, as the ABIs write them.
 */
#include "compiler/codegen/link_state.h"

#include <string.h>

static const char too_far[] = "a place is too far from what it refers to";

typedef const char *apply(const relocation *r);

typedef struct relocation_kind {
    uint32_t type, bytes;
    apply *apply;
} relocation_kind;

static const char *put_64(const relocation *r) {
    uint64_t value = r->to + (uint64_t)r->addend;
    memcpy(r->field, &value, sizeof value);
    return NULL;
}

/* S + A - P in 32 bits. */
static const char *put_distance_32(const relocation *r) {
    int64_t distance = (int64_t)(r->to + (uint64_t)r->addend - r->at);
    int32_t value = (int32_t)distance;
    memcpy(r->field, &value, sizeof value);
    return value == distance ? NULL : too_far;
}

#if defined(__aarch64__)

static uint32_t instruction_at(const relocation *r) {
    uint32_t word;
    memcpy(&word, r->field, sizeof word);
    return word;
}

static void put_bits(const relocation *r, uint32_t mask, uint32_t bits) {
    uint32_t word = (instruction_at(r) & ~mask) | (bits & mask);
    memcpy(r->field, &word, sizeof word);
}

/* S + A - P in words, 26 bits: bl and b. */
static const char *put_branch(const relocation *r) {
    int64_t distance = (int64_t)(r->to + (uint64_t)r->addend - r->at);
    if (distance % 4 || distance < -(INT64_C(1) << 27) || distance >= INT64_C(1) << 27) return too_far;
    put_bits(r, 0x03ffffff, (uint32_t)(distance / 4));
    return NULL;
}

/* Page(S + A) - Page(P) in pages, 21 bits in two parts: adrp. */
static const char *put_page(const relocation *r) {
    uint64_t to = (r->to + (uint64_t)r->addend) >> 12, at = r->at >> 12;
    int64_t pages = (int64_t)(to - at);
    if (pages < -(INT64_C(1) << 20) || pages >= INT64_C(1) << 20) return too_far;
    put_bits(r, 0x60ffffe0, (uint32_t)(pages & 3) << 29 | (uint32_t)(pages >> 2 & 0x7ffff) << 5);
    return NULL;
}

/* The low 12 bits of S + A, in units of what the instruction loads. */
static const char *put_low_12(const relocation *r, int shift) {
    uint64_t low = (r->to + (uint64_t)r->addend) & 0xfff;
    if (low & ((1u << shift) - 1)) return "what is loaded is not aligned";
    put_bits(r, 0x003ffc00, (uint32_t)(low >> shift) << 10);
    return NULL;
}
static const char *put_low_1(const relocation *r) { return put_low_12(r, 0); }
static const char *put_low_2(const relocation *r) { return put_low_12(r, 1); }
static const char *put_low_4(const relocation *r) { return put_low_12(r, 2); }
static const char *put_low_8(const relocation *r) { return put_low_12(r, 3); }
static const char *put_low_16(const relocation *r) { return put_low_12(r, 4); }

static const relocation_kind kinds[] = {
    {R_AARCH64_ABS64, 8, put_64},
    {R_AARCH64_PREL32, 4, put_distance_32},
    {R_AARCH64_CALL26, 4, put_branch},
    {R_AARCH64_JUMP26, 4, put_branch},
    {R_AARCH64_ADR_PREL_PG_HI21, 4, put_page},
    {R_AARCH64_ADD_ABS_LO12_NC, 4, put_low_1},
    {R_AARCH64_LDST8_ABS_LO12_NC, 4, put_low_1},
    {R_AARCH64_LDST16_ABS_LO12_NC, 4, put_low_2},
    {R_AARCH64_LDST32_ABS_LO12_NC, 4, put_low_4},
    {R_AARCH64_LDST64_ABS_LO12_NC, 4, put_low_8},
    {R_AARCH64_LDST128_ABS_LO12_NC, 4, put_low_16},
};

const unsigned link_machine = EM_AARCH64;

void link_write_jump(uint8_t *at, uint64_t to) {
    static const uint32_t code[] = {0x58000050, 0xd61f0200}; /* ldr x16, at + 8; br x16 */
    memcpy(at, code, sizeof code);
    memcpy(at + sizeof code, &to, sizeof to);
}

#else

static const relocation_kind kinds[] = {
    {R_X86_64_64, 8, put_64},
    {R_X86_64_PC32, 4, put_distance_32},
    {R_X86_64_PLT32, 4, put_distance_32},
};

#if defined(__x86_64__)
const unsigned link_machine = EM_X86_64;
#else
const unsigned link_machine = EM_NONE;
#endif

void link_write_jump(uint8_t *at, uint64_t to) {
    static const uint8_t code[] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *[what follows] */
    memcpy(at, code, sizeof code);
    memcpy(at + sizeof code, &to, sizeof to);
}

#endif

const char *link_apply(const relocation *r) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].type == r->type)
            return r->room < kinds[i].bytes ? "a relocation is outside of its section" : kinds[i].apply(r);
    return "a relocation is of a kind that is not known";
}
