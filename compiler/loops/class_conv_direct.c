#include "compiler/loops/conv.h"
lt_kernel *conv_lower_direct(tn_graph *fused, const machine *m) { return map_lower(fused, m); }
