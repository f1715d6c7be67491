/* Learns to read handwritten digits, as a device would: two generated headers and libc, no library of Tenon's.
 *
 *     tenon train digits --batch 32 --step digits
 *     tenon compile digits.tn -o digits --entry train_step --states digits.safetensors
 *     tenon compile digits_infer.tn -o digits_infer --set n=1
 *     cc digits.c digits.o digits_infer.o -o digits
 *     gzip -dc digits.csv.gz | ./digits
 */
#include "digits.h"
#include "digits_infer.h"

#include <stdio.h>
#include <string.h>

enum { COUNT = 1797, TEST = 360, TAUGHT = COUNT - TEST, SIDE = 8, BATCH = 32, STEPS = 12 * TAUGHT / BATCH };

static float images[COUNT][1][SIDE][SIDE], x[BATCH][1][SIDE][SIDE];
static digits_state state; /* what is learnt, and what the optimizer keeps */
static _Alignas(64) unsigned char arena[DIGITS_ARENA_BYTES], infer_arena[DIGITS_INFER_ARENA_BYTES];

/* The digits in an order of chance; the last TEST are for the test. */
static int nth(int i) { return i * 1001 % COUNT; }

int main(void) {
    int labels[COUNT], pixel = 0, right = 0, code = 0;
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < SIDE * SIDE; k++) images[i][0][k / SIDE][k % SIDE] = (scanf("%d,", &pixel), pixel / 16.0F);
        if (scanf("%d", &labels[i]) != 1) return 1;
    }
    digits_init(&state);
    for (int step = 0; step < STEPS && code == 0; step++) {
        int64_t y[BATCH];
        float loss, accuracy[2], norm;
        bool is_finite;
        for (int i = 0; i < BATCH; i++) {
            int from = nth((step * BATCH + i) % TAUGHT);
            memcpy(x[i], images[from], sizeof x[i]);
            y[i] = labels[from];
        }
        digits_inputs batch = {&x[0][0][0][0], y};
        digits_outputs told = {&loss, accuracy, &norm, &is_finite};
        code = digits_train_step(&state, &batch, 5e-3 * (STEPS - step) / STEPS, &told, arena);
        if (step % 100 == 0) printf("# step %d: loss %.9g\n", step, loss);
    }
    for (int i = TAUGHT; i < COUNT && code == 0; i++) { /* the model for use reads what is in the state */
        float scores[10] = {0};
        int best = 0;
        digits_infer_inputs in = {&images[nth(i)][0][0][0], &state.conv2d_kernel[0][0][0][0],
                                  state.conv2d_bias,        &state.conv2d_1_kernel[0][0][0][0],
                                  state.conv2d_1_bias,      &state.conv2d_2_kernel[0][0][0][0],
                                  state.conv2d_2_bias,      &state.dense_kernel[0][0],
                                  state.dense_bias};
        code = digits_infer_run(&in, &(digits_infer_outputs){scores}, infer_arena);
        for (int k = 1; k < 10; k++) best = scores[k] > scores[best] ? k : best;
        right += best == labels[nth(i)];
    }
    printf("# %s, %d of %d right\n", digits_message(code), right, TEST);
    printf("at least 98 %% of the test are right: %s\n", right * 100 >= TEST * 98 ? "yes" : "no");
    return code != 0;
}
