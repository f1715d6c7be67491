/* Programs written by hand: what the compiler would make of a few graphs, with C functions as
 * entries. They show what a program is made of and let the runtime be tested alone.
 */
#ifndef TN_TESTS_HANDMADE_H
#define TN_TESTS_HANDMADE_H

#include "runtime/program.h"

/* mlp(x: f32[n, 784], y: f32[n], z: f32[2*n]) -> (probs: f32[n, 3], total: f32[])
 *   probs[i, j] = sum(x[i, :]) + y[i] + z[2*i] + z[2*i + 1] + j, total = sum(probs)
 * 1 <= n <= 100; one constraint: n is not 13. Kernels: 0 the rows (parallel), 1 the total. Uses
 * the arena and each worker's scratch. */
tn_program *handmade_mlp(void);

/* scale(x: f32[n, 4]; weights w: f32[4], b: f32[4]) -> (y: f32[n, 4])
 *   y[i, j] = x[i, j] * (2 * w[j]) + b[j]
 * prepare doubles w, b is used as it is. `w` and `b`: initial values or NULL. */
tn_program *handmade_scale(const float *w, const float *b, void (*release)(void *), void *ctx);

/* cache(old: f32[n], x: f32[n]) -> (new: f32[n] as the next `old`, y: f32[n])
 *   new = old + x, y = 10 * x */
tn_program *handmade_cache(void);

/* gather(data: f32[n], at: i64[m]) -> (out: f32[m])
 *   out[i] = data[at[i]], an index out of range is clamped and reported (site 0, gather at
 *   model.c:7); m > 1000 fails site 1 (an assertion); then the custom op 0, whose failure is site 2
 *   (twice), doubles `out`. Chunks of 4. */
tn_program *handmade_gather(program_custom custom);

/* flush(x: f32[n]) -> (y: f32[n]), y = x * 0.5 in chunks of 1. */
tn_program *handmade_halve(void);

#endif
