/* Calls the compiled program that it is linked with, knowing the frame (tenon_rt.h) and nothing else of Tenon.
 *
 *   frame_driver CALLS RESULTS
 *
 * in:  entries m_bind and m_run, and m_prepare_bind and m_prepare_run of a program that packs weights. CALLS, which
 *      tests/lib/object_run.c writes, in words of 8 bytes of this machine:
 *        the number of buffers; of each its bytes, whether its data are given, and these, filled up to words
 *        the call of prepare, then that of the program: how many symbols, inputs, outputs, weights and dims it
 *        has; values of the symbols; numbers of the buffers that are inputs, outputs, weights
 * out: RESULTS: the dims that m_bind says, then the bytes of each output. Exit status 1 with a line on stderr where
 *      an entry reports an error, or wrote behind a buffer
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenon_rt.h"

int32_t m_bind(const int64_t *symbols, int64_t *bound);
int32_t m_run(const tn_frame *frame);
__attribute__((weak)) int32_t m_prepare_bind(const int64_t *symbols, int64_t *bound);
__attribute__((weak)) int32_t m_prepare_run(const tn_frame *frame);

/* tn_frame as it lies on every target: as on one of 64 bits, whose pointers are words. */
typedef struct wide_frame {
    uint32_t version, size;
    uint64_t inputs, outputs, weights, arena, scratch, symbols, status;
    int32_t workers, reserved;
    uint64_t hooks;
} wide_frame;

/* Behind each buffer lie FENCE bytes that nobody may change. */
enum { WORD = 8, FENCE = 256, FENCE_BYTE = 0xa5, ALIGNMENT = 64 };

typedef struct buffer {
    char *data;
    size_t bytes;
} buffer;

static _Noreturn void die(const char *what, long long number) {
    fprintf(stderr, "frame_driver: %s %lld\n", what, number);
    exit(1);
}

/* Not every libc has aligned_alloc. */
static void *allocate(size_t bytes) {
    char *p = malloc(bytes + ALIGNMENT);
    if (!p) die("no memory of bytes:", (long long)bytes);
    return p + (ALIGNMENT - (uintptr_t)p % ALIGNMENT);
}

static uint64_t word_of(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

/* ---- Buffers ---- */

static void make_buffer(buffer *b, size_t bytes) {
    b->data = allocate(bytes + FENCE);
    b->bytes = bytes;
    memset(b->data, FENCE_BYTE, bytes + FENCE);
}

static void check_fence(const buffer *b, const char *what, long long number) {
    for (size_t i = 0; i < FENCE; i++)
        if ((unsigned char)b->data[b->bytes + i] != FENCE_BYTE) die(what, number);
}

static void read_bytes(FILE *f, void *to, size_t bytes) {
    if (fread(to, 1, bytes, f) != bytes) die("the calls end within bytes:", (long long)bytes);
}

static int64_t read_word(FILE *f) {
    int64_t word;
    read_bytes(f, &word, WORD);
    return word;
}

static buffer *read_buffers(FILE *f, int64_t n) {
    buffer *all = allocate((size_t)n * sizeof *all);
    for (int64_t i = 0; i < n; i++) {
        char gap[WORD];
        make_buffer(&all[i], (size_t)read_word(f));
        if (!read_word(f)) continue;
        read_bytes(f, all[i].data, all[i].bytes);
        read_bytes(f, gap, (WORD - all[i].bytes % WORD) % WORD);
    }
    return all;
}

/* ---- Calls ---- */

typedef struct call {
    int64_t n_outputs, n_dims;
    int64_t *symbols, *outputs, *bound;
    uint64_t *pointers[3]; /* of inputs, outputs, weights: words */
} call;

static call read_call(FILE *f, const buffer *buffers) {
    call c;
    int64_t n_symbols = read_word(f), n[3] = {read_word(f), read_word(f), read_word(f)};
    c.n_outputs = n[1];
    c.n_dims = read_word(f);
    c.symbols = allocate((size_t)n_symbols * WORD);
    c.outputs = allocate((size_t)c.n_outputs * WORD);
    c.bound = allocate((size_t)(TN_BOUND_DIMS + c.n_dims) * WORD);
    read_bytes(f, c.symbols, (size_t)n_symbols * WORD);
    for (int list = 0; list < 3; list++) {
        c.pointers[list] = allocate((size_t)n[list] * WORD);
        for (int64_t i = 0; i < n[list]; i++) {
            int64_t number = read_word(f);
            if (list == 1) c.outputs[i] = number;
            c.pointers[list][i] = word_of(buffers[number].data);
        }
    }
    return c;
}

static void make_call(call *c, tn_bind_fn bind, tn_run_fn run) {
    buffer arena, scratch;
    uint64_t status[ALIGNMENT / WORD] = {TN_STATUS_CLEAR};
    int32_t failed = bind(c->symbols, c->bound);
    if (failed) die("bind:", failed);
    make_buffer(&arena, (size_t)c->bound[TN_BOUND_ARENA_BYTES]);
    make_buffer(&scratch, (size_t)c->bound[TN_BOUND_SCRATCH_BYTES]);
    wide_frame frame = {.version = TN_FRAME_VERSION,
                        .size = sizeof frame,
                        .inputs = word_of(c->pointers[0]),
                        .outputs = word_of(c->pointers[1]),
                        .weights = word_of(c->pointers[2]),
                        .arena = word_of(arena.data),
                        .scratch = word_of(scratch.data),
                        .symbols = word_of(c->symbols),
                        .status = word_of(status),
                        .workers = 1};
    failed = run((const tn_frame *)&frame);
    if (failed) die("run: check of the frame", failed);
    if (status[0] != TN_STATUS_CLEAR) die("run: status of site", (long long)(status[0] >> TN_STATUS_INDEX_BITS));
    check_fence(&arena, "run: stored behind the arena of bytes", (long long)arena.bytes);
    check_fence(&scratch, "run: stored behind the scratch of bytes", (long long)scratch.bytes);
}

int main(int argc, char **argv) {
    FILE *calls = argc == 3 ? fopen(argv[1], "rb") : NULL, *results = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (!calls || !results) die("usage: frame_driver CALLS RESULTS, not", argc);
    int64_t n_buffers = read_word(calls);
    buffer *buffers = read_buffers(calls, n_buffers);
    call prepare = read_call(calls, buffers), run = read_call(calls, buffers);
    if (m_prepare_run) make_call(&prepare, m_prepare_bind, m_prepare_run);
    make_call(&run, m_bind, m_run);
    for (int64_t i = 0; i < n_buffers; i++) check_fence(&buffers[i], "stored behind buffer", (long long)i);
    fwrite(run.bound + TN_BOUND_DIMS, WORD, (size_t)run.n_dims, results);
    for (int64_t i = 0; i < run.n_outputs; i++) {
        const buffer *b = &buffers[run.outputs[i]];
        fwrite(b->data, 1, b->bytes, results);
    }
    if (fclose(results) != 0) die("no results written", 0);
    return 0;
}
