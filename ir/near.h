/* Names that are near to a misspelt one, for messages. */
#ifndef TN_IR_NEAR_H
#define TN_IR_NEAR_H

#include <stddef.h>

enum { NEAR_MOST = 3 };

/* The nearest so far of the names that were offered, the best one first. Names must live as long as it does. */
typedef struct near_names {
    const char *wanted;
    const char *names[NEAR_MOST];
    int distances[NEAR_MOST];
    int n;
} near_names;

/* Takes the name in when it is like the wanted one: few letters apart, or one contains the other. NULL is no name. */
void near_offer(near_names *near, const char *name);

/* ": did you mean a, b or c?", or "" when no name was near. Returns out. */
const char *near_text(const near_names *near, char *out, size_t bytes);

#endif
