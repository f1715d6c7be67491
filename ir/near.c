/* Names that are near to a misspelt one.
 *
 * in:  a name that does not exist, and all that do
 * out: at most NEAR_MOST of these, by how many letters they are apart (Levenshtein's distance, letters of either case
 *      being the same)
 * law: a name that is a third of its letters apart or more is not near, unless one contains the other; where a name
 *      is one letter apart, those that are more are not told
 */
#include "ir/near.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 64, NOT_NEAR = 1000 };

static int fold(char c) { return tolower((unsigned char)c); }

static int least_of(int a, int b, int c) {
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Letters to insert, leave out or exchange; both names have LONGEST letters at most. */
static int letters_apart(const char *a, size_t n, const char *b, size_t m) {
    int row[LONGEST + 1];
    for (size_t k = 0; k <= m; k++) row[k] = (int)k;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t k = 1; k <= m; k++) {
            int above = row[k];
            row[k] = least_of(above + 1, row[k - 1] + 1, diagonal + (fold(a[i - 1]) != fold(b[k - 1])));
            diagonal = above;
        }
    }
    return row[m];
}

static int distance(const char *wanted, const char *name) {
    size_t n = strlen(wanted), m = strlen(name);
    int part = NOT_NEAR;
    if (n >= 3 && m >= 3 && (strstr(name, wanted) || strstr(wanted, name))) part = n < m ? 1 : 2;
    if (n == 0 || n > LONGEST || m > LONGEST) return part;
    int apart = letters_apart(wanted, n, name, m);
    if (apart > 1 + (int)(n > m ? n : m) / 4 || apart >= (int)n) return part;
    return apart < part ? apart : part;
}

void near_offer(near_names *near, const char *name) {
    int apart = name ? distance(near->wanted, name) : NOT_NEAR;
    if (apart == NOT_NEAR || (near->n > 0 && near->distances[0] <= 1 && apart > 1)) return;
    while (apart <= 1 && near->n > 0 && near->distances[near->n - 1] > 1) near->n--;
    for (int i = 0; i < near->n; i++)
        if (strcmp(near->names[i], name) == 0) return;
    int at = near->n;
    while (at > 0 && near->distances[at - 1] > apart) at--;
    if (at == NEAR_MOST) return;
    if (near->n < NEAR_MOST) near->n++;
    for (int i = near->n - 1; i > at; i--) {
        near->names[i] = near->names[i - 1];
        near->distances[i] = near->distances[i - 1];
    }
    near->names[at] = name;
    near->distances[at] = apart;
}

const char *near_text(const near_names *near, char *out, size_t bytes) {
    size_t used = 0;
    if (bytes > 0) out[0] = '\0';
    for (int i = 0; i < near->n && used < bytes; i++) {
        const char *before = i == 0 ? ": did you mean " : i == near->n - 1 ? " or " : ", ";
        int n = snprintf(out + used, bytes - used, "%s%s%s", before, near->names[i], i == near->n - 1 ? "?" : "");
        used += n > 0 ? (size_t)n : 0;
    }
    return out;
}
