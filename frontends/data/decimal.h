/* Numbers in text, whatever the locale. */
#ifndef TN_DATA_DECIMAL_H
#define TN_DATA_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

/* The value of a decimal number ("-1.5e3"), which must be all of the text and finite; rounded once, to nearest. */
bool decimal_parse(const char *text, size_t length, double *value);

#endif
