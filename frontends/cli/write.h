/* What commands write: texts and modules, to files or to stdout. */
#ifndef TN_CLI_WRITE_H
#define TN_CLI_WRITE_H

#include "tenon.h"

/* Writes `text` (NULL: there was no memory for it) to a file, or to stdout when path is NULL. EXIT_DONE, or EXIT_INPUT with
 * the error on stderr. */
int write_text(const char *path, const char *text);

/* A module as text, below a line with the comment (or NULL); large constants go to PATH.bin, into the text when path is
 * NULL. *diag has no file. */
tn_status write_module(const tn_module *m, const char *path, const char *comment, tn_diag *diag);

/* Makes a folder unless it is there; as write_text. */
int write_folder(const char *path);

#endif
