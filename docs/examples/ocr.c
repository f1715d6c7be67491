/* Reads the text of a picture with the PP-OCRv4 recogniser, compiled once for lines of every width.
 *
 *     ocr MODEL.onnx PAGE.png
 *
 * out: for each line of text: what it says, a tab, how sure that is (0 to 1), a tab, milliseconds.
 *      Other lines begin with '#'. Exit status 1 and a message on stderr when something is wrong.
 *
 * The page is split into lines where its rows have no ink, each line is brought to a height of 48
 * pixels, and the network gives the probability of each character at each of some dozen steps along it.
 */
#include "tenon.h"
#include "tenon_onnx.h"

#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    INK = 128,        /* pixels darker than this are ink */
    GAP = 3,          /* rows without ink that end a line */
    LEAST_ROWS = 8,   /* of a line; less is dirt */
    MARGIN = 4,       /* pixels left around a line */
    LINE_HEIGHT = 48, /* that the network wants */
};

typedef struct page {
    int width, height;
    unsigned char *gray;
} page;

/* A part of the page, right and bottom exclusive. */
typedef struct box {
    int left, top, right, bottom;
} box;

/* ---- Finding lines ---- */

static int is_ink(const page *p, int x, int y) {
    return p->gray[(size_t)y * (size_t)p->width + (size_t)x] < INK; /* NOLINT: the analyser loses stb_image's sizes */
}

static int row_has_ink(const page *p, int y) {
    for (int x = 0; x < p->width; x++)
        if (is_ink(p, x, y)) return 1;
    return 0;
}

static int column_has_ink(const page *p, int x, int top, int bottom) {
    for (int y = top; y < bottom; y++)
        if (is_ink(p, x, y)) return 1;
    return 0;
}

static int at_least(int x, int least) { return x < least ? least : x; }
static int at_most(int x, int most) { return x > most ? most : x; }

/* The columns of the line in rows [top, bottom), with a margin on all sides. */
static box line_box(const page *p, int top, int bottom) {
    int left = 0, right = p->width;
    while (left < right && !column_has_ink(p, left, top, bottom)) left++;
    while (right > left && !column_has_ink(p, right - 1, top, bottom)) right--;
    return (box){at_least(left - MARGIN, 0), at_least(top - MARGIN, 0), at_most(right + MARGIN, p->width),
                 at_most(bottom + MARGIN, p->height)};
}

/* The next line of text from row *y on; false at the end of the page. */
static int next_line(const page *p, int *y, box *line) {
    while (*y < p->height) {
        int top = *y, bottom = 0, gap = 0;
        while (top < p->height && !row_has_ink(p, top)) top++;
        for (*y = top; *y < p->height && gap < GAP; ++*y) {
            gap = row_has_ink(p, *y) ? 0 : gap + 1;
            if (gap == 0) bottom = *y + 1;
        }
        if (bottom - top >= LEAST_ROWS) {
            *line = line_box(p, top, bottom);
            return 1;
        }
    }
    return 0;
}

/* ---- What the network gets ---- */

/* Element i of an axis resized from `old` to `new` elements lies between elements *from and *from + 1. */
static double resized_place(int i, int old, int new, int *from) {
    double s = (i + 0.5) * old / new - 0.5;
    s = s < 0 ? 0 : s > old - 1 ? old - 1 : s;
    *from = (int)floor(s);
    return s - *from;
}

static double interpolated_row(const page *p, const box *b, int y, int x0, double fx) {
    int x1 = at_most(x0 + 1, b->right - b->left - 1);
    const unsigned char *row = p->gray + (size_t)(b->top + y) * (size_t)p->width + b->left;
    return row[x0] * (1 - fx) + row[x1] * fx;
}

static int line_width(const box *b) {
    return at_least((int)floor((double)(b->right - b->left) * LINE_HEIGHT / (b->bottom - b->top) + 0.5), 1);
}

/* f32[1, 3, 48, width] in [-1, 1], bilinear; NULL: no memory. */
static float *line_pixels(const page *p, const box *b, int width) {
    size_t plane = (size_t)LINE_HEIGHT * (size_t)width;
    float *out = malloc(3 * plane * sizeof *out);
    for (int y = 0; out && y < LINE_HEIGHT; y++) {
        int y0, x0;
        double fy = resized_place(y, b->bottom - b->top, LINE_HEIGHT, &y0);
        int y1 = at_most(y0 + 1, b->bottom - b->top - 1);
        for (int x = 0; x < width; x++) {
            double fx = resized_place(x, b->right - b->left, width, &x0);
            double gray = interpolated_row(p, b, y0, x0, fx) * (1 - fy) + interpolated_row(p, b, y1, x0, fx) * fy;
            out[(size_t)y * (size_t)width + (size_t)x] = (float)((gray / 255 - 0.5) / 0.5);
        }
    }
    for (int channel = 1; out && channel < 3; channel++)
        memcpy(out + (size_t)channel * plane, out, plane * sizeof *out);
    return out;
}

