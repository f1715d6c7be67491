/* Whether a text is UTF-8 (see utf8.h). */
#include "frontends/data/utf8.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* First bytes, how many follow, and what the second one may be; the others are 0x80 to 0xbf. */
static const struct {
    uint8_t first_low, first_high, n_more, second_low, second_high;
} forms[] = {
    {0x01, 0x7f, 0, 0x00, 0x00}, {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
    {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

const char *utf8_next(const char *at, const char *end) {
    uint8_t first = (uint8_t)*at++;
    size_t f = 0;
    while (f < N_FORMS && (first < forms[f].first_low || first > forms[f].first_high)) f++;
    if (f == N_FORMS || end - at < forms[f].n_more) return NULL;
    for (int i = 0; i < forms[f].n_more; i++) {
        uint8_t low = i == 0 ? forms[f].second_low : 0x80, high = i == 0 ? forms[f].second_high : 0xbf;
        uint8_t byte = (uint8_t)*at++;
        if (byte < low || byte > high) return NULL;
    }
    return at;
}

bool utf8_is_valid(const char *text) {
    const char *end = text + strlen(text);
    while (text && text < end) text = utf8_next(text, end);
    return text != NULL;
}
