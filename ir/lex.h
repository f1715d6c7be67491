/* Tokens of the text form, and errors that point into the text.
 *
 * Shared by the parsers of modules (ir/parse.c) and of what else is written in the same
 * spelling. A lexer looks one token ahead; the first error sticks and ends the text: every
 * token after it is TOKEN_END, so parsers need no check in loops that stop at the end.
 */
#ifndef TN_IR_LEX_H
#define TN_IR_LEX_H

#include "ir/dim.h"

typedef enum token_kind {
    TOKEN_END,
    TOKEN_NAME,     /* fn, f32, n, main.then */
    TOKEN_STRING,   /* "..." */
    TOKEN_NUMBER,   /* 12, 0x1f, 1e-05: not signed */
    TOKEN_VALUE,    /* %x, %"odd name" */
    TOKEN_FUNCTION, /* @main, @0x1f */
    TOKEN_VARIABLE, /* $3 */
    TOKEN_PUNCTUATION,
} token_kind;

typedef struct token {
    token_kind kind;
    bool quoted;      /* names in quotes: text is what stands between them, unescaped */
    const char *text; /* not NUL-terminated */
    size_t length;
    size_t at; /* offset in the source */
} token;

/* Where a parse can be taken up again. */
typedef struct lexer_place {
    size_t at;
    token next;
    size_t comment, comment_length;
} lexer_place;

typedef struct lexer {
    const char *name; /* of the file, for messages */
    const char *source;
    size_t length;
    size_t at;             /* after `next` */
    token next;            /* the token looked at */
    size_t comment;        /* offset and length of the comment between the token taken last and `next`, */
    size_t comment_length; /* when it stands on the line of the former; else 0 */
    size_t taken_end;      /* end of the token taken last */
    arena memory;          /* unescaped names, and whatever a parser keeps for the time of the parse */
    tn_diag error;         /* the first; TN_OK while there is none */
} lexer;

void lexer_start(lexer *lex, const char *source, size_t length, const char *name);
void lexer_free(lexer *lex);

token lexer_take(lexer *lex); /* returns `next` and moves on */
lexer_place lexer_save(const lexer *lex);
void lexer_go_to(lexer *lex, lexer_place place);

static inline bool lexer_failed(const lexer *lex) { return lex->error.status != TN_OK; }
bool lexer_is(const lexer *lex, const char *text); /* `next` is that punctuation or unquoted name */
bool lexer_accept(lexer *lex, const char *text);   /* takes it when it is */
bool lexer_expect(lexer *lex, const char *text);   /* takes it, or an error */
bool token_is(const token *t, const char *text);

/* Records an error at a place of the source unless there is one; ends the text; always false.
 * The message gets the source line and a caret below it. */
bool lexer_error(lexer *lex, size_t at, tn_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "expected WHAT, not TOKEN" at the next token; always false. */
bool lexer_unexpected(lexer *lex, const char *what);
bool lexer_no_memory(lexer *lex);
/* Line and column (in characters) of an offset, both from 1. */
void lexer_position(const lexer *lex, size_t at, int *line, int *column);
/* Appends "\n" the line of `at` "\n" a caret to a message of TN_DIAG_MESSAGE_BYTES bytes. */
void lexer_point(const lexer *lex, size_t at, char *message);

/* Takes an integer with an optional sign. */
bool lexer_int(lexer *lex, int64_t *value);
/* Takes a number with an optional sign, or a word (inf, nan, true), as text of at most 79
 * characters. False: an error is recorded. */
bool lexer_literal(lexer *lex, char out[80]);
/* The token's text with a NUL, in the lexer's memory. NULL: no memory, recorded. */
const char *lexer_text(lexer *lex, const token *t);

/* Takes a dim expression: sums, products, floordiv ceildiv mod min max, symbols, $k. */
bool lexer_dim(lexer *lex, dim_table *dims, tn_dim *d);
/* Takes a type: f32[n, 784], token. */
bool lexer_type(lexer *lex, dim_table *dims, tn_type *type);

#endif
