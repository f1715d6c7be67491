/* Explanations (tenon_explain.h) written down: as text for a terminal, as JSON for programs, as a page for a browser. */
#ifndef TENON_EXPLAIN_REPORT_H
#define TENON_EXPLAIN_REPORT_H

#include "tenon_explain.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The order of kernels in the text. */
typedef enum tn_explain_order {
    TN_EXPLAIN_IN_ORDER, /* in which they run */
    TN_EXPLAIN_BY_TIME,  /* measured, or predicted where nothing was measured; the largest first, as below */
    TN_EXPLAIN_BY_FLOPS,
    TN_EXPLAIN_BY_BYTES,
} tn_explain_order;

/* For a terminal of 120 columns: the whole, a table of kernels, and for each why it is built as it is. Freed with
 * tn_text_free; NULL: out of memory. */
TN_API char *tn_explain_text(const tn_explanation *e, tn_explain_order order);

/* One JSON object; docs/EXPLAIN.md lists its fields. What is not known is null. Bytes of names that are no UTF-8 are
 * replaced by U+FFFD. Freed with tn_text_free; NULL: out of memory. */
TN_API char *tn_explain_json(const tn_explanation *e);

/* One HTML page that needs nothing else: the graph, a table of kernels, the arena over time. Freed with tn_text_free; NULL:
 * out of memory. */
TN_API char *tn_explain_html(const tn_explanation *e);

#ifdef __cplusplus
}
#endif

#endif
