/* Telling a compilation's watcher how long things took. */
#ifndef TN_COMPILER_WATCH_H
#define TN_COMPILER_WATCH_H

#include "tenon_compile.h"

double watch_now_ms(void);

/* That `name` is done, which began at `begin_ms`. */
void watch_tell(const tn_compile_options *options, const char *name, double begin_ms);

#endif
