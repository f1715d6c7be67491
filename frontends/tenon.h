/* Tenon: building, compiling, explaining, running and training graphs. Models are read and written by a front end with a header of
 * its own (tenon_onnx.h); programs that only run compiled code include tenon_rt.h instead. */
#ifndef TENON_H
#define TENON_H

#include "tenon_aot.h"
#include "tenon_bisect.h"
#include "tenon_compile.h"
#include "tenon_data.h"
#include "tenon_explain.h"
#include "tenon_explain_report.h"
#include "tenon_fit.h"
#include "tenon_graph.h"
#include "tenon_nn.h"
#include "tenon_rt.h"
#include "tenon_statistics.h"
#include "tenon_trace.h"
#include "tenon_train.h"

#endif
