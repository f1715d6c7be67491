/* A user's program for the object that tests/aot_entry.c makes: calls it rightly and wrongly, and checks what comes back.
 *
 * Compiled as C99, C11 and C++17 with all warnings. Prints what was wrong, or "fine".
 */
#include "entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s\n", __LINE__, #condition);                                                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { N = 6, K = 3 };

static float x[N * 4], cache[N * 2], p[N * 2], g[K * 2];
static int64_t i[K];
static entry_state state;
static char memory[1 << 16];

static void *arena(void) { return memory + (64 - (uintptr_t)memory % 64); }

static entry_inputs good_inputs(void) {
    entry_inputs in;
    in.x = x;
    in.i = i;
    return in;
}

static entry_outputs good_outputs(void) {
    entry_outputs out;
    out.p = p;
    out.g = g;
    return out;
}

static int run(int64_t n, const entry_inputs *in, const entry_outputs *out, void *memory_of_run) {
    return entry_run(n, K, &state, in, 0.5f, out, memory_of_run);
}

static void check_code(int code, int kind, const char *words) {
    if ((code & ENTRY_ERR_MASK) == kind && strstr(entry_message(code), words)) return;
    printf("code %d, kind %d: \"%s\" does not say \"%s\"\n", code, kind, entry_message(code), words);
    exit(1);
}

/* Each wrong argument has a code of its own, and changes nothing. */
static void test_wrong_arguments(void) {
    entry_inputs in = good_inputs();
    entry_outputs out = good_outputs();
    memset(p, 0x11, sizeof p);
    check_code(run(N, NULL, &out, arena()), ENTRY_ERR_POINTER, "inputs is NULL");
    check_code(run(N, &in, NULL, arena()), ENTRY_ERR_POINTER, "outputs is NULL");
    check_code(run(N, &in, &out, NULL), ENTRY_ERR_POINTER, "arena");
    check_code(run(N, &in, &out, (char *)arena() + 32), ENTRY_ERR_POINTER, "arena is NULL or not aligned to 64 bytes");
    check_code(entry_run(N, K, NULL, &in, 0.5f, &out, arena()), ENTRY_ERR_POINTER, "state is NULL");
    in.x = NULL;
    check_code(run(N, &in, &out, arena()), ENTRY_ERR_POINTER, "inputs->x is NULL or not aligned to 4 bytes");
    in.x = (const float *)((const char *)(const void *)x + 2);
    check_code(run(N, &in, &out, arena()), ENTRY_ERR_POINTER, "inputs->x");
    in = good_inputs();
    out.g = NULL;
    check_code(run(N, &in, &out, arena()), ENTRY_ERR_POINTER, "outputs->g");
    out = good_outputs();
    check_code(run(-1, &in, &out, arena()), ENTRY_ERR_SIZE, "n must be at least 2 and at most 1000000");
    check_code(run(1, &in, &out, arena()), ENTRY_ERR_SIZE, "n must be at least 2");
    check_code(run(INT64_MAX, &in, &out, arena()), ENTRY_ERR_SIZE, "n must be");
    check_code(run(5, &in, &out, arena()), ENTRY_ERR_SIZE, "a multiple of 2");
    for (size_t at = 0; at < sizeof p; at++) CHECK(((const char *)(const void *)p)[at] == 0x11);
}

static void test_codes_that_are_none(void) {
    CHECK(strcmp(entry_message(0), "done") == 0);
    CHECK(strcmp(entry_message(-1), "unknown code") == 0);
    CHECK(strcmp(entry_message(INT32_MAX), "unknown code") == 0);
    CHECK(strcmp(entry_message(INT32_MIN), "unknown code") == 0);
}

static void test_arena_bytes(void) {
    CHECK(entry_arena_bytes(N, K) <= sizeof memory - 64);
    CHECK(entry_arena_bytes(2 * N, K) >= entry_arena_bytes(N, K));
    CHECK(entry_arena_bytes_of(N, K, 4) > entry_arena_bytes(N, K));
    CHECK(entry_arena_bytes(INT64_MAX, K) == SIZE_MAX);
    CHECK(entry_arena_bytes(INT64_MAX / 3, K) == SIZE_MAX);
    CHECK(entry_arena_bytes(-1, K) == SIZE_MAX);
    CHECK(entry_arena_bytes_of(N, K, 0) == SIZE_MAX);
}

