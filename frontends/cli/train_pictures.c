/* Pictures of digits: the scans that Tenon's examples come with, and MNIST.
 *
 * in:  a CSV file of 8x8 scans; or a folder with MNIST's four IDX files, plain or gzip
 * out: datasets "x", f32[1, side, side] from 0 to 1, and "y", i64[]; a convolutional network
 */
#include "frontends/cli/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CLASSES = 10, PATH_BYTES = 4096 };

static tn_model *describe(const char *name, int64_t side) {
    static const int64_t filters[] = {16, 32, 64};
    tn_model *m = tn_model_new(name, NULL);
    tn_val x = tn_model_input(m, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(1), TN_SIZE(side), TN_SIZE(side)));
    tn_val y = tn_model_target(m, "y", TN_I64, TN_SHAPE(TN_DIM("n"))), h = x;
    for (int i = 0; i < 3; i++) {
        h = tn_nn_conv2d(m, h, .filters = filters[i], .kernel = {3, 3}, .padding = "same", .activation = "relu");
        if (i > 0) h = tn_nn_max_pool(m, h, .window = {2, 2});
    }
    h = tn_nn_dropout(m, tn_nn_flatten(m, h), .rate = 0.4);
    tn_val scores = tn_nn_dense(m, h, .units = CLASSES);
    tn_model_output(m, "scores", scores);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", scores, y, .label_smoothing = 0.1));
    tn_model_metric(m, "accuracy", scores, y);
    return m;
}

/* Squares of pixels from 0 to `white` become f32[1, side, side] from 0 to 1. */
static tn_status as_pictures(tn_dataset *d, int64_t side, double white, tn_diag *diag) {
    const int64_t shape[] = {1, side, side};
    tn_status status = tn_dataset_convert(d, "x", TN_F32, 0, 1 / white, diag);
    if (status == TN_OK) status = tn_dataset_reshape(d, "x", 3, shape, diag);
    if (status == TN_OK) status = tn_dataset_convert(d, "y", TN_I64, 0, 1, diag);
    return status;
}

static int open_model(training *t, int64_t side) {
    t->model = describe(t->example->name, side);
    return t->model ? EXIT_DONE : report_text(t->path, "out of memory");
}

/* ---- The digits of the examples ------------------------------------------------------------------------- */

/* Where the file is, as seen from the program: installed, or built in a folder of the sources. */
static bool find_digits(char path[PATH_BYTES]) {
    static const char *const places[] = {"../share/tenon/digits.csv.gz", "../docs/examples/data/digits.csv.gz",
                                         "../../docs/examples/data/digits.csv.gz"};
    char program[PATH_BYTES / 2];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) return false;
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash) slash[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, PATH_BYTES, "%s%s", program, places[i]);
        if (access(path, R_OK) == 0) return true;
    }
    return false;
}

int train_open_digits(training *t) {
    enum { SIDE = 8, INK = 16 };
    char path[PATH_BYTES];
    tn_dataset *all;
    tn_diag diag = {0};
    if (t->a->n_operands < 2 && !find_digits(path))
        return report_text(NULL, "digits.csv.gz is not where it was installed: tenon train digits FILE tells where");
    const char *file = t->a->n_operands < 2 ? path : t->a->operands[1];
    if (tn_dataset_csv(file, &(tn_csv_options){.label = -1}, &all, &diag) != TN_OK) return report(file, &diag);
    if (as_pictures(all, SIDE, INK, &diag) != TN_OK) {
        tn_dataset_free(all);
        return report(file, &diag);
    }
    int status = train_split(t, all, false);
    return status ? status : open_model(t, SIDE);
}

/* ---- MNIST ------------------------------------------------------------------------------------------------ */

/* DIR/train-images-idx3-ubyte, as it is called there. */
static int find_idx(const char *folder, const char *part, int rank, char path[PATH_BYTES]) {
    static const char *const spellings[] = {"%s/%s-idx%d-ubyte", "%s/%s-idx%d-ubyte.gz", "%s/%s.idx%d-ubyte",
                                            "%s/%s.idx%d-ubyte.gz"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        int n = snprintf(path, PATH_BYTES, spellings[i], folder, part, rank);
        if (n > 0 && n < PATH_BYTES && access(path, F_OK) == 0) return EXIT_DONE;
    }
    return report_text(folder, "has no file %s-idx%d-ubyte, plain or .gz", part, rank);
}

static int open_part(training *t, const char *part, tn_dataset **d, int64_t *side) {
    char name[40], images[PATH_BYTES], labels[PATH_BYTES];
    tn_diag diag = {0};
    snprintf(name, sizeof name, "%s-images", part);
    int status = find_idx(t->path, name, 3, images);
    snprintf(name, sizeof name, "%s-labels", part);
    if (!status) status = find_idx(t->path, name, 1, labels);
    if (status) return status;
    if (tn_dataset_idx(images, labels, d, &diag) != TN_OK) return report(images, &diag);
    const tn_field *x = tn_dataset_field(*d, tn_dataset_find_field(*d, "x"));
    bool is_square = x->rank == 2 && x->shape[0] == x->shape[1] && x->shape[0] >= 4;
    if (is_square && *side > 0 && x->shape[0] != *side)
        status = report_text(images, "has pictures of another size than those for training");
    else if (!is_square)
        status = report_text(images, "has no square pictures of at least 4 x 4");
    else if (as_pictures(*d, *side = x->shape[0], 255, &diag) != TN_OK)
        status = report(images, &diag);
    if (status) tn_dataset_free(*d);
    if (status) *d = NULL;
    return status;
}

/* The test files are the validation, unless a share of the others is asked for. */
int train_open_mnist(training *t) {
    int64_t side = 0;
    tn_dataset *all;
    int status = open_part(t, "train", &all, &side);
    if (!status) status = train_split(t, all, false);
    if (!status && !GIVEN(t->a, validation)) status = open_part(t, "t10k", &t->validation, &side);
    return status ? status : open_model(t, side);
}
