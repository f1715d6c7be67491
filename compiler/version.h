/* Which Tenon this is: the build says it. */
#ifndef TN_COMPILER_VERSION_H
#define TN_COMPILER_VERSION_H

#ifndef TN_VERSION
#define TN_VERSION "unknown"
#endif

#endif
