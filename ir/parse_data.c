/* Constants in the text form.
 *
 * in:  {1, 2, 3}, or @0x<checksum> "file"+offset with the file beside the text
 * out: constant data of the module
 * law: memory grows with what is there, not with what a type claims; files are read from the
 *      text's own folder only, and what they hold must have the checksum
 */
#include "ir/literal.h"
#include "ir/parse.h"
#include "ir/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Inline ------------------------------------------------------------------------------------- */

static bool parse_element(parser *p, tn_dtype dtype, void *element) {
    size_t at = p->lex.next.at;
    char text[80];
    if (!lexer_literal(&p->lex, text)) return false;
    switch (literal_parse(dtype, text, element)) {
    case LITERAL_OK: return true;
    case LITERAL_RANGE:
        return lexer_error(&p->lex, at, TN_ERR_PARSE, "%s does not fit in %s", text, tn_dtype_name(dtype));
    default: return lexer_error(&p->lex, at, TN_ERR_PARSE, "%s is no %s", text, tn_dtype_name(dtype));
    }
}

static const tensor_data *parse_elements(parser *p, const tn_type *type, size_t bytes) {
    tn_dtype dtype = (tn_dtype)type->dtype;
    size_t at = p->lex.next.at, size = tn_dtype_bits(dtype) / 8, wanted = bytes / size, n = 0;
    lexer_take(&p->lex); /* { */
    p->elements.n = 0;
    if (!lexer_is(&p->lex, "}")) {
        do {
            char *room = list_reserve(p, &p->elements, size, 1);
            if (!room || !parse_element(p, dtype, room)) return NULL;
            p->elements.n += size;
            n++;
        } while (n <= wanted && lexer_accept(&p->lex, ","));
    }
    if (n != wanted) {
        lexer_error(&p->lex, at, TN_ERR_PARSE, "the type has %zu elements, %s%zu are given", wanted,
                    n > wanted ? "at least " : "", n);
        return NULL;
    }
    if (!lexer_expect(&p->lex, "}")) return NULL;
    const tensor_data *data = module_constant(p->module, type, p->elements.items, true);
    if (!data) parser_rule_error(p, at);
    return data;
}

/* ---- From a file ----------------------------------------------------------------------------------- */

/* The file beside the text, open for reading; -1. */
static int open_beside(parser *p, const char *file) {
    const char *name = p->lex.name, *slash = strrchr(name, '/');
    size_t folder = slash ? (size_t)(slash - name) + 1 : 0, length = strlen(file);
    char *path = arena_alloc(&p->lex.memory, folder + length + 1, 1);
    if (!path) return -1;
    memcpy(path, name, folder);
    memcpy(path + folder, file, length + 1);
    return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static bool read_all(int fd, char *to, size_t bytes, int64_t offset) {
    while (bytes > 0) {
        ssize_t n = pread(fd, to, bytes < (1u << 30) ? bytes : (1u << 30), offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Reads into p->elements; the message says what is wrong with the file. */
static const char *read_file(parser *p, int fd, size_t bytes, int64_t offset) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return "is no file";
    if (offset < 0 || offset > info.st_size || bytes > (uint64_t)(info.st_size - offset)) return "is too short";
    p->elements.n = 0;
    char *room = list_reserve(p, &p->elements, bytes + 1, 1);
    if (!room) return "";
    return read_all(fd, room, bytes, offset) ? NULL : "cannot be read";
}

static bool parse_checksum(parser *p, uint64_t *checksum) {
    token t = p->lex.next;
    if (t.kind != TOKEN_FUNCTION || t.quoted || t.length < 3 || t.length > 18 || memcmp(t.text, "0x", 2) != 0)
        return lexer_unexpected(&p->lex, "`{` or `@0x` and a checksum");
    *checksum = 0;
    for (size_t i = 2; i < t.length; i++) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, t.text[i]);
        if (!digit) return lexer_unexpected(&p->lex, "`@0x` and a checksum in hexadecimal digits");
        *checksum = *checksum * 16 + (uint64_t)(digit - digits);
    }
    lexer_take(&p->lex);
    return true;
}

static const tensor_data *parse_reference(parser *p, const tn_type *type, size_t bytes) {
    uint64_t checksum = 0;
    int64_t offset = 0;
    if (!parse_checksum(p, &checksum)) return NULL;
    token t = p->lex.next;
    if (t.kind != TOKEN_STRING) return lexer_unexpected(&p->lex, "a file name"), NULL;
    lexer_take(&p->lex);
    const char *file = lexer_text(&p->lex, &t);
    if (!file || !lexer_expect(&p->lex, "+") || !lexer_int(&p->lex, &offset)) return NULL;
    if (!*file || strchr(file, '/') || strcmp(file, "..") == 0 || strcmp(file, ".") == 0) {
        lexer_error(&p->lex, t.at, TN_ERR_PARSE,
                    "constants are read from files beside the text: a name without folders");
        return NULL;
    }
    int fd = open_beside(p, file);
    if (fd < 0) {
        lexer_error(&p->lex, t.at, TN_ERR_IO, "%s cannot be opened: %s", file, strerror(errno));
        return NULL;
    }
    const char *fault = read_file(p, fd, bytes, offset);
    close(fd);
    if (!fault && data_checksum(p->elements.items, bytes) != checksum) fault = "does not have the checksum";
    if (fault) {
        lexer_error(&p->lex, t.at, TN_ERR_IO, "%s %s", file, fault);
        return NULL;
    }
    const tensor_data *data = module_constant(p->module, type, p->elements.items, true);
    if (!data) parser_rule_error(p, t.at);
    return data;
}

const tensor_data *parse_data(parser *p, const tn_type *type) {
    size_t bytes;
    if (type->dtype >= TN_DTYPE_COUNT || !type_static_bytes(p->module->dims, type, &bytes)) {
        lexer_error(&p->lex, p->lex.next.at, TN_ERR_PARSE, "a constant's sizes are numbers, and not too large");
        return NULL;
    }
    return lexer_is(&p->lex, "{") ? parse_elements(p, type, bytes) : parse_reference(p, type, bytes);
}
