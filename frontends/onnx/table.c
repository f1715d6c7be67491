/* The table of ops in memory (table.def). */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

const op_row op_rows[] = {
#define ROW(name, since, until, least, most, outputs, convert, variant)                                                \
    {name, since, until, least, most, outputs, convert, variant, ""},
#define ROW_OF(domain, name, since, until, least, most, outputs, convert, variant)                                     \
    {name, since, until, least, most, outputs, convert, variant, domain},
#define NEWEST OPSET_NEWEST
#include "frontends/onnx/table.def"
#undef ROW
#undef ROW_OF
#undef NEWEST
};
const size_t op_row_count = sizeof op_rows / sizeof op_rows[0];

const op_row *op_row_find(const char *domain, const char *name, int64_t version) {
    for (size_t i = 0; i < op_row_count; i++) {
        const op_row *row = &op_rows[i];
        if (strcmp(row->name, name) == 0 && strcmp(row->domain, domain) == 0 && version >= row->since &&
            version <= row->until)
            return row;
    }
    return NULL;
}
