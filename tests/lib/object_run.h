/* A program as an object, linked with a plain C program (tests/tools/frame_driver.c) and run: on this machine, or on
 * another one by a cross compiler and an emulator.
 *
 *     object_run *r = object_run_open(&machine);
 *     if (!object_run_module(r, module, &options, &call, message)) ...
 *     object_run_close(r);
 *
 * in:  a module and its inputs; what a call needs beside (packed weights, constants, sizes) is taken from the
 *      description that the runtime would get of the same compilation
 * out: the outputs' elements; their dims are what bind says
 * law: no symbol from outside but libc's; nothing is stored behind a buffer
 *
 * Files go to a folder of their own under $TMPDIR or /tmp. What a program does wrong is a message, nothing here fails
 * a test by itself; without compiler or disk the process ends.
 */
#ifndef TN_TESTS_OBJECT_RUN_H
#define TN_TESTS_OBJECT_RUN_H

#include "compiler/tenon_compile.h"
#include "ir/eval.h"

enum { OBJECT_MESSAGE = 1200 };

/* Where an object runs. */
typedef struct object_machine {
    const char *name;   /* for TN_MACHINE; NULL: target */
    const char *target; /* as tn_compile_options has it, as are the features; NULL: this machine */
    const char *features;
    const char *compiler; /* command that compiles and links C for it; NULL: $CC, or cc */
    const char *linking;  /* what it needs beside for linking; NULL: nothing */
    const char *emulator; /* command that runs its programs; "": they run here */
    const char *provides; /* names that an object may ask for, with spaces between; NULL: any that the compiler finds */
} object_machine;

typedef struct object_run object_run;

object_run *object_run_open(const object_machine *machine);
void object_run_close(object_run *r);

/* The machine of the target that the environment's TN_MACHINE names, where tests then run their programs in place of
 * this process; opened when first asked for, closed at exit. NULL: there is no such variable. */
object_run *object_run_elsewhere(void);

typedef struct object_call {
    const eval_tensor *in; /* one for each of main's parameters, as eval_graph takes them */
    eval_tensor *out;      /* one for each of its results: the dims that are to come, room for the elements */
    int n_symbols;         /* values of symbols that are not the size of an input's axis */
    const char *const *symbols;
    const int64_t *values;
} object_call;

/* Runs main of `m`. `options` may be NULL; their target is the machine's. False: OBJECT_MESSAGE bytes say why. Any
 * thread may call it. */
bool object_run_module(object_run *r, tn_module *m, const tn_compile_options *options, const object_call *call,
                       char *message);

/* For those who write an object on their own: a file of the folder, and the exit status of a command (sh) that runs
 * there, whose output goes to `text`. */
void object_run_write(object_run *r, const char *name, const void *data, size_t bytes);
int object_run_command(object_run *r, const char *command, char *text, size_t capacity);
size_t object_run_read(object_run *r, const char *name, void *data, size_t capacity); /* bytes that were there */
const object_machine *object_run_machine(const object_run *r);

#endif
