/* Planted faults: FAULT(name) is true where TENON_FAULT says so, in a build made by `make FAULTS=1`; in all others it is
 * the constant false, and what depends on it is not compiled. The names: faults.def. */
#ifndef TN_RUNTIME_FAULT_H
#define TN_RUNTIME_FAULT_H

#include <stdbool.h>

#ifdef TN_FAULTS

typedef enum fault_name {
#define FAULT_ROW(name, stage, doc) FAULT_##name,
#include "runtime/faults.def"
#undef FAULT_ROW
    FAULT_COUNT
} fault_name;

bool fault_is_planted(fault_name fault);
#define FAULT(name) fault_is_planted(FAULT_##name)

#else
#define FAULT(name) false
#endif

#endif
