/* The lexer of the text form.
 *
 * in:  bytes, nothing known of them
 * out: tokens; errors with line, column, the source line and a caret
 * law: reads nothing outside the text; white space and comments (# to the end of the line)
 *      only separate tokens
 */
#include "ir/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Characters ------------------------------------------------------------------------------ */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_name_char(char c) { return is_letter(c) || is_digit(c) || c == '.'; }
static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static char char_at(const lexer *lex, size_t at) { return at < lex->length ? lex->source[at] : '\0'; }

/* ---- Errors ----------------------------------------------------------------------------------- */

void lexer_position(const lexer *lex, size_t at, int *line, int *column) {
    *line = *column = 1;
    for (size_t i = 0; i < at && i < lex->length; i++) {
        bool is_continuation = ((unsigned char)lex->source[i] & 0xc0) == 0x80;
        if (lex->source[i] == '\n')
            *column = 1, ++*line;
        else
            *column += !is_continuation;
    }
}

void lexer_point(const lexer *lex, size_t at, char *message) {
    enum { BEFORE = 100, AFTER = 60 };
    size_t begin = at < lex->length ? at : lex->length, end = begin;
    while (begin > 0 && lex->source[begin - 1] != '\n' && at - begin < BEFORE) begin--;
    while (end < lex->length && lex->source[end] != '\n' && lex->source[end] != '\r' && end - at < AFTER) end++;
    /* Not in the middle of a character. */
    while (begin < end && ((unsigned char)lex->source[begin] & 0xc0) == 0x80) begin++;
    while (end > begin && end < lex->length && ((unsigned char)lex->source[end] & 0xc0) == 0x80) end--;
    char text[3 * (BEFORE + AFTER) + 8];
    size_t n = 0;
    text[n++] = '\n';
    for (size_t i = begin; i < end; i++) {
        unsigned char c = (unsigned char)lex->source[i];
        text[n++] = (char)(c < 0x20 && c != '\t' ? '?' : c);
    }
    text[n++] = '\n';
    for (size_t i = begin; i < at && i < end; i++) {
        char c = lex->source[i];
        if (((unsigned char)c & 0xc0) != 0x80) text[n++] = c == '\t' ? '\t' : ' ';
    }
    text[n++] = '^';
    text[n] = '\0';
    size_t length = strlen(message);
    if (length + n < TN_DIAG_MESSAGE_BYTES) memcpy(message + length, text, n + 1);
}

bool lexer_error(lexer *lex, size_t at, tn_status status, const char *format, ...) {
    if (lexer_failed(lex)) return false;
    lex->error.status = status;
    lex->error.file = lex->name;
    lexer_position(lex, at, &lex->error.line, &lex->error.column);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lex->error.message, sizeof lex->error.message, format, arguments);
    va_end(arguments);
    lexer_point(lex, at, lex->error.message);
    lex->next = (token){.kind = TOKEN_END, .text = "", .at = lex->length};
    lex->at = lex->length;
    return false;
}

bool lexer_no_memory(lexer *lex) {
    if (lexer_failed(lex)) return false;
    lexer_error(lex, lex->next.at, TN_ERR_MEMORY, "out of memory");
    return false;
}

bool lexer_unexpected(lexer *lex, const char *what) {
    const token *t = &lex->next;
    int shown = t->length > 40 ? 40 : (int)t->length;
    if (t->kind == TOKEN_END)
        return lexer_error(lex, t->at, TN_ERR_PARSE, "expected %s, not the end of the text", what);
    if (t->quoted) return lexer_error(lex, t->at, TN_ERR_PARSE, "expected %s, not a string", what);
    const char *sign = t->kind == TOKEN_VALUE      ? "%"
                       : t->kind == TOKEN_FUNCTION ? "@"
                       : t->kind == TOKEN_VARIABLE ? "$"
                                                   : "";
    return lexer_error(lex, t->at, TN_ERR_PARSE, "expected %s, not `%s%.*s`", what, sign, shown, t->text);
}

/* ---- Scanning ---------------------------------------------------------------------------------- */

