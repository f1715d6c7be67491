/* Writing C about an object: what the header (aot_header.c) and the program (aot_program.c) have in common. */
#ifndef TN_COMPILER_AOT_TEXT_H
#define TN_COMPILER_AOT_TEXT_H

#include "compiler/aot.h"
#include "ir/text.h"

typedef struct aot_writer {
    aot_object *o;
    const aot_entry *e;
    text_buffer out;
    const char *name;        /* of functions and types */
    const char *upper;       /* of constants */
    const char *size_prefix; /* of variables that are sizes; "" */
} aot_writer;

bool aot_writer_open(aot_writer *w, aot_object *o); /* false: no memory */
char *aot_writer_close(aot_writer *w);              /* the text, from tn_malloc; NULL: no memory */

#define PRINT(w, ...) text_format(&(w)->out, __VA_ARGS__)

/* Text with the object's name in place of each @, and in capitals in place of each $. */
void print_named(aot_writer *w, const char *text);

/* A size of a version as an expression over its symbols' names; `bad` is an int in scope where there are symbols. */
void aot_print_dim(aot_writer *w, size_t version, tn_dim d);

const char *aot_c_type(tn_dtype dtype);
bool aot_has_bound(const aot_writer *w); /* callers keep what binding found out */

#endif
