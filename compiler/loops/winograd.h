/* The transforms of Winograd's algorithm on values of a loop tree (class_winograd.c). */
#ifndef TN_LOOPS_WINOGRAD_H
#define TN_LOOPS_WINOGRAD_H

#include "compiler/loops/classes.h"

enum { WINOGRAD_SIDE = 6 }; /* most rows and columns of a tile of the input */

/* d, (tile + 2) x (tile + 2) elements, becomes B^T d B. */
void winograd_input(lt_builder *b, int64_t tile, lt_value *d);
/* m, (tile + 2) x (tile + 2) elements, becomes A^T m A, tile x tile elements. */
void winograd_output(lt_builder *b, int64_t tile, lt_value *m);

#endif
