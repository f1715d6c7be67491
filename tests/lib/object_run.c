/* Programs as objects, linked and run: see object_run.h. */
#include "tests/lib/object_run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/describe.h"

enum { WORD = 8, MOST_SYMBOLS = 32 };

struct object_run {
    object_machine machine;
    char folder[200];
    pthread_mutex_t lock; /* of the folder: one program at a time */
};

/* Without what tests cannot do. */
static _Noreturn void stop(const char *what) {
    fprintf(stderr, "object_run: %s\n", what);
    exit(1);
}

/* ---- Files and commands ---- */

static FILE *open_file(const object_run *r, const char *name, const char *mode) {
    char path[400];
    snprintf(path, sizeof path, "%.200s/%.150s", r->folder, name);
    FILE *f = fopen(path, mode);
    if (!f) stop(path);
    return f;
}

static void write_bytes(FILE *f, const void *data, size_t bytes) {
    if (fwrite(data, 1, bytes, f) != bytes) stop("a file cannot be written");
}

static void close_written(FILE *f) {
    if (fclose(f) != 0) stop("a file cannot be written");
}

static void read_bytes(FILE *f, void *to, size_t bytes) {
    if (fread(to, 1, bytes, f) != bytes) stop("the results end early");
}

void object_run_write(object_run *r, const char *name, const void *data, size_t bytes) {
    FILE *f = open_file(r, name, "wb");
    write_bytes(f, data, bytes);
    close_written(f);
}

size_t object_run_read(object_run *r, const char *name, void *data, size_t capacity) {
    FILE *f = open_file(r, name, "rb");
    char more;
    size_t n = capacity > 0 ? fread(data, 1, capacity, f) : 0;
    if (n == capacity && !feof(f) && !ferror(f)) n += fread(&more, 1, 1, f);
    fclose(f);
    return n;
}

const object_machine *object_run_machine(const object_run *r) { return &r->machine; }

int object_run_command(object_run *r, const char *command, char *text, size_t capacity) {
    char line[1500];
    snprintf(line, sizeof line, "export ROOT=\"$PWD\" && cd '%.200s' && { %.1100s; } 2>&1", r->folder, command);
    FILE *f = popen(line, "r");
    if (!f) return -1;
    size_t n = fread(text, 1, capacity - 1, f);
    text[n] = '\0';
    return pclose(f);
}

object_run *object_run_open(const object_machine *machine) {
    const char *where = getenv("TMPDIR"), *cc = getenv("CC");
    char line[1000], text[OBJECT_MESSAGE];
    object_run *r = calloc(1, sizeof *r);
    if (!r) stop("no memory");
    r->machine = *machine;
    if (!r->machine.compiler) r->machine.compiler = cc ? cc : "cc";
    pthread_mutex_init(&r->lock, NULL);
    snprintf(r->folder, sizeof r->folder, "%.150s/tenon-object-XXXXXX", where ? where : "/tmp");
    if (!mkdtemp(r->folder)) stop(r->folder);
    snprintf(line, sizeof line, "%s -std=c11 -O1 -Wall -I\"$ROOT\"/runtime -c \"$ROOT\"/tests/tools/frame_driver.c",
             r->machine.compiler);
    if (object_run_command(r, line, text, sizeof text) != 0) stop(text);
    return r;
}

