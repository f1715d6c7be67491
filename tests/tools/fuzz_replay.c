/* Runs a fuzz target over kept inputs, without a fuzzing engine.
 *
 * in:  files named on the command line
 * out: one TAP line a file; a crash or a sanitizer report ends the program, naming the file before
 * law: linked with one tests/fuzz/NAME.c, which defines LLVMFuzzerTestOneInput
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The content of a file in memory of exactly its size, so that reading past it is seen. */
static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    uint8_t *data = NULL;
    long end = -1;
    if (fseek(file, 0, SEEK_END) == 0) end = ftell(file);
    if (end >= 0 && fseek(file, 0, SEEK_SET) == 0) data = malloc(end > 0 ? (size_t)end : 1);
    if (data && fread(data, 1, (size_t)end, file) != (size_t)end) {
        free(data);
        data = NULL;
    }
    fclose(file);
    *size = data ? (size_t)end : 0;
    return data;
}

int main(int argc, char **argv) {
    printf("1..%d\n", argc - 1);
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        size_t size = 0;
        uint8_t *data = read_file(argv[i], &size);
        if (data) {
            fprintf(stderr, "%s\n", argv[i]);
            LLVMFuzzerTestOneInput(data, size);
        }
        printf("%sok %d - %s\n", data ? "" : "not ", i, argv[i]);
        fflush(stdout);
        failed |= !data;
        free(data);
    }
    return failed;
}
