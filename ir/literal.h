/* Elements of constants as text (ir/literal.c). */
#ifndef TN_IR_LITERAL_H
#define TN_IR_LITERAL_H

#include "tenon_rt.h"

enum { LITERAL_BYTES = 48 };

/* Text that literal_parse reads back to the same bits: the shortest decimal number, `inf`,
 * `-inf`, `nan`, `nan.7fc00001` for other bits of a NaN, `true`, `false`. Returns its length. */
size_t literal_print(tn_dtype dtype, const void *element, char out[LITERAL_BYTES]);

typedef enum literal_fault { LITERAL_OK, LITERAL_MALFORMED, LITERAL_RANGE } literal_fault;

/* Reads one element; floats round to nearest. */
literal_fault literal_parse(tn_dtype dtype, const char *text, void *element);

/* Printing and reading floats depends on the locale: these two go around it. False: no memory. */
typedef struct literal_locale {
    void *c, *former;
} literal_locale;
bool literal_begin(literal_locale *l);
void literal_end(literal_locale *l);

#endif