void object_run_close(object_run *r) {
    char text[OBJECT_MESSAGE];
    object_run_command(r, "rm -f frame_driver.o m.o program calls results && rmdir \"$PWD\"", text, sizeof text);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- The machine of TN_MACHINE ---- */

#define LIBC "memcpy memmove memset"

/* Commands run in a folder of their own, where $ROOT is the repository's. */
static const object_machine machines[] = {
    {.target = "aarch64", .compiler = "aarch64-linux-gnu-gcc -static", .emulator = "qemu-aarch64", .provides = LIBC},
    {.target = "riscv64", .compiler = "riscv64-linux-gnu-gcc -static", .emulator = "qemu-riscv64", .provides = LIBC},
    {.name = "riscv64-v",
     .target = "riscv64",
     .features = "+v",
     .compiler = "riscv64-linux-gnu-gcc -static",
     .emulator = "qemu-riscv64 -cpu rv64,v=true,vlen=128,vext_spec=v1.0",
     .provides = LIBC},
    {.target = "arm-none-eabi",
     .compiler = "arm-none-eabi-gcc -mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16",
     .linking = "--specs=rdimon.specs -T \"$ROOT\"/tests/tools/cortex_m7.ld \"$ROOT\"/tests/tools/cortex_m7.c",
     .emulator = "\"$ROOT\"/tests/tools/run-cortex-m7.sh",
     .provides = ""},
    {.target = "wasm32",
     .compiler = "$(for v in 22 21 20 19; do command -v clang-$v; done | head -n 1) --target=wasm32-wasi "
                 "-Wno-deprecated",
     .linking = "-Wl,-z,stack-size=1048576",
     .emulator = "node --no-warnings \"$ROOT\"/tests/tools/run-wasm.mjs",
     .provides = LIBC},
    {.target = "x86-64-v2",
     .compiler = "x86_64-linux-gnu-gcc -static",
     .emulator = "qemu-x86_64 -cpu Nehalem",
     .provides = LIBC},
    {.target = "x86-64-v3",
     .compiler = "x86_64-linux-gnu-gcc -static",
     .emulator = "qemu-x86_64 -cpu Haswell",
     .provides = LIBC},
};

static object_run *elsewhere;

static void close_elsewhere(void) { object_run_close(elsewhere); }

static void open_elsewhere(void) {
    const char *name = getenv("TN_MACHINE");
    for (size_t i = 0; name && i < sizeof machines / sizeof *machines; i++)
        if (strcmp(machines[i].name ? machines[i].name : machines[i].target, name) == 0)
            elsewhere = object_run_open(&machines[i]);
    if (name && !elsewhere)
        stop("TN_MACHINE is none of aarch64, riscv64, riscv64-v, arm-none-eabi, wasm32, x86-64-v2, x86-64-v3");
    if (elsewhere) atexit(close_elsewhere);
}

object_run *object_run_elsewhere(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_elsewhere);
    return elsewhere;
}

/* ---- What a call needs ---- */

/* One program on its way to the machine. */
typedef struct journey {
    object_run *run;
    const tn_graph *given; /* main as the user has it */
    const object_call *call;
    compilation compiled;
    tn_program *described;
    FILE *calls;
    int64_t n_buffers;
    char *message;
} journey;

static void describe(journey *j) {
    tn_program *p = j->described = program_new("described");
    if (!p || !describe_program(p, &j->compiled)) stop("no memory");
    if (!j->compiled.prepare) return;
    p->prepare = program_new("prepare");
    if (!p->prepare || !describe_prepare(p->prepare, &j->compiled)) stop("no memory");
}

static size_t bytes_of(const eval_tensor *t) { return (size_t)t->n * (tn_dtype_bits(t->dtype) / 8); }

static size_t bytes_of_info(const tn_tensor_info *info) {
    size_t bytes = tn_dtype_bits(info->dtype) / 8;
    for (int axis = 0; axis < info->rank; axis++) bytes *= (size_t)info->dims[axis].value;
    return bytes;
}

/* The parameter of the user's main that is input, or weight, `name`: they keep their names. */
static const eval_tensor *find_in(const journey *j, const char *name) {
    for (size_t i = 0; i < j->given->n_params; i++)
        if (strcmp(j->given->params[i].name, name) == 0) return &j->call->in[i];
    stop(name);
}

/* ---- The file of calls (frame_driver.c) ---- */

/* Numbers of the buffers that a call has as inputs, outputs, weights. */
typedef enum role { INPUT, OUTPUT, WEIGHT, ROLES } role;
typedef struct numbers {
    int64_t *items[ROLES];
    size_t n[ROLES];
} numbers;

static void write_word(journey *j, int64_t word) { write_bytes(j->calls, &word, WORD); }

static void write_words(journey *j, const int64_t *words, size_t n) {
    for (size_t i = 0; i < n; i++) write_word(j, words[i]);
}

/* The number of the new buffer; `data` NULL: the program fills it. */
static int64_t write_buffer(journey *j, const void *data, size_t bytes) {
    static const char zeros[WORD];
    size_t gap = (WORD - bytes % WORD) % WORD;
    write_word(j, (int64_t)bytes);
    write_word(j, data != NULL);
    if (data) {
        write_bytes(j->calls, data, bytes);
        write_bytes(j->calls, zeros, gap);
    }
    return j->n_buffers++;
}

