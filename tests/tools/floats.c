/* Files of f32 numbers, for scripts.
 *
 *   floats make N SEED FILE           N numbers from -1 to 1
 *   floats compare A B TOLERANCE      exit status 0: none differs by more than TOLERANCE of the largest magnitude in A;
 *                                     prints by how much
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make(long n, uint64_t state, const char *path) {
    FILE *f = fopen(path, "wb");
    for (long i = 0; f && i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        float x = (float)(state >> 40) / 0x1p23f - 1;
        if (fwrite(&x, sizeof x, 1, f) != 1) return 1;
    }
    return !f || fclose(f) != 0;
}

static int compare_files(FILE *f, FILE *g, double tolerance) {
    float x, y;
    double most = 0, largest = 0;
    long n = 0;
    for (; fread(&x, sizeof x, 1, f) == 1; n++) {
        if (fread(&y, sizeof y, 1, g) != 1) return 1;
        if (isnan(x) != isnan(y)) return 1;
        if (isnan(x)) continue;
        most = fmax(most, fabs((double)x - (double)y));
        largest = fmax(largest, fabs((double)x));
    }
    if (fread(&y, sizeof y, 1, g) == 1 || n == 0) return 1;
    printf("%.1e of %.3g\n", largest > 0 ? most / largest : most, largest);
    return !(most <= tolerance * largest);
}

static int compare(const char *one, const char *other, double tolerance) {
    FILE *f = fopen(one, "rb"), *g = fopen(other, "rb");
    int status = f && g ? compare_files(f, g, tolerance) : 1;
    if (f) fclose(f);
    if (g) fclose(g);
    return status;
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "make") == 0)
        return make(strtol(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), argv[4]);
    if (argc == 5 && strcmp(argv[1], "compare") == 0) return compare(argv[2], argv[3], strtod(argv[4], NULL));
    fputs("usage: floats make N SEED FILE | compare A B TOLERANCE\n", stderr);
    return 2;
}
