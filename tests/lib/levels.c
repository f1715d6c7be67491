#include "tests/lib/levels.h"

#include "compiler/codegen/target.h"

const char *const level_names[LEVELS] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "host"};

bool level_runs_here(const char *name) {
    target t;
    bool runs = target_init(&t, name, NULL) == TN_OK && t.runs_here;
    target_free(&t);
    return runs;
}

const char *level_of_seed(uint64_t seed) {
    const char *name = level_names[seed % LEVELS];
    return level_runs_here(name) ? name : "host";
}
