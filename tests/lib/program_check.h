/* "This function, compiled, does what the interpreter says."
 *
 *     check_program("(%x: f32[n, 7]) -> (%y: f32[n, 7]) { ... }", "n=3", "map", EXACT_NUMBERS);
 *
 * The function is compiled for this machine and for each level of the psABI that it can run, run on inputs that
 * depend on nothing but its text, alone and with two threads (which must give the same bits), and compared. With
 * TN_MACHINE=aarch64 in the environment it is run there instead (object_run.h), on one thread.
 * EXACT_NUMBERS: small integers, whose sums are exact in any order: results must be equal. ANY_NUMBERS: within the
 * error bound of the interpreter.
 */
#ifndef TN_TESTS_PROGRAM_CHECK_H
#define TN_TESTS_PROGRAM_CHECK_H

#include "compiler/tenon_compile.h"
#include "ir/eval.h"

typedef enum numbers { EXACT_NUMBERS, ANY_NUMBERS } numbers;

/* `symbols`: "n=3 m=4", or "". `class_name`: that of the only kernel; NULL: not asked.
 * Fails the running cmocka test. */
void check_program(const char *text, const char *symbols, const char *class_name, numbers what);
void check_program_with(const tn_compile_options *options, const char *text, const char *symbols,
                        const char *class_name, numbers what);

/* A module of that function, `main` (and those behind it); fails the running test when it does not parse. */
tn_module *program_parse(const char *text);

/* The text of a module of that function (and those behind it) after a stage, to be freed with tn_text_free; fails the
 * running test when there is none. `options` may be NULL. */
char *program_stage(const char *text, const char *stage, const tn_compile_options *options);

#endif
