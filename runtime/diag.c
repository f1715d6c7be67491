/* Filling diagnostics: see diag.h. */
#include "runtime/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void line_add_list(line *t, const char *format, va_list args) {
    size_t room = t->capacity - t->used;
    int length = vsnprintf(t->bytes + t->used, room, format, args);
    if (length < 0) {
        t->bytes[t->used] = '\0';
        return;
    }
    if ((size_t)length < room) {
        t->used += (size_t)length;
        return;
    }
    /* Cut: the mark goes where a character starts (UTF-8 continues with 10xxxxxx). */
    size_t end = t->capacity - sizeof "...";
    while (end > 0 && ((unsigned char)t->bytes[end] & 0xc0) == 0x80) end--;
    memcpy(t->bytes + end, "...", sizeof "...");
    t->used = end + 3;
}

void line_add(line *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    line_add_list(t, format, args);
    va_end(args);
}

tn_status diag_fail(tn_diag *diag, tn_status status, const char *format, ...) {
    if (diag == NULL) return status;
    *diag = (tn_diag){.status = status};
    line t = {diag->message, sizeof diag->message, 0};
    va_list args;
    va_start(args, format);
    line_add_list(&t, format, args);
    va_end(args);
    return status;
}

tn_status diag_in_file(tn_diag *diag, tn_status status, const char *file) {
    if (diag != NULL && status != TN_OK) diag->file = file;
    return status;
}