/* The state is what entry_init says, then what runs make of it. */
static void test_run(void) {
    entry_inputs in = good_inputs();
    entry_outputs out = good_outputs();
    state.cache = cache;
    memset(state.count, 0, sizeof state.count);
    for (int step = 1; step <= 3; step++) {
        int code = run(N, &in, &out, arena());
        CHECK(code == ENTRY_OK);
        CHECK(state.count[0] == step && state.count[2] == step);
        for (int k = 0; k < N; k++) CHECK(p[2 * k] + p[2 * k + 1] > 0.999f && p[2 * k] + p[2 * k + 1] < 1.001f);
        for (int k = 0; k < K; k++) CHECK(memcmp(&g[2 * k], &p[2 * i[k]], 2 * sizeof *g) == 0);
        CHECK(cache[0] == (float)step * 0.5f * p[0]);
    }
    i[1] = N;
    int code = run(N, &in, &out, arena());
    check_code(code, ENTRY_ERR_INDEX, "gather: an index is out of range");
    check_code(code, ENTRY_ERR_INDEX, "entry.tn:8"); /* where it is in the model */
    CHECK(memcmp(&g[2], &p[2 * (N - 1)], 2 * sizeof *g) == 0);
    i[1] = 1;
}

/* ---- Threads ---- */

static int64_t n_chunks;

/* The last chunk first, each as another worker. */
static void backwards(void *context, int64_t chunks, void (*body)(void *arg, int64_t chunk, int32_t worker),
                      void *arg) {
    CHECK(context == (void *)memory);
    n_chunks += chunks;
    for (int64_t chunk = chunks; chunk-- > 0;) body(arg, chunk, (int32_t)(chunk % 3));
}

static void test_threads(void) {
    enum { MANY = 40000 };
    entry_threads threads;
    entry_inputs in = good_inputs();
    entry_outputs out = good_outputs();
    float *large = (float *)calloc(MANY, 4 * sizeof *large), *large_cache = (float *)calloc(MANY, 2 * sizeof *large),
          *one = (float *)calloc(MANY, 2 * sizeof *one), *several = (float *)calloc(MANY, 2 * sizeof *several);
    char *room = (char *)malloc(entry_arena_bytes_of(MANY, K, 3) + 64);
    CHECK(large && large_cache && one && several && room);
    void *aligned = room + (64 - (uintptr_t)room % 64);
    for (int at = 0; at < MANY * 4; at++) large[at] = (float)(at % 17) / 4;
    in.x = large;
    state.cache = large_cache;
    threads.context = memory;
    threads.parallel_for = backwards;
    threads.workers = 3;
    out.p = one;
    CHECK(entry_run(MANY, K, &state, &in, 0.5f, &out, aligned) == ENTRY_OK);
    out.p = several;
    CHECK(entry_run_threads(MANY, K, &state, &in, 0.5f, &out, aligned, &threads) == ENTRY_OK);
    CHECK(n_chunks > 1);
    CHECK(memcmp(one, several, MANY * 2 * sizeof *one) == 0);
    threads.workers = 0;
    check_code(entry_run_threads(MANY, K, &state, &in, 0.5f, &out, aligned, &threads), ENTRY_ERR_POINTER, "workers");
    free(large);
    free(large_cache);
    free(one);
    free(several);
    free(room);
}

int main(void) {
    for (int at = 0; at < N * 4; at++) x[at] = (float)(at * 7 % 13 - 6) / 4;
    for (int at = 0; at < K; at++) i[at] = (at * 2) % N;
    state.cache = cache;
    test_wrong_arguments();
    test_codes_that_are_none();
    test_arena_bytes();
    test_run();
    test_threads();
    printf("fine\n");
    return 0;
}