/* ---- What the network says ---- */

/* Class k in 1..n is the k-th line of the model's list of characters, the last class a space. */
static void print_class(const char *characters, int64_t k, int64_t n_classes) {
    if (k == n_classes - 1) {
        putchar(' ');
        return;
    }
    for (; k > 1 && characters; k--) {
        characters = strchr(characters, '\n');
        characters = characters ? characters + 1 : NULL;
    }
    if (characters) printf("%.*s", (int)strcspn(characters, "\n"), characters);
}

/* The most probable class of each step; repeats and "nothing" (class 0) are dropped. */
static void print_text(const tn_tensor *steps, const char *characters, double ms) {
    int64_t n = steps->shape[2], before = 0, kept = 0;
    double sum = 0;
    for (int64_t t = 0; t < steps->shape[1]; t++) {
        const float *p = (const float *)steps->data + t * n;
        int64_t best = 0;
        for (int64_t k = 1; k < n; k++)
            if (p[k] > p[best]) best = k;
        if (best != 0 && best != before) {
            print_class(characters, best, n);
            sum += (double)p[best];
            kept++;
        }
        before = best;
    }
    printf("\t%.4f\t%.2f\n", kept ? sum / (double)kept : 0, ms);
}

/* ---- The program ---- */

static double now_ms(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int complain(const char *about, const char *message) {
    fprintf(stderr, "%s: error: %s\n", about, message);
    return EXIT_FAILURE;
}

static int read_line(const page *p, const box *b, tn_exec *exec, const char *characters) {
    int width = line_width(b);
    float *pixels = line_pixels(p, b, width);
    if (!pixels) return complain("ocr", "out of memory");
    tn_tensor input = TN_TENSOR(TN_F32, pixels, 1, 3, LINE_HEIGHT, width), output = {0};
    double start = now_ms();
    tn_status status = tn_exec_run(exec, &input, 1, &output, 1);
    if (status == TN_OK) print_text(&output, characters, now_ms() - start);
    free(pixels);
    return status == TN_OK ? EXIT_SUCCESS : complain("ocr", tn_exec_error(exec)->message);
}

static int read_page(const page *p, tn_program *program, tn_pool *pool, const char *characters) {
    tn_exec *exec = tn_exec_new(program, &(tn_exec_options){.pool = pool});
    if (!exec) return complain("ocr", "out of memory");
    int status = EXIT_SUCCESS, y = 0, lines = 0;
    double start = now_ms();
    for (box line; status == EXIT_SUCCESS && next_line(p, &y, &line); lines++)
        status = read_line(p, &line, exec, characters);
    printf("# %d lines in %.1f ms\n", lines, now_ms() - start);
    tn_exec_free(exec);
    return status;
}

/* The model fits the page when it takes one picture of any width and gives steps of classes. */
static int is_recogniser(const tn_program *p) {
    return tn_program_n_inputs(p) == 1 && tn_program_n_outputs(p) == 1 && tn_program_input(p, 0)->rank == 4 &&
           tn_program_output(p, 0)->rank == 3 && tn_program_output(p, 0)->dtype == TN_F32;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: ocr MODEL.onnx PAGE.png\n");
        return 2;
    }
    page p = {0};
    p.gray = stbi_load(argv[2], &p.width, &p.height, NULL, 1);
    if (!p.gray) return complain(argv[2], stbi_failure_reason());

    double start = now_ms();
    tn_pool *pool = tn_pool_new(0);
    tn_module *model = tn_onnx_load(argv[1], NULL);
    double loaded = now_ms();
    tn_program *program = model && pool ? tn_compile_module(model, &(tn_compile_options){.pool = pool}) : NULL;
    int status = EXIT_FAILURE;
    if (!program)
        complain(argv[1], model && tn_module_error(model) ? tn_module_error(model)->message : "out of memory");
    else if (!is_recogniser(program) || !tn_onnx_metadata(model, "character"))
        complain(argv[1], "is no text recogniser with a list of characters");
    else {
        printf("# read the model in %.1f ms, compiled %d kernels once in %.1f ms; %d threads\n", loaded - start,
               tn_program_n_kernels(program), now_ms() - loaded, (int)tn_pool_workers(pool));
        printf("# text, confidence, milliseconds\n");
        status = read_page(&p, program, pool, tn_onnx_metadata(model, "character"));
    }
    tn_program_free(program);
    tn_module_free(model);
    tn_pool_free(pool);
    stbi_image_free(p.gray);
    return status;
}
