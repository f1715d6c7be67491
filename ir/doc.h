/* docs/OPS.md: the op table as a page. */
#ifndef TN_IR_DOC_H
#define TN_IR_DOC_H

/* Markdown, NUL-terminated, to be freed with tn_text_free. NULL: no memory. */
char *doc_ops(void);

#endif
