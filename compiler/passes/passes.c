/* The table of passes. */
#include "compiler/passes/passes.h"

const pass_info pass_table[] = {
#define PASS(name, needs, gives, doc) {#name, pass_##name, needs, gives, doc},
#include "compiler/passes/passes.def"
#undef PASS
};
const size_t n_passes = sizeof pass_table / sizeof *pass_table;
