/* Attention of 12 heads, as BERT-base has it: two products, a softmax between them. */
#include "benchmarks/micro/micro.h"

void measure_attention(void) {
    enum { HEADS = 12, WIDTH = 64 };
    static const int tokens[] = {128, 512};
    for (size_t i = 0; is_wanted("attention") && i < sizeof tokens / sizeof *tokens; i++) {
        tn_graph *g = tn_graph_new("attention");
        tn_shape shape = TN_SHAPE(TN_SIZE(1), TN_SIZE(HEADS), TN_SIZE(tokens[i]), TN_SIZE(WIDTH));
        tn_val q = tn_input(g, "q", TN_F32, shape), k = tn_input(g, "k", TN_F32, shape),
               v = tn_input(g, "v", TN_F32, shape);
        double seconds = time_graph(g, tn_attention(q, k, v, (tn_val){0}, 0, false));
        figure f = {.group = "attention",
                    .unit = "GFLOP/s",
                    .value = 4.0 * HEADS * WIDTH * tokens[i] * tokens[i] / seconds * 1e-9,
                    .seconds = seconds,
                    .of = LIMIT_FMA};
        snprintf(f.name, sizeof f.name, "%d heads, %d tokens of %d", HEADS, tokens[i], WIDTH);
        record(f);
    }
}
