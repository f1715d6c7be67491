/* Between the files of class reduce. */
#ifndef TN_LOOPS_CLASS_REDUCE_H
#define TN_LOOPS_CLASS_REDUCE_H

#include "compiler/loops/rows.h"

/* Stores the results of the domain's shape, or those of a row's, at the present index. */
void reduce_store_results(rows *s, bool whole_ones);
bool reduce_has_whole_result(const rows *s);

/* Sums over leading axes (class_reduce_columns.c): whether that form suits, and the whole kernel's stage. */
bool reduce_suits_columns(const rows *s);
void reduce_lower_columns(rows *s);

#endif
