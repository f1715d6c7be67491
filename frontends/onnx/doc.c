/* The ops of ONNX that are known, as a page: from which opset on, and whether gradients go through them.
 *
 * in:  table.def, no_gradient.def
 * out: Markdown, which stands behind the reference of Tenon's own ops
 */
#include "frontends/onnx/doc.h"

#include "frontends/onnx/ops.h"
#include "ir/text.h"

#include <string.h>

static const struct {
    const char *name, *why;
} no_gradients[] = {
#define FLAT "none: its derivative is zero almost everywhere"
#define NO_FLOAT "none: it gives integers or bools"
#define NO_INPUT "none: it depends on no float"
#define NO_GRADIENT(name, why) {name, why},
#include "frontends/onnx/no_gradient.def"
#undef NO_GRADIENT
};

const char *onnx_no_gradient(const char *name) {
    for (size_t i = 0; i < sizeof no_gradients / sizeof *no_gradients; i++)
        if (strcmp(no_gradients[i].name, name) == 0) return no_gradients[i].why;
    return NULL;
}

/* An op may have several rows, of different opsets, one after the other: the first says since when. */
static bool is_first_row(size_t i) {
    return i == 0 || strcmp(op_rows[i].name, op_rows[i - 1].name) != 0 ||
           strcmp(op_rows[i].domain, op_rows[i - 1].domain) != 0;
}

char *onnx_doc(void) {
    text_buffer b = {0};
    text_add(&b, "\n## Ops of ONNX\n\nMade from `frontends/onnx/table.def`. What an op of another opset, with other "
                 "inputs or of another dtype lacks, `tenon check MODEL` says.\n\n"
                 "| op | since opset | gradient |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < op_row_count; i++) {
        if (!is_first_row(i)) continue;
        const op_row *row = &op_rows[i];
        const char *why = onnx_no_gradient(row->name);
        text_format(&b, "| %s%s`%s` | %d | %s |\n", row->domain, *row->domain ? " " : "", row->name, (int)row->since,
                    why ? why : "yes");
    }
    text_add_n(&b, "", 1);
    if (!b.failed) return b.text;
    tn_free(b.text);
    return NULL;
}
