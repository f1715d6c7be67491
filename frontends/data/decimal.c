/* Numbers in text (see decimal.h).
 *
 * Up to 15 digits with a power of ten up to 22 are exact as doubles, so that one multiplication or division rounds
 * right; the rest is strtod's.
 *
 * Source: W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990.
 */
#include "frontends/data/decimal.h"

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_DIGITS = 15, EXACT_POWER = 22, MOST_CHARACTERS = 400, MOST_EXPONENT = 100000 };

static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* What a number is made of: digits as a whole number, times 10 to the power. */
typedef struct number {
    bool is_negative;
    uint64_t digits;
    int n_digits; /* without leading zeros */
    int power;
} number;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *take_digits(const char *at, const char *end, number *n, int power_step) {
    for (; at < end && is_digit(*at); at++) {
        n->n_digits += n->n_digits > 0 || *at != '0';
        if (n->n_digits <= EXACT_DIGITS) n->digits = n->digits * 10 + (uint64_t)(*at - '0');
        n->power += power_step;
    }
    return at;
}

static const char *take_exponent(const char *at, const char *end, number *n) {
    if (at == end || (*at != 'e' && *at != 'E')) return at;
    at++;
    bool is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (at == end || !is_digit(*at)) return NULL;
    int exponent = 0;
    for (; at < end && is_digit(*at); at++)
        if (exponent < MOST_EXPONENT) exponent = exponent * 10 + (*at - '0');
    n->power += is_negative ? -exponent : exponent;
    return at;
}

static bool split(const char *at, const char *end, number *n) {
    n->is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    const char *start = at;
    at = take_digits(at, end, n, 0);
    bool has_digits = at > start;
    if (at < end && *at == '.') {
        start = ++at;
        at = take_digits(at, end, n, -1);
        has_digits |= at > start;
    }
    if (!has_digits) return false;
    return take_exponent(at, end, n) == end;
}

/* The C library's answer for a number that is well formed. Its decimal point is the locale's, so the locale is set
 * for this thread and set back. */
static double by_library(const char *text, size_t length) {
    char copy[MOST_CHARACTERS + 1];
    memcpy(copy, text, length);
    copy[length] = '\0';
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) return NAN;
    locale_t before = uselocale(plain);
    double value = strtod(copy, NULL);
    uselocale(before);
    freelocale(plain);
    return value;
}

bool decimal_parse(const char *text, size_t length, double *value) {
    number n = {0};
    if (length > MOST_CHARACTERS || !split(text, text + length, &n)) return false;
    bool is_exact = n.n_digits <= EXACT_DIGITS && n.power >= -EXACT_POWER && n.power <= EXACT_POWER;
    if (is_exact) {
        double whole = (double)n.digits;
        double magnitude = n.power < 0 ? whole / powers[-n.power] : whole * powers[n.power];
        *value = n.is_negative ? -magnitude : magnitude;
    } else {
        *value = by_library(text, length);
    }
    return isfinite(*value);
}
