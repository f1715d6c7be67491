/* Training steps ahead of time: what `tenon train --step` and `tenon compile` make of each example is linked with a
 * plain C program by `cc main.c NAME.o`, and takes the same steps on the same batches as a trainer in this process:
 * losses, norms of gradients and at the end all states are the same bit for bit.
 *
 * Needs $TENON (default build/tenon) and $CC (default cc).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontends/cli/train.h"
#include "frontends/nn/trainer.h"
#include "tenon_aot.h"

enum { STEPS = 6, PATH = 600, MOST_BATCH = 4 };

static char folder[] = "/tmp/tenon-aot-train-XXXXXX", root[PATH];
static const char *tenon_program, *compiler;

/* ---- Files and commands ---- */

static const char *in_folder(const char *name) {
    static char paths[4][PATH];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

static FILE *create(const char *name) {
    FILE *f = fopen(in_folder(name), "wb");
    if (!f) fail_msg("%s/%s cannot be written", folder, name);
    return f;
}

static void __attribute__((format(printf, 1, 2))) run_command(const char *format, ...) {
    char command[3 * PATH], line[4 * PATH], text[4000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "cd '%s' && { %s; } 2>&1", folder, command);
    FILE *f = popen(line, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (!f || pclose(f) != 0) fail_msg("%s\n%s", command, text);
}

/* ---- The trainer in this process ---- */

/* One batch: for each input and target of the model what lies at rows first, first + 1, ... of the data. */
static void read_batch(const training *t, int64_t first, tn_tensor batch[MOST_BATCH]) {
    tn_diag diag = {0};
    for (int i = 0; i < t->trainer->n_batch; i++) {
        const char *name = t->fields[0] ? t->fields[i] : nn_batch_name(t->trainer, i);
        int number = tn_dataset_find_field(t->data, name);
        assert_true(number >= 0 && i < MOST_BATCH);
        const tn_field *field = tn_dataset_field(t->data, number);
        int64_t shape[TN_MAX_RANK] = {t->batch}, elements = 1;
        for (int axis = 0; axis < field->rank; axis++) elements *= shape[axis + 1] = field->shape[axis];
        batch[i] = tn_tensor_of(field->dtype, NULL, field->rank + 1, shape);
        size_t bytes = (size_t)elements * tn_dtype_bits(field->dtype) / 8;
        char *rows = calloc((size_t)t->batch, bytes);
        for (int64_t row = 0; row < t->batch; row++) {
            int64_t from = (first + row) % tn_dataset_count(t->data);
            if (tn_dataset_read(t->data, number, from, rows + (size_t)row * bytes, &diag) != TN_OK)
                fail_msg("%s", diag.message);
        }
        batch[i].data = rows;
    }
}

static void put(FILE *f, const void *data, size_t bytes) {
    if (!data || fwrite(data, 1, bytes, f) != bytes) fail_msg("a file cannot be written");
}

static void put_tensor(FILE *f, const tn_tensor *t) { put(f, t->data, (size_t)tn_tensor_bytes(t)); }

/* Steps, and for each what the other program needs and has to find: rate, batch, loss, norm. Then all states. */
static void record_steps(training *t, const char *name, char *const *states, int n_states) {
    FILE *f = create(name);
    for (int64_t step = 0; step < STEPS; step++) {
        tn_tensor batch[MOST_BATCH] = {{0}};
        tn_step_report report;
        read_batch(t, step * t->batch, batch);
        if (tn_trainer_step(t->trainer, batch, t->trainer->n_batch, &report) != TN_OK)
            fail_msg("%s", tn_trainer_error(t->trainer)->message);
        float told[2] = {(float)report.loss, (float)report.gradient_norm};
        put(f, &report.learning_rate, sizeof report.learning_rate);
        for (int i = 0; i < t->trainer->n_batch; i++) {
            put_tensor(f, &batch[i]);
            free(batch[i].data);
        }
        put(f, told, sizeof told);
    }
    for (int i = 0; i < tn_trainer_n_states(t->trainer); i++) {
        tn_tensor state;
        const char *own = tn_trainer_state(t->trainer, i, &state);
        for (int k = 0; k < n_states; k++)
            if (strcmp(states[k], own) == 0) put_tensor(f, &state);
    }
    assert_int_equal(fclose(f), 0);
}

/* ---- The program that has the object ---- */

static void print_identifier(FILE *f, const char *name) {
    for (; *name; name++) fputc(*name == '.' || *name == '/' || *name == ':' ? '_' : *name, f);
}

/* A C program that includes the header alone, and steps as the record says. */
static void write_program(const training *t, const char *name, char *const *states, int n_states) {
    FILE *f = create("main.c");
    fprintf(f,
            "#include \"%s.h\"\n#include <stdio.h>\n#include <string.h>\n"
            "static %s_state state;\nstatic unsigned char other[sizeof state];\n"
            "static _Alignas(64) unsigned char arena[%s_ARENA];\n"
            "static int get(FILE *f, void *to, size_t bytes) { return fread(to, 1, bytes, f) == bytes; }\n"
            "static int bad(const char *what, int step) { printf(\"%%s at step %%d\\n\", what, step); return 1; }\n",
            name, name, name);
    for (int i = 0; i < t->trainer->n_batch; i++) {
        tn_tensor x[MOST_BATCH] = {{0}};
        read_batch(t, 0, x);
        fprintf(f, "static _Alignas(64) unsigned char batch%d[%lld];\n", i, (long long)tn_tensor_bytes(&x[i]));
        for (int k = 0; k < t->trainer->n_batch; k++) free(x[k].data);
    }
    fprintf(f,
            "int main(int argc, char **argv) {\n"
            "    FILE *f = fopen(argv[argc - 1], \"rb\");\n"
            "    float told[2], loss, norm, sums[64] = {0};\n    double rate;\n    bool is_finite;\n"
            "    if (!f) return bad(\"no file\", (int)sums[0]);\n"
            "    %s_init(&state);\n"
            "    for (int step = 0; step < %d; step++) {\n"
            "        if (!get(f, &rate, sizeof rate)) return bad(\"end\", step);\n",
            name, STEPS);
    for (int i = 0; i < t->trainer->n_batch; i++)
        fprintf(f, "        if (!get(f, batch%d, sizeof batch%d)) return bad(\"end\", step);\n", i, i);
    fprintf(f,
            "        if (!get(f, told, sizeof told)) return bad(\"end\", step);\n"
            "        %s_inputs in = {0};\n        %s_outputs out = {0};\n",
            name, name);
    for (int i = 0; i < t->trainer->n_batch; i++) {
        fprintf(f, "        in.");
        print_identifier(f, nn_batch_name(t->trainer, i));
        fprintf(f, " = (void *)batch%d;\n", i);
    }
    for (int i = 0; i < t->trainer->n_metrics; i++) fprintf(f, "        out.%s = sums;\n", t->trainer->metrics[i].name);
    fprintf(f,
            "        out.loss = &loss; out.gradient_norm = &norm; out.is_finite = &is_finite;\n"
            "        int code = %s_train_step(&state, &in, rate, &out, arena);\n"
            "        if (code) return bad(%s_message(code), step);\n"
            "        if (!is_finite || memcmp(&loss, &told[0], 4)) return bad(\"another loss\", step);\n"
            "        if (memcmp(&norm, &told[1], 4)) return bad(\"another norm\", step);\n    }\n",
            name, name);
    for (int i = 0; i < n_states; i++) {
        fprintf(f, "    if (!get(f, other, sizeof state.");
        print_identifier(f, states[i]);
        fprintf(f, ") || memcmp(other, &state.");
        print_identifier(f, states[i]);
        fprintf(f, ", sizeof state.");
        print_identifier(f, states[i]);
        fprintf(f, ")) return bad(\"another %s\", %d);\n", states[i], STEPS);
    }
    fprintf(f, "    return fgetc(f) != EOF ? bad(\"more\", %d) : 0;\n}\n", STEPS);
    assert_int_equal(fclose(f), 0);
}

/* ---- An example ---- */

/* Names of what the step has as state, in the trainer's order: those of the file of first values. */
static int list_states(const training *t, const char *path, char **states) {
    tn_archive *archive;
    tn_diag diag = {0};
    int n = 0;
    if (tn_safetensors_open(path, &archive, &diag) != TN_OK) fail_msg("%s", diag.message);
    for (int i = 0; i < tn_trainer_n_states(t->trainer); i++)
        for (int64_t k = 0; k < tn_archive_count(archive); k++)
            if (strcmp(tn_archive_at(archive, k)->name, tn_trainer_state(t->trainer, i, NULL)) == 0)
                states[n++] = strdup(tn_archive_at(archive, k)->name);
    assert_int_equal(n, tn_archive_count(archive));
    tn_archive_free(archive);
    return n;
}

/* What `tenon train` with these words trains, both ways. */
static void check_example(const char *name, int argc, char **argv) {
    static const option_name options[] = {OPTION_onnx,  OPTION_loss,      OPTION_loss_of, OPTION_data, OPTION_freeze,
                                          OPTION_batch, OPTION_optimizer, OPTION_seed,    OPTION_COUNT};
    static const command train = {.name = "train", .options = options, .most_operands = 2};
    static arguments a;
    training t;
    char *states[400], path[PATH];
    assert_int_equal(options_parse(&a, &train, argc, argv), 0);
    assert_int_equal(train_open(&t, &a), EXIT_DONE);
    tn_schedule schedule = {.kind = "cosine", .total = STEPS, .warmup = 2};
    assert_int_equal(train_open_trainer(&t, schedule), EXIT_DONE);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(train_write_step(&t, path, NULL), EXIT_DONE);
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    int n = list_states(&t, path, states);
    assert_true(n > 0);
    record_steps(&t, "steps", states, n);
    write_program(&t, name, states, n);
    run_command("'%s' compile %s.tn -o %s --entry train_step --states %s.safetensors", tenon_program, name, name, name);
    run_command("nm -u %s.o | awk '{ print $NF }' | grep -v -x -e memcpy -e memset -e memmove && exit 1 || exit 0",
                name);
    run_command("upper=$(echo %s | tr a-z A-Z); %s -std=c11 -O1 -Wall -D%s_ARENA=${upper}_ARENA_BYTES main.c %s.o "
                "-o main && ./main steps",
                name, compiler, name, name);
    for (int i = 0; i < n; i++) free(states[i]);
    train_close(&t);
}

#define CHECK_EXAMPLE(name, ...)                                                                                       \
    do {                                                                                                               \
        char *words[] = {(char *)"train", __VA_ARGS__, NULL};                                                          \
        check_example(name, (int)(sizeof words / sizeof *words) - 1, words);                                           \
    } while (0)

static char digits[2 * PATH];

static void test_digits(void **state) {
    (void)state;
    CHECK_EXAMPLE("digits", "digits", digits);
}

/* Every optimizer's states. */
static void test_optimizers(void **state) {
    (void)state;
    static char *const names[] = {"sgd", "adam", "rmsprop", "adagrad", "lion", "adafactor"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_EXAMPLE(names[i], "digits", digits, "--batch", "7", "--optimizer", names[i]);
}

static void write_idx(const char *name, int rank, const uint32_t *dims, unsigned modulus) {
    FILE *f = create(name);
    size_t n = 1;
    put(f, (unsigned char[]){0, 0, 8, (unsigned char)rank}, 4);
    for (int i = 0; i < rank; i++) {
        put(f, (unsigned char[]){0, 0, (unsigned char)(dims[i] >> 8), (unsigned char)dims[i]}, 4);
        n *= dims[i];
    }
    for (size_t i = 0; i < n; i++) fputc((int)((i * 7 + i / 61) % modulus), f);
    assert_int_equal(fclose(f), 0);
}

/* Synthetic pictures in MNIST's files and sizes. */
static void test_mnist(void **state) {
    (void)state;
    char path[PATH];
    snprintf(path, sizeof path, "%s", in_folder("mnist"));
    assert_int_equal(mkdir(path, 0777), 0);
    write_idx("mnist/train-images-idx3-ubyte", 3, (const uint32_t[]){96, 28, 28}, 256);
    write_idx("mnist/train-labels-idx1-ubyte", 1, (const uint32_t[]){96}, 10);
    write_idx("mnist/t10k-images-idx3-ubyte", 3, (const uint32_t[]){16, 28, 28}, 256);
    write_idx("mnist/t10k-labels-idx1-ubyte", 1, (const uint32_t[]){16}, 10);
    CHECK_EXAMPLE("mnist", "mnist", path, "--batch", "16");
}

static void test_text(void **state) {
    (void)state;
    FILE *f = create("fox.txt");
    char path[PATH];
    for (int i = 0; i < 120; i++) fprintf(f, "the quick brown fox jumps over the lazy dog, %d times\n", i);
    assert_int_equal(fclose(f), 0);
    snprintf(path, sizeof path, "%s", in_folder("fox.txt"));
    CHECK_EXAMPLE("text", "text", path, "--batch", "4");
}

/* A model that was made elsewhere; one of its weights stays as it is, and is in the object. */
static void test_imported(void **state) {
    (void)state;
    char model[PATH];
    snprintf(model, sizeof model, "%s", in_folder("model.onnx"));
    run_command("'%s' train digits '%s' --epochs 1 -o model.onnx", tenon_program, digits);
    CHECK_EXAMPLE("imported", "--onnx", model, "--loss", "sparse_cross_entropy", "--data", digits, "--freeze",
                  "conv2d.kernel", "--batch", "16");
}

/* One with the weights of somebody's training, where it could be fetched. */
static void test_real_weights(void **state) {
    (void)state;
    enum { PIXELS = 24 * 24 * 3, ROWS = 20 };
    char model[2 * PATH], data[PATH];
    snprintf(model, sizeof model, "%s/build/models/mtcnn_rnet.onnx", root);
    if (access(model, R_OK) != 0) skip();
    FILE *f = create("squares.csv");
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < PIXELS; i++) fprintf(f, "%d,", (i * 37 + row * 11) % 23 - 11);
        fprintf(f, "%d\n", row % 2);
    }
    assert_int_equal(fclose(f), 0);
    snprintf(data, sizeof data, "%s", in_folder("squares.csv"));
    CHECK_EXAMPLE("rnet", "--onnx", model, "--loss", "sparse_cross_entropy", "--loss-of", "softmax_1", "--data", data,
                  "--batch", "8");
}

/* ---- By calls ---- */

/* What docs/TRAINING.md says of C: a trainer's module and states, compiled in the process. The object is the command's,
 * byte by byte. */
static void test_calls(void **state) {
    (void)state;
    static const option_name options[] = {OPTION_COUNT};
    static const command train = {.name = "train", .options = options, .most_operands = 2};
    static arguments a;
    char *words[] = {(char *)"train", (char *)"digits", digits, NULL};
    training t;
    tn_diag diag = {0};
    assert_int_equal(options_parse(&a, &train, 3, words), 0);
    assert_int_equal(train_open(&t, &a), EXIT_DONE);
    assert_int_equal(train_open_trainer(&t, (tn_schedule){.kind = "constant"}), EXIT_DONE);
    tn_module *m = tn_trainer_module(t.trainer, (const tn_model_size[]){{"n", t.batch}, {NULL, 0}}, &diag);
    assert_non_null(m);
    tn_aot_state states[100];
    int n = tn_trainer_n_states(t.trainer);
    assert_true(n <= 100);
    for (int i = 0; i < n; i++) states[i].name = tn_trainer_state(t.trainer, i, &states[i].value);
    tn_aot_options how = {.name = "calls", .verb = "train_step", .states = states, .n_states = n};
    tn_aot aot;
    if (tn_compile_aot(m, &how, &aot, &diag) != TN_OK) fail_msg("%s", diag.message);
    FILE *f = create("own.o");
    put(f, aot.code, aot.code_bytes);
    assert_int_equal(fclose(f), 0);
    run_command("'%s' train digits '%s' --step calls && '%s' compile calls.tn -o calls --entry train_step "
                "--states calls.safetensors && cmp calls.o own.o",
                tenon_program, digits, tenon_program);
    tn_aot_free(&aot);
    tn_module_free(m);
    train_close(&t);
}

/* ---- Set-up ---- */

static int set_up(void **state) {
    (void)state;
    const char *program = getenv("TENON"), *cc = getenv("CC");
    if (!realpath(program ? program : "build/tenon", root)) return -1;
    tenon_program = strdup(root);
    compiler = cc ? cc : "cc";
    if (!getcwd(root, sizeof root) || !mkdtemp(folder)) return -1;
    snprintf(digits, sizeof digits, "%s/docs/examples/data/digits.csv.gz", root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[PATH];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    free((char *)tenon_program);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits), cmocka_unit_test(test_optimizers), cmocka_unit_test(test_mnist),
        cmocka_unit_test(test_text),   cmocka_unit_test(test_imported),   cmocka_unit_test(test_real_weights),
        cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests_name("aot_train", tests, set_up, tear_down);
}
