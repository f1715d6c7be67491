/* Filling diagnostics.
 *
 * in:  a status and a printf format
 * out: a tn_diag with its message; the status, so that a caller can return what it reports
 * law: a message that is too long is cut at a whole character and ends in "..."
 */
#ifndef TN_RUNTIME_DIAG_H
#define TN_RUNTIME_DIAG_H

#include "runtime/tenon_rt.h"

/* Fills *diag (NULL: nothing) without a place; returns `status`. */
tn_status diag_fail(tn_diag *diag, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Says that a failed call is about `file`; passes `status` on. For the outermost call on a file. */
tn_status diag_in_file(tn_diag *diag, tn_status status, const char *file);

/* Text that grows in a buffer of fixed size; start with `used` 0. */
typedef struct line {
    char *bytes;
    size_t capacity; /* at least 4 */
    size_t used;     /* without the end mark; what didn't fit is left out, marked by "..." */
} line;

void line_add(line *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
