/* Whether a text is UTF-8 (see utf8.h). */
#include "frontends/data/utf8.h"

#include <stddef.h>
#include <stdint.h>

/* First bytes, how many follow, and what the second one may be; the others are 0x80 to 0xbf. */
static const struct {
    uint8_t first_low, first_high, n_more, second_low, second_high;
} forms[] = {
    {0x01, 0x7f, 0, 0x00, 0x00}, {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
    {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

/* Behind the character at `at`; NULL: it is none. */
static const uint8_t *behind_character(const uint8_t *at) {
    size_t f = 0;
    while (f < N_FORMS && (*at < forms[f].first_low || *at > forms[f].first_high)) f++;
    if (f == N_FORMS) return NULL;
    at++;
    for (int i = 0; i < forms[f].n_more; i++, at++) {
        uint8_t low = i == 0 ? forms[f].second_low : 0x80, high = i == 0 ? forms[f].second_high : 0xbf;
        if (*at < low || *at > high) return NULL;
    }
    return at;
}

bool utf8_is_valid(const char *text) {
    const uint8_t *at = (const uint8_t *)text;
    while (at && *at) at = behind_character(at);
    return at != NULL;
}