static void add(numbers *n, role r, int64_t number) {
    int64_t *more = realloc(n->items[r], (n->n[r] + 1) * sizeof *more);
    if (!more) stop("no memory");
    more[n->n[r]++] = number;
    n->items[r] = more;
}

static int64_t number_at(const numbers *n, role r, size_t i) {
    if (i >= n->n[r]) stop("a buffer is missing");
    return n->items[r][i];
}

static void write_call(journey *j, numbers *n, const int64_t *symbols, size_t n_symbols, size_t n_dims) {
    write_word(j, (int64_t)n_symbols);
    for (int r = 0; r < ROLES; r++) write_word(j, (int64_t)n->n[r]);
    write_word(j, (int64_t)n_dims);
    write_words(j, symbols, n_symbols);
    for (int r = 0; r < ROLES; r++) {
        write_words(j, n->items[r], n->n[r]);
        free(n->items[r]);
    }
}

static void write_constants(journey *j, const emitted_tables *tables, numbers *call) {
    for (size_t i = 0; i < tables->n_constants; i++)
        add(call, WEIGHT, write_buffer(j, tables->constants[i]->data, tables->constants[i]->bytes));
}

/* Raw weights are prepare's inputs; main's weights are these, or prepare's outputs; large constants follow. */
static void write_weights(journey *j, numbers *prepare, numbers *run) {
    const tn_program *p = j->described, *q = p->prepare;
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const void *data = p->weights[i].data;
        if (!data) data = find_in(j, p->weights[i].info.name)->data;
        add(prepare, INPUT, write_buffer(j, data, bytes_of_info(&p->weights[i].info)));
    }
    for (uint32_t i = 0; q && i < q->n_outputs; i++)
        add(prepare, OUTPUT, write_buffer(j, NULL, bytes_of_info(&q->outputs[i])));
    write_constants(j, &j->compiled.prepare_tables, prepare);
    for (uint32_t i = 0; i < p->n_packed; i++)
        if (p->packed[i].kind != PACKED_CONSTANT) {
            role from = p->packed[i].kind == PACKED_RAW ? INPUT : OUTPUT;
            add(run, WEIGHT, number_at(prepare, from, p->packed[i].index));
        }
    write_constants(j, &j->compiled.tables, run);
}

/* A state's next value takes its place. */
static void write_inputs_and_outputs(journey *j, numbers *run) {
    const tn_program *p = j->described;
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const eval_tensor *t = find_in(j, p->inputs[i].name);
        add(run, INPUT, write_buffer(j, t->data, bytes_of(t)));
    }
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        int32_t state = p->outputs[i].state_input;
        size_t bytes = bytes_of(&j->call->out[i]);
        add(run, OUTPUT, state >= 0 ? number_at(run, INPUT, (size_t)state) : write_buffer(j, NULL, bytes));
    }
}

/* Values of the symbols: as the caller says, or the inputs. */
static void find_symbols(const journey *j, int64_t *symbols) {
    const tn_program *p = j->described;
    if (p->n_symbols > MOST_SYMBOLS) stop("too many symbols");
    for (uint32_t i = 0; i < p->n_symbols; i++)
        for (int k = 0; k < j->call->n_symbols; k++)
            if (strcmp(p->symbols[i].name, j->call->symbols[k]) == 0) symbols[i] = j->call->values[k];
    for (uint32_t i = 0; i < p->n_inputs; i++)
        for (int axis = 0; axis < p->inputs[i].rank; axis++) {
            const tn_dim_info *dim = &p->inputs[i].dims[axis];
            if (dim->kind == TN_DIM_SYMBOL) symbols[dim->value] = find_in(j, p->inputs[i].name)->dims[axis];
        }
}

static size_t count_dims(const tn_program *p) {
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_inputs; i++) n += (size_t)p->inputs[i].rank;
    for (uint32_t i = 0; i < p->n_outputs; i++) n += (size_t)p->outputs[i].rank;
    return n;
}

