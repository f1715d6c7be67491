/* What commands write (see write.h). */
#include "frontends/cli/write.h"

#include "frontends/cli/model.h"
#include "runtime/diag.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int io_error(const char *path) {
    return report_text(path ? path : "stdout", "cannot be written: %s", strerror(errno));
}

/* The comment's line, then the text; path NULL: to stdout. */
static bool write_lines(const char *path, const char *comment, const char *text) {
    FILE *f = path ? fopen(path, "w") : stdout;
    bool ok = f && (!comment || fprintf(f, "# %s\n", comment) > 0) && fputs(text, f) >= 0;
    if (f && path) ok = fclose(f) == 0 && ok;
    return ok;
}

int write_text(const char *path, const char *text) {
    if (!text) return report_text(path, "out of memory");
    return write_lines(path, NULL, text) ? EXIT_DONE : io_error(path);
}

tn_status write_module(const tn_module *m, const char *path, const char *comment, tn_diag *diag) {
    char data[1024];
    if (path && (size_t)snprintf(data, sizeof data, "%s.bin", path) >= sizeof data)
        return diag_fail(diag, TN_ERR_ARGUMENT, "the name is too long");
    errno = 0;
    char *text = tn_module_print(m, path ? data : NULL);
    bool ok = text && write_lines(path, comment, text);
    tn_status status = ok ? TN_OK : diag_fail(diag, TN_ERR_IO, "cannot be written: %s", strerror(errno));
    tn_text_free(text);
    return status;
}

int write_folder(const char *path) { return mkdir(path, 0777) == 0 || errno == EEXIST ? EXIT_DONE : io_error(path); }
