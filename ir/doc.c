/* The reference of all ops, rendered from their table.
 *
 * in:  op_table, the attribute table, the dtype table
 * out: Markdown
 * law: says nothing that is not in the tables but headings
 */
#include "ir/doc.h"

#include "ir/op.h"
#include "ir/text.h"

static const char intro[] =
    "# Ops\n\n"
    "Made from `ir/ops.def` by `tenon doc ops`; don't edit.\n\n"
    "Elementwise ops take operands of one shape; the builder and the importers broadcast first. Unless an op says\n"
    "otherwise its operands have one dtype. Every op is total: no input makes it trap. Attributes in brackets may be\n"
    "left out. `tn_apply` takes every op by its name here, prefixed with `TN_OP_`. Where an op has no derivative\n"
    "(ties, bounds, zeros), its rule says what its gradient is: `ir/grad_*.c`.\n";

/* Sections in the order of the page. Composites are last, as they are in the table. */
static const struct {
    loop_class loop_class;
    const char *heading;
} sections[] = {
    {CLASS_LEAF, "Leaves"},          {CLASS_MAP, "Elementwise"},      {CLASS_VIEW, "Views"},
    {CLASS_INDEX, "Indexing"},       {CLASS_REDUCE, "Reductions"},    {CLASS_CUMULATE, "Running reductions"},
    {CLASS_WINDOW, "Windows"},       {CLASS_SORT, "Sorting"},         {CLASS_CONTRACT, "Contractions"},
    {CLASS_CONV, "Convolutions"},    {CLASS_CONTROL, "Control flow"}, {CLASS_EFFECT, "Effects"},
    {CLASS_COMPOSITE, "Composites"},
};

static const char *const kind_names[] = {
    [ATTR_KIND_INT] = "integer",
    [ATTR_KIND_INTS] = "integers",
    [ATTR_KIND_DIM] = "dim",
    [ATTR_KIND_DIMS] = "dims",
    [ATTR_KIND_PAIR] = "two lists of axes",
    [ATTR_KIND_FLOAT] = "number",
    [ATTR_KIND_ENUM] = "one of",
    [ATTR_KIND_DTYPE] = "dtype",
    [ATTR_KIND_TEXT] = "text",
    [ATTR_KIND_FUNC] = "function",
    [ATTR_KIND_DATA] = "data",
};

/* A cell of a table: what would end it is escaped. */
static void add_cell(text_buffer *b, const char *text) {
    for (; *text; text++) {
        if (*text == '|' || *text == '*' || *text == '_') text_add(b, "\\");
        text_add_n(b, text, 1);
    }
}

static void add_operands(text_buffer *b, const op_info *info) {
    if (info->max_operands == OP_ANY && info->min_operands == 0)
        text_add(b, "any number");
    else if (info->max_operands == OP_ANY)
        text_format(b, "%d or more", (int)info->min_operands);
    else if (info->min_operands != info->max_operands)
        text_format(b, "%d or %d", (int)info->min_operands, (int)info->max_operands);
    else
        text_format(b, "%d", (int)info->min_operands);
}

static void add_op(text_buffer *b, const op_info *info) {
    text_format(b, "| `%s` | ", info->name);
    add_operands(b, info);
    text_add(b, " | ");
    for (uint32_t i = 0; i < info->n_attrs; i++) {
        const char *name = attr_name_text((attr_name)info->attrs[i].name);
        text_format(b, info->attrs[i].required ? "%s`%s`" : "%s[`%s`]", i > 0 ? " " : "", name);
    }
    text_add(b, " | ");
    add_cell(b, info->doc);
    text_add(b, " | ");
    text_add(b, info->grad ? "rule" : info->no_grad ? "none: it " : "by its parts");
    if (info->no_grad) add_cell(b, info->no_grad);
    text_add(b, " |\n");
}

static void add_section(text_buffer *b, size_t s) {
    text_format(b, "\n## %s\n\n| op | operands | attributes | meaning | gradient |\n| --- | --- | --- | --- | --- |\n",
                sections[s].heading);
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (op_table[op].loop_class == sections[s].loop_class) add_op(b, &op_table[op]);
}

static void add_attributes(text_buffer *b) {
    text_add(b, "\n## Attributes\n\n| attribute | value | ops |\n| --- | --- | --- |\n");
    for (int name = 0; name < ATTR_COUNT; name++) {
        text_format(b, "| `%s` | %s", attr_name_text((attr_name)name), kind_names[attr_kind_of((attr_name)name)]);
        const char *option;
        for (int64_t i = 0; (option = attr_option((attr_name)name, i)); i++) text_format(b, " `%s`", option);
        text_add(b, " |");
        for (int op = 0; op < TN_OP_COUNT; op++)
            for (uint32_t i = 0; i < op_table[op].n_attrs; i++)
                if (op_table[op].attrs[i].name == name) text_format(b, " `%s`", op_table[op].name);
        text_add(b, " |\n");
    }
}

static void add_dtypes(text_buffer *b) {
    text_add(b, "\n## Dtypes\n\n| dtype | bits |\n| --- | --- |\n");
    for (int i = 0; i < TN_DTYPE_COUNT; i++)
        text_format(b, "| `%s` | %u |\n", tn_dtype_name((tn_dtype)i), tn_dtype_bits((tn_dtype)i));
}

char *doc_ops(void) {
    text_buffer b = {0};
    text_add(&b, intro);
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) add_section(&b, s);
    add_attributes(&b);
    add_dtypes(&b);
    text_add_n(&b, "", 1);
    if (!b.failed) return b.text;
    tn_free(b.text);
    return NULL;
}
