/* A two-layer perceptron with a symbolic batch: compiled once, run with 1, 7 and 128 rows. */
#include "tenon.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    static float w1[784 * 64], w2[64 * 10], x[128 * 784], probs[128 * 10];
    for (int i = 0; i < 784 * 64; i++) w1[i] = (float)(i * 7 % 31 - 15) / 400;
    for (int i = 0; i < 64 * 10; i++) w2[i] = (float)(i * 5 % 17 - 8) / 40;
    for (int i = 0; i < 128 * 784; i++) x[i] = (float)(i * 3 % 29) / 29;

    tn_graph *g = tn_graph_new("mlp");
    tn_val in = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(784)));
    tn_val h = tn_matmul(in, tn_weight(g, "w1", TN_F32, TN_SHAPE(TN_SIZE(784), TN_SIZE(64)), w1));
    h = tn_matmul(tn_relu(h), tn_weight(g, "w2", TN_F32, TN_SHAPE(TN_SIZE(64), TN_SIZE(10)), w2));
    tn_output(g, "probs", tn_softmax(h, -1));

    tn_program *p = tn_compile(g, NULL);
    if (!p) {
        fprintf(stderr, "%s:%d: %s\n", tn_graph_error(g)->file, tn_graph_error(g)->line, tn_graph_error(g)->message);
        return EXIT_FAILURE;
    }
    tn_graph_free(g);
    for (int64_t n = 1; n <= 128; n = n == 1 ? 7 : n == 7 ? 128 : 129) {
        tn_tensor input = TN_TENSOR(TN_F32, x, n, 784), output = TN_TENSOR(TN_F32, probs, n, 10);
        if (tn_run(p, &input, &output) != TN_OK) return EXIT_FAILURE;
        printf("n = %d: last row", (int)n);
        for (int i = 0; i < 10; i++) printf(" %.4f", (double)probs[(n - 1) * 10 + i]);
        printf("\n");
    }
    tn_program_free(p);
    return EXIT_SUCCESS;
}
