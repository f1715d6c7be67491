/* A compilation ahead of time on its way to object and header; private to aot*.c.
 *
 *   aot.c           the way as a whole
 *   aot_describe.c  what callers see: structs, sizes, codes and messages (codegen/aot_entry.h)
 *   aot_names.c     identifiers
 *   aot_weights.c   weights packed now, and first states, as one block
 *   aot_header.c    the header's text
 *   aot_program.c   that of a program which calls the object
 */
#ifndef TN_COMPILER_AOT_H
#define TN_COMPILER_AOT_H

#include "compiler/codegen/aot_file.h"
#include "compiler/describe.h"
#include "tenon_aot.h"

enum { AOT_MOST_VERSIONS = CODEGEN_MOST_VERSIONS + 1 };

/* A tensor that callers see: a member of a struct, or an argument. */
typedef struct aot_member {
    const char *name;       /* in the model */
    const char *identifier; /* in C */
    const tn_type *type;    /* of versions[0]'s main */
    tn_dim bytes;           /* of its elements */
    aot_place place;
} aot_member;

/* A target's code. */
typedef struct aot_compiled {
    compilation compiled;
    tn_compile_options options;
    const char *target; /* its name */
    tn_program *described;
    bool runs_here;
} aot_compiled;

typedef struct aot_object {
    const tn_aot_options *options;
    tn_module *module; /* what is compiled: a copy of the user's with sizes fixed */
    aot_compiled versions[AOT_MOST_VERSIONS];
    size_t n_versions;
    codegen *codegen;
    arena memory; /* of all below */
    const char *name, *verb, *model;
    tn_dim flops;
    aot_member *members; /* states, inputs, scalars, outputs, each in the order of the program's */
    size_t n_members;
    const char **size_names; /* of versions[0]'s symbols, in C */
    aot_entry entry;
    const char **messages;
    size_t messages_capacity;
    char *block; /* AOT_FILE_HEADER bytes, then entry.block; from tn_malloc */
    size_t block_capacity;
    char *needs; /* names that the object asks for, from tn_malloc; NULL: no object, but text */
    tn_diag *diag;
} aot_object;

/* False in all of these: *o->diag says why. */
bool aot_fail(aot_object *o, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool aot_no_memory(aot_object *o);

bool aot_describe(aot_object *o);
bool aot_pack(aot_object *o);
char *aot_header(aot_object *o); /* these two from tn_malloc; NULL: no memory */
char *aot_program(aot_object *o);

/* aot_names.c. Text that is an identifier in C and C++, as near to `name` as can be; `otherwise` when nothing of it
 * can stay. In `memory`; NULL: none left. */
const char *aot_identifier(arena *memory, const char *name, const char *otherwise);
/* The same, and none of taken[0] to taken[n - 1]. */
const char *aot_unique(arena *memory, const char *name, const char *otherwise, const char *const *taken, size_t n);

/* "f32[n, 784]" in the model's words. */
const char *aot_type_text(aot_object *o, const tn_type *type);

#endif
