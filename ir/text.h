/* A growing text, and the parts of the text form that go into it.
 *
 * Shared by the printers (ir/print.c, ir/print_data.c). Failures stick: after the first
 * nothing is added, and the end asks once.
 */
#ifndef TN_IR_TEXT_H
#define TN_IR_TEXT_H

#include "ir/graph.h"

typedef struct text_buffer {
    char *text; /* from tn_malloc; not NUL-terminated */
    size_t length, capacity;
    bool failed;
} text_buffer;

void text_add(text_buffer *b, const char *text);
void text_add_n(text_buffer *b, const char *text, size_t length);
void text_format(text_buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_quote(text_buffer *b, const char *text);           /* "..." */
void text_name(text_buffer *b, char sign, const char *name); /* %x, @"odd name" */
void text_dim(text_buffer *b, const dim_table *dims, tn_dim d);
void text_type(text_buffer *b, const dim_table *dims, const tn_type *type);
void text_double(text_buffer *b, double number);

/* The file that large constants go to. */
typedef struct data_file data_file;

enum { TEXT_INLINE_ELEMENTS = 64, TEXT_BRIEF_ELEMENTS = 4 };

/* `{1, 2}`, or `@0x... "file"+offset` for what goes to the file (NULL: never). */
void text_data(text_buffer *b, data_file *file, const tensor_data *data);

/* The first few elements: `{1, 2, ...}`, which only people read. */
void text_data_brief(text_buffer *b, const tensor_data *data);

/* How nodes are written for people. */
typedef struct node_style {
    void (*spell)(void *ctx, text_buffer *b, value_id v); /* names of values; NULL: those of the text form */
    void *ctx;
} node_style;

/* A node as its line of the text form, end of line included; long constants and locations are cut. The numbers are
 * those of graph_number_values (ir/names.h), not needed where `style` spells values; style may be NULL. */
void text_node(text_buffer *b, const tn_graph *g, const uint32_t *numbers, const node_style *style, const node *n);
/* A parameter likewise: %w: f32[64, 3] weight {1, 2, ...}. */
void text_param(text_buffer *b, const tn_module *m, const param *item);

/* What is written between the lines of a module: lines of comments. */
typedef struct print_notes {
    void (*function)(void *ctx, text_buffer *b, const tn_graph *g); /* before its first node */
    void (*node)(void *ctx, text_buffer *b, const tn_graph *g, const uint32_t *numbers, size_t node); /* before each */
    void *ctx;
} print_notes;

/* tn_module_print with notes; NULL: none. */
char *module_print_with(const tn_module *m, const char *data_path, const print_notes *notes);

/* The name of the ONNX node that a location stands for ("conv1" of "model.onnx: node 'conv1' (Conv)"), not NUL-terminated;
 * NULL: it is a line of source. */
const char *location_node_name(const tn_location *at, size_t *length);

/* Where a node is from, as short as people can still find it: "conv1 (Conv), mlp.c:13 and 4 more". */
enum { TEXT_BRIEF_LOCATIONS = 3 };
void text_locations_brief(text_buffer *b, const tn_module *m, location_id set);

/* What a kernel does, for people: the ops of nodes that are told, in order, those that are alike and follow each other
 * once: "conv + add x2 + max". */
typedef struct ops_style {
    bool (*is_told)(const node *n);
    bool has_kinds; /* "reduce sum", "compare lt" */
    size_t most;    /* so many, then "+ 3 more"; 0: all */
} ops_style;

/* Returns how many there are. */
size_t text_ops(text_buffer *b, const tn_graph *g, const ops_style *style);
/* One op with its kind. */
void text_op(text_buffer *b, const node *n);

/* Made at `path` when the first constant is written. NULL: no memory. */
data_file *data_file_new(const char *path);
/* Finishes the file; false when writing failed, and then there is no file. */
bool data_file_close(data_file *file);

/* What stands after @0x: a checksum of bytes. */
uint64_t data_checksum(const void *bytes, size_t n);

#endif
