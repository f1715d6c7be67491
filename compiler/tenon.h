/* Tenon: building, compiling and running graphs. Models are read by a front end with a header of its own
 * (tenon_onnx.h); programs that only run compiled code include tenon_rt.h instead. */
#ifndef TENON_H
#define TENON_H

#include "tenon_compile.h"
#include "tenon_graph.h"
#include "tenon_rt.h"

#endif
