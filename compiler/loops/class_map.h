/* Between the files of class map. */
#ifndef TN_LOOPS_CLASS_MAP_H
#define TN_LOOPS_CLASS_MAP_H

#include "compiler/loops/classes.h"

/* The results' last `columns` axes by the `rows` axes before them, a block at a time (class_map_turned.c). NULL:
 * failed, or nothing is turned, or their extents are not static, or shorter than a vector. */
lt_kernel *map_lower_turned(tn_graph *fused, const machine *m, int rows, int columns);

#endif
