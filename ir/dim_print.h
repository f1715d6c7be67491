/* Spelling of names in the text form, shared by the printers. */
#ifndef TN_IR_DIM_PRINT_H
#define TN_IR_DIM_PRINT_H

#include "ir/dim.h"

/* True for letters, digits, _ and ., not beginning with a digit or a dot: stands unquoted. */
bool name_is_plain(const char *name);

/* One byte of a quoted string: returns the length of what is written to out. */
size_t quote_char(unsigned char c, char out[5]);

#endif
