/* What the parts of the module parser share (ir/parse*.c). */
#ifndef TN_IR_PARSE_H
#define TN_IR_PARSE_H

#include "ir/lex.h"
#include "ir/op.h"

/* A function of the text: found first, built when it is needed. */
typedef enum build_state { BUILD_WAITING, BUILD_UNDER_WAY, BUILD_DONE } build_state;

typedef struct text_function {
    tn_graph *graph;
    lexer_place header; /* at its ( */
    size_t after;       /* where the next one begins, or the text ends */
    build_state state;
    token gradient; /* the name of its gradient; length 0: it has none */
} text_function;

/* A growing array of 64-bit items, used again and again. */
typedef struct item_list {
    void *items;
    size_t n, capacity;
} item_list;

typedef struct parser {
    lexer lex;
    tn_module *module;
    text_function *functions; /* in the order of module->graphs */
    size_t n_functions, functions_capacity;
    int depth;         /* of functions being built inside each other */
    size_t counted_at; /* lines are counted on from here */
    int counted_line;
    item_list elements; /* bytes of the constant being read */
} parser;

/* Names of values of the function being built: a hash table. */
typedef struct value_name {
    const char *text; /* NULL: free */
    size_t length;
    bool is_number; /* %0 is not %"0" */
    value_id value;
} value_name;

typedef struct value_names {
    value_name *slots;
    size_t n_slots, n;
} value_names;

typedef struct function_parser {
    parser *p;
    tn_graph *graph;
    value_names names;
} function_parser;

/* Source lines, counted from where the last one was asked for. */
int parser_line(parser *p, size_t at);

/* Locations in the comment behind what was taken last (`# mlp.c:13, "odd name":4`), else the text's own
 * line of `at`. */
location_id parser_location(parser *p, size_t at);

/* The function of that name, built; NULL with an error. */
tn_graph *parser_function(parser *p, const token *name);

/* Defines or looks up a value of the function. False: an error is recorded. */
bool names_define(function_parser *f, const token *name, value_id v);
bool names_find(function_parser *f, const token *name, value_id *v);

/* Takes a node (anything but `return`) and appends it. */
bool parse_node(function_parser *f);

/* Takes the content of a constant of that type: {1, 2} or @0x... "file"+offset. */
const tensor_data *parse_data(parser *p, const tn_type *type);

/* An error of the module (from a rule) becomes one of the text, at `at`; always false. */
bool parser_rule_error(parser *p, size_t at);

/* Room for n more bytes in the list. */
void *list_reserve(parser *p, item_list *list, size_t n, size_t bytes_each);

#endif
