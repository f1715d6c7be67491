/* What a program that has a model in it holds in memory once it has run it; without NAME: what one without a model holds.
 *
 *     cc -DHEADER='"mlp.h"' -DNAME=mlp -DARENA=MLP_ARENA_BYTES -DINPUT=x -DINPUTS=784 -DOUTPUT=probs -DOUTPUTS=10 ...
 *
 * out: bytes that are resident now (nothing was given back, so they were never more), and the system's record of the most,
 *      which it keeps to some pages a CPU
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef NAME
#include HEADER
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

static float input[INPUTS], output[OUTPUTS];
static _Alignas(64) unsigned char arena[ARENA];

static int run(void) {
    for (int i = 0; i < INPUTS; i++) input[i] = (float)(i % 17) / 17;
    JOIN(NAME, _inputs) in = {.INPUT = input};
    JOIN(NAME, _outputs) out = {.OUTPUT = output};
    return JOIN(NAME, _run)(&in, &out, arena);
}
#else
static int run(void) { return 0; }
#endif

/* Kibibytes behind a word of a file of /proc. */
static long read_number(const char *path, const char *word) {
    static char text[8192];
    int f = open(path, O_RDONLY);
    ssize_t n = f < 0 ? 0 : read(f, text, sizeof text - 1);
    close(f);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, word);
    return at ? strtol(at + strlen(word), NULL, 10) : -1;
}

int main(void) {
    int code = run();
    printf("%ld %ld\n", 1024 * read_number("/proc/self/smaps_rollup", "\nRss:"),
           1024 * read_number("/proc/self/status", "\nVmHWM:"));
    return code;
}