/* White space and comments; remembers a comment on the line of the token before. */
static void skip_space(lexer *lex) {
    bool same_line = true;
    lex->comment_length = 0;
    while (lex->at < lex->length) {
        char c = lex->source[lex->at];
        if (c == '#') {
            size_t begin = ++lex->at;
            while (lex->at < lex->length && lex->source[lex->at] != '\n') lex->at++;
            if (same_line) {
                lex->comment = begin;
                lex->comment_length = lex->at - begin;
            }
            same_line = false;
        } else if (is_space(c)) {
            same_line &= c != '\n';
            lex->at++;
        } else {
            return;
        }
    }
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One character of a string after its backslash; -1: no such escape. */
static int take_escape(lexer *lex) {
    char c = char_at(lex, lex->at++);
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case '"':
    case '\\': return c;
    case 'x': {
        int high = hex_value(char_at(lex, lex->at)), low = hex_value(char_at(lex, lex->at + 1));
        if (high < 0 || low < 0 || high + low == 0) return -1; /* names hold no NUL */
        lex->at += 2;
        return high * 16 + low;
    }
    default: return -1;
    }
}

static bool scan_string(lexer *lex, token *t) {
    size_t begin = lex->at++;
    size_t end = lex->at;
    while (end < lex->length && lex->source[end] != '"' && lex->source[end] != '\n')
        end += lex->source[end] == '\\' ? 2 : 1;
    if (end >= lex->length || lex->source[end] != '"')
        return lexer_error(lex, begin, TN_ERR_PARSE, "the string has no end");
    char *text = arena_alloc(&lex->memory, end - lex->at + 1, 1);
    if (!text) return lexer_no_memory(lex);
    size_t n = 0;
    while (lex->at < end) {
        size_t here = lex->at;
        char c = lex->source[lex->at++];
        int value = c == '\\' ? take_escape(lex) : (unsigned char)c;
        if (value < 0)
            return lexer_error(lex, here, TN_ERR_PARSE,
                               "no such escape in a string; there are \\n \\t \\\" \\\\ \\x1f");
        if (value == 0) return lexer_error(lex, here, TN_ERR_PARSE, "a zero byte");
        text[n++] = (char)value;
    }
    lex->at = end + 1;
    t->text = text;
    t->length = n;
    t->quoted = true;
    return true;
}

/* Digits, a fraction, an exponent; or 0x and hexadecimal digits. */
static bool scan_number(lexer *lex, token *t) {
    size_t begin = lex->at;
    if (char_at(lex, begin) == '0' && char_at(lex, begin + 1) == 'x') {
        lex->at += 2;
        while (hex_value(char_at(lex, lex->at)) >= 0) lex->at++;
    } else {
        while (is_digit(char_at(lex, lex->at))) lex->at++;
        if (char_at(lex, lex->at) == '.') lex->at++;
        while (is_digit(char_at(lex, lex->at))) lex->at++;
        char e = char_at(lex, lex->at);
        if (e == 'e' || e == 'E') {
            lex->at++;
            if (char_at(lex, lex->at) == '-' || char_at(lex, lex->at) == '+') lex->at++;
            if (!is_digit(char_at(lex, lex->at)))
                return lexer_error(lex, begin, TN_ERR_PARSE, "the number's exponent has no digits");
            while (is_digit(char_at(lex, lex->at))) lex->at++;
        }
    }
    if (is_name_char(char_at(lex, lex->at))) return lexer_error(lex, begin, TN_ERR_PARSE, "the number is malformed");
    t->kind = TOKEN_NUMBER;
    t->text = lex->source + begin;
    t->length = lex->at - begin;
    return true;
}

/* What stands after % @ or $: letters, digits, _ and ., or a string. */
static bool scan_name_after_sign(lexer *lex, token *t, token_kind kind) {
    t->kind = kind;
    if (char_at(lex, ++lex->at) == '"') return scan_string(lex, t);
    size_t begin = lex->at;
    while (is_name_char(char_at(lex, lex->at))) lex->at++;
    t->text = lex->source + begin;
    t->length = lex->at - begin;
    return true;
}

static bool scan_punctuation(lexer *lex, token *t) {
    static const char *const two[] = {"->", "==", "<=", ">="};
    t->kind = TOKEN_PUNCTUATION;
    t->text = lex->source + lex->at;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (t->text[0] == two[i][0] && char_at(lex, lex->at + 1) == two[i][1]) {
            t->length = 2;
            lex->at += 2;
            return true;
        }
    if (t->text[0] == '\0' || !strchr("()[]{},:=+-*/%;<>", t->text[0]))
        return lexer_error(lex, lex->at, TN_ERR_PARSE, "a character that has no meaning here");
    t->length = 1;
    lex->at++;
    return true;
}