static void write_calls(journey *j) {
    const tn_program *p = j->described;
    numbers prepare = {0}, run = {0};
    int64_t symbols[MOST_SYMBOLS] = {0};
    find_symbols(j, symbols);
    j->calls = open_file(j->run, "calls", "wb");
    write_word(j, 0); /* the number of buffers, known at the end */
    write_weights(j, &prepare, &run);
    write_inputs_and_outputs(j, &run);
    write_call(j, &prepare, symbols, 0, p->prepare ? count_dims(p->prepare) : 0);
    write_call(j, &run, symbols, p->n_symbols, count_dims(p));
    if (fseek(j->calls, 0, SEEK_SET) != 0) stop("a file cannot be written");
    write_word(j, j->n_buffers);
    close_written(j->calls);
}

/* ---- The file of results ---- */

static bool check_dims(const journey *j, const eval_tensor *t, const char *what, uint32_t number, FILE *f) {
    for (int axis = 0; axis < t->rank; axis++) {
        int64_t dim;
        read_bytes(f, &dim, WORD);
        if (dim == t->dims[axis]) continue;
        snprintf(j->message, OBJECT_MESSAGE, "bind says that axis %d of %s %u is %lld, not %lld", axis, what, number,
                 (long long)dim, (long long)t->dims[axis]);
        return false;
    }
    return true;
}

static bool read_results(const journey *j) {
    const tn_program *p = j->described;
    FILE *f = open_file(j->run, "results", "rb");
    bool ok = true;
    for (uint32_t i = 0; ok && i < p->n_inputs; i++) ok = check_dims(j, find_in(j, p->inputs[i].name), "input", i, f);
    for (uint32_t i = 0; ok && i < p->n_outputs; i++) ok = check_dims(j, &j->call->out[i], "output", i, f);
    for (uint32_t i = 0; ok && i < p->n_outputs; i++) read_bytes(f, j->call->out[i].data, bytes_of(&j->call->out[i]));
    fclose(f);
    return ok;
}

/* ---- What the object asks for ---- */

static bool is_listed(const char *list, const char *name, size_t length) {
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length])) return true;
    return false;
}

static bool check_symbols(const journey *j) {
    const object_file *o = j->compiled.objects;
    tn_diag diag = {0};
    char *all = codegen_undefined_symbols(o->bytes, o->size, &diag);
    if (!all) stop(diag.message);
    bool ok = true;
    for (char *rest = all, *name; ok && (name = strsep(&rest, " "));) {
        ok = !*name || is_listed(j->run->machine.provides, name, strlen(name));
        if (!ok) snprintf(j->message, OBJECT_MESSAGE, "the object needs %s", name);
    }
    tn_text_free(all);
    return ok;
}

/* ---- All of it ---- */

static bool run_compiled(journey *j) {
    object_run *r = j->run;
    char line[700];
    snprintf(line, sizeof line, "%.200s %.200s frame_driver.o m.o -o program && %.200s ./program calls results",
             r->machine.compiler, r->machine.linking ? r->machine.linking : "", r->machine.emulator);
    describe(j);
    pthread_mutex_lock(&r->lock);
    object_run_write(r, "m.o", j->compiled.objects->bytes, j->compiled.objects->size);
    write_calls(j);
    bool ok = (!r->machine.provides || check_symbols(j)) &&
              object_run_command(r, line, j->message, OBJECT_MESSAGE) == 0 && read_results(j);
    pthread_mutex_unlock(&r->lock);
    tn_program_free(j->described);
    return ok;
}

bool object_run_module(object_run *r, tn_module *m, const tn_compile_options *options, const object_call *call,
                       char *message) {
    tn_compile_options o = options ? *options : (tn_compile_options){0};
    journey j = {.run = r, .given = module_main(m), .call = call, .message = message};
    compilation_goal goal = {.prefix = "m_", .one_object = true};
    o.target = r->machine.target;
    o.features = r->machine.features;
    bool ok = compilation_run(&j.compiled, m, &o, &goal);
    if (ok)
        ok = run_compiled(&j);
    else
        snprintf(message, OBJECT_MESSAGE, "%s: %s", o.target ? o.target : "host", j.compiled.diag.message);
    compilation_end(&j.compiled);
    return ok;
}
