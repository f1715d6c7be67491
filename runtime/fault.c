/* Which fault is planted (see fault.h): told by the environment, once. */
#include "runtime/fault.h"

typedef int fault_of_the_stock_build; /* there is none */

#ifdef TN_FAULTS

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[FAULT_COUNT] = {
#define FAULT_ROW(name, stage, doc) #name,
#include "runtime/faults.def"
#undef FAULT_ROW
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int planted = FAULT_COUNT;

/* A name that is none would pass for a fault that nothing finds. */
static void look(void) {
    const char *wanted = getenv("TENON_FAULT");
    if (!wanted || !*wanted) return;
    for (int i = 0; i < FAULT_COUNT; i++)
        if (strcmp(wanted, names[i]) == 0) planted = i;
    if (planted == FAULT_COUNT) abort();
}

bool fault_is_planted(fault_name fault) {
    pthread_once(&once, look);
    return planted == (int)fault;
}

#endif
