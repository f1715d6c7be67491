/* The register tile alone: panels that lie in the L1, no packing, no call. What contractions can reach at best. */
#include "benchmarks/micro/micro.h"
#include "tests/lib/kernel_run.h"

#include <string.h>

enum { DEPTH = 192, TIMES = 1000 };

typedef struct tile_run {
    kernel_run run;
    kernel_slots slots;
} tile_run;

static void tile_call(void *ctx) {
    tile_run *t = ctx;
    t->run.stages[0](t->slots.slots, 0, 0);
}

void measure_tile(void) {
    if (!is_wanted("contract")) return;
    machine_tile tile = kernel_run_machine(NULL).tile_f32;
    char text[512];
    snprintf(text, sizeof text,
             "kernel @tile contract(in a: f32[%d], in b: f32[%d], out c: f32[%d]) extents() {\n"
             "  stage $0 in 1 {\n"
             "    for $1 in 0 to %d { tile %d x %d depth %d: c[0; %d] += a[0; 1, %d] * b[0; %d] }\n"
             "  }\n"
             "}\n",
             tile.mr * DEPTH, tile.nr * DEPTH, tile.mr * tile.nr, TIMES, tile.mr, tile.nr, DEPTH, tile.nr, tile.mr,
             tile.nr);
    tn_module *m = module_new("tile");
    lt_kernel *k = m ? lt_parse(m, text, strlen(text), "tile") : NULL;
    if (!k) stop(m ? m->error.message : "out of memory");
    tile_run t;
    kernel_run_open(&t.run, NULL, k);
    size_t mr = (size_t)tile.mr, nr = (size_t)tile.nr;
    float *a = floats(mr * DEPTH), *b = floats(nr * DEPTH), *c = floats(mr * nr);
    kernel_slots_fill(&t.slots, k, (void *const[]){a, b, c}, NULL);
    double seconds = best_of(tile_call, &t) / TIMES;
    figure f = {.group = "contract",
                .unit = "GFLOP/s",
                .value = 2.0 * tile.mr * tile.nr * DEPTH / seconds * 1e-9,
                .seconds = seconds,
                .of = bench.options.threads == 1 ? LIMIT_FMA : LIMIT_NONE,
                .gate_share = bench.options.threads == 1 ? 0.97 : 0};
    snprintf(f.name, sizeof f.name, "register tile, %d x %d by %d x %d", tile.mr, DEPTH, DEPTH, tile.nr);
    record(f);
    kernel_slots_free(&t.slots);
    kernel_run_close(&t.run);
    free(a), free(b), free(c);
    tn_module_free(m);
}
