/* Arguments and reports (see start.h). */
#include "benchmarks/start/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

_Noreturn void start_fail(const char *message) {
    fprintf(stderr, "start: %s\n", message);
    exit(1);
}

static void read_data(start_work *w, const char *path) {
    size_t n = 1;
    for (int i = 0; i < w->rank; i++) n *= (size_t)w->dims[i];
    w->bytes = n * sizeof *w->data;
    w->data = malloc(w->bytes);
    FILE *file = fopen(path, "rb");
    if (!file || !w->data || fread(w->data, 1, w->bytes, file) != w->bytes) start_fail("the input cannot be read");
    fclose(file);
}

start_work start_read(int argc, char **argv) {
    if (argc < 6) start_fail("usage: PROGRAM MODEL INPUT DIMS FILE OUTPUT");
    start_work w = {.model = argv[1], .input = argv[2], .output = argv[5]};
    for (char *at = argv[3]; *at && w.rank < START_MOST_RANK; at += *at == 'x') w.dims[w.rank++] = strtoll(at, &at, 10);
    read_data(&w, argv[4]);
    return w;
}

void start_tell(const float *output, size_t n) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%lld", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    for (size_t i = 0; i < n && i < 8; i++) printf(" %.9g", (double)output[i]);
    printf("\n");
}
