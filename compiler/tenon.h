/* Tenon: everything. Programs that only run compiled code include tenon_rt.h instead. */
#ifndef TENON_H
#define TENON_H

#include "tenon_compile.h"
#include "tenon_graph.h"
#include "tenon_onnx.h"
#include "tenon_rt.h"

#endif
