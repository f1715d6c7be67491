/* Names of a model as identifiers of C and C++.
 *
 * law: the result is an identifier that neither language, nor a header which the generated one includes, has a meaning
 *      for; it has no two '_' in a row and begins with a letter, which leaves all that is reserved aside
 */
#include "compiler/aot.h"

#include <stdio.h>
#include <string.h>

/* Keywords of C (to C23) and C++ (to C++20), and macros that are no capitals. */
static const char *const taken_words[] = {
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "atomic_cancel",
    "atomic_commit",
    "atomic_noexcept",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "errno",
    "explicit",
    "export",
    "extern",
    "false",
    "final",
    "float",
    "for",
    "friend",
    "goto",
    "i386",
    "if",
    "import",
    "inline",
    "int",
    "linux",
    "long",
    "module",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "offsetof",
    "operator",
    "or",
    "or_eq",
    "override",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "synchronized",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "NULL",
};

/* How macros of stdint.h begin. Its types end as all do that POSIX keeps for itself: in _t. */
static const char *const taken_beginnings[] = {"INT", "UINT", "SIZE_", "PTRDIFF_", "SIG_ATOMIC_", "WCHAR_", "WINT_"};

static bool is_taken(const char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i < sizeof taken_words / sizeof *taken_words; i++)
        if (strcmp(text, taken_words[i]) == 0) return true;
    for (size_t i = 0; i < sizeof taken_beginnings / sizeof *taken_beginnings; i++)
        if (strncmp(text, taken_beginnings[i], strlen(taken_beginnings[i])) == 0) return true;
    return length > 1 && strcmp(text + length - 2, "_t") == 0;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

enum { LONGEST = 120 }; /* C has linkers tell 31 characters apart; all that matter tell more */

const char *aot_identifier(arena *memory, const char *name, const char *otherwise) {
    char text[LONGEST + 4];
    size_t n = 0;
    bool is_gap = false;
    for (const char *c = name ? name : ""; *c && n < LONGEST; c++) {
        if (!is_letter(*c) && !is_digit(*c)) {
            is_gap = n > 0;
            continue;
        }
        if (n == 0 && is_digit(*c)) text[n++] = 'x';
        if (is_gap) text[n++] = '_';
        is_gap = false;
        text[n++] = *c;
    }
    text[n] = '\0';
    if (n == 0) return arena_strdup(memory, otherwise);
    return is_taken(text) ? arena_printf(memory, "%s_", text) : arena_strdup(memory, text);
}

const char *aot_unique(arena *memory, const char *name, const char *otherwise, const char *const *taken, size_t n) {
    const char *first = aot_identifier(memory, name, otherwise), *text = first;
    for (unsigned number = 2; text; number++) {
        size_t i = 0;
        while (i < n && (!taken[i] || strcmp(taken[i], text) != 0)) i++;
        if (i == n) return text;
        size_t length = strlen(first);
        text = arena_printf(memory, "%s%s%u", first, length > 0 && first[length - 1] == '_' ? "" : "_", number);
    }
    return NULL;
}
