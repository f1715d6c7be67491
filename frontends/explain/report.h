/* What the forms of an explanation share. Private to frontends/explain/. */
#ifndef TN_EXPLAIN_REPORT_H
#define TN_EXPLAIN_REPORT_H

#include <jansson.h>

#include "frontends/explain/tenon_explain_report.h"
#include "ir/text.h"

/* The text with its end mark, which is the caller's; NULL: out of memory. */
char *report_take(text_buffer *t);

/* The explanation as JSON (report_json.c); NULL: out of memory. */
json_t *report_json(const tn_explanation *e);

#endif
