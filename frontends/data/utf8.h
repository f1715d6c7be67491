/* Whether a text is UTF-8, as JSON and protobuf demand of theirs: no byte out of place, no character written longer
 * than needed, no surrogates, none beyond U+10FFFF. Source: RFC 3629. */
#ifndef TN_DATA_UTF8_H
#define TN_DATA_UTF8_H

#include <stdbool.h>

bool utf8_is_valid(const char *text);

/* Behind the character at `at`, which is before `end`; NULL: there is none, or it is cut off, or a zero byte. */
const char *utf8_next(const char *at, const char *end);

#endif