static bool scan_token(lexer *lex, token *t) {
    char c = lex->source[lex->at], after = char_at(lex, lex->at + 1);
    bool names = is_name_char(after) || after == '"';
    if (is_letter(c)) {
        t->kind = TOKEN_NAME;
        t->text = lex->source + lex->at;
        while (is_name_char(char_at(lex, lex->at))) lex->at++;
        t->length = (size_t)(lex->source + lex->at - t->text);
        return true;
    }
    if (is_digit(c)) return scan_number(lex, t);
    if (c == '"') {
        t->kind = TOKEN_STRING;
        return scan_string(lex, t);
    }
    if (c == '%' && names) return scan_name_after_sign(lex, t, TOKEN_VALUE);
    if (c == '@' && names) return scan_name_after_sign(lex, t, TOKEN_FUNCTION);
    if (c == '$' && is_digit(after)) return scan_name_after_sign(lex, t, TOKEN_VARIABLE);
    return scan_punctuation(lex, t);
}

static void advance(lexer *lex) {
    skip_space(lex);
    token t = {.kind = TOKEN_END, .text = "", .at = lex->at};
    if (lex->at < lex->length && !scan_token(lex, &t)) return; /* the error has set `next` */
    lex->next = t;
}

void lexer_start(lexer *lex, const char *source, size_t length, const char *name) {
    *lex = (lexer){.name = name ? name : "text", .source = source, .length = length};
    advance(lex);
}

void lexer_free(lexer *lex) { arena_free(&lex->memory); }

token lexer_take(lexer *lex) {
    token t = lex->next;
    lex->taken_end = lex->at;
    if (!lexer_failed(lex)) advance(lex);
    return t;
}

lexer_place lexer_save(const lexer *lex) {
    return (lexer_place){lex->at, lex->next, lex->comment, lex->comment_length};
}

void lexer_go_to(lexer *lex, lexer_place place) {
    if (lexer_failed(lex)) return;
    lex->at = place.at;
    lex->next = place.next;
    lex->comment = place.comment;
    lex->comment_length = place.comment_length;
}

/* ---- Tokens ------------------------------------------------------------------------------------- */

bool token_is(const token *t, const char *text) {
    bool is_plain = t->kind == TOKEN_PUNCTUATION || t->kind == TOKEN_NAME;
    return is_plain && t->length == strlen(text) && memcmp(t->text, text, t->length) == 0;
}

bool lexer_is(const lexer *lex, const char *text) { return token_is(&lex->next, text); }

bool lexer_accept(lexer *lex, const char *text) {
    if (!lexer_is(lex, text)) return false;
    lexer_take(lex);
    return true;
}

bool lexer_expect(lexer *lex, const char *text) {
    if (lexer_accept(lex, text)) return true;
    char quoted[32];
    snprintf(quoted, sizeof quoted, "`%s`", text);
    return lexer_unexpected(lex, quoted);
}

const char *lexer_text(lexer *lex, const token *t) {
    char *text = arena_strndup(&lex->memory, t->text, t->length);
    if (!text) lexer_no_memory(lex);
    return text;
}

bool lexer_int(lexer *lex, int64_t *value) {
    size_t at = lex->next.at;
    bool negative = lexer_accept(lex, "-");
    if (lex->next.kind != TOKEN_NUMBER) return lexer_unexpected(lex, "an integer");
    token t = lexer_take(lex);
    uint64_t size = 0, limit = (uint64_t)INT64_MAX + negative;
    for (size_t i = 0; i < t.length; i++) {
        if (!is_digit(t.text[i]))
            return lexer_error(lex, t.at, TN_ERR_PARSE, "expected an integer, not `%.*s`",
                               (int)(t.length > 40 ? 40 : t.length), t.text);
        uint64_t digit = (uint64_t)(t.text[i] - '0');
        if (size > (limit - digit) / 10)
            return lexer_error(lex, at, TN_ERR_LIMIT, "the number does not fit in 64 bits");
        size = size * 10 + digit;
    }
    *value = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

bool lexer_literal(lexer *lex, char out[80]) {
    size_t n = 0;
    if (lexer_accept(lex, "-")) out[n++] = '-';
    const token *t = &lex->next;
    if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_NAME) return lexer_unexpected(lex, "a number");
    if (t->length > 78) return lexer_error(lex, t->at, TN_ERR_LIMIT, "the number is too long");
    memcpy(out + n, t->text, t->length);
    out[n + t->length] = '\0';
    lexer_take(lex);
    return true;
}
