/* The micro-kernel of Winograd's products in float16: sums of at most HALF_TERMS products are float16, those float32. */
#ifndef ELLOPT_CONV_WINOGRAD_MULTIPLY_HALF_H
#define ELLOPT_CONV_WINOGRAD_MULTIPLY_HALF_H

#include "half.h"

#define WINOGRAD_LANES HALF_WIDTH

/* sums[rows][vectors] += a[rows][1] * b[1][vectors] */
ELL_INLINE void winograd_multiply_step(half_vec sums[TILE_ROWS][TILE_VECTORS], const ell_half *a, const ell_half *b,
                                       const int rows, const int vectors) {
    half_vec w[TILE_VECTORS];
    ELL_UNROLL for (int v = 0; v < vectors; v++) w[v] = half_load(b + v * HALF_WIDTH);
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        const half_vec x = half_splat(a[r * INPUT_PITCH]);
        ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][v] += x * w[v];
    }
}

/* The same for eight channels at once, by lanes. */
ELL_INLINE void winograd_multiply_lanes(half_vec sums[TILE_ROWS][TILE_VECTORS], const ell_half *a, const ell_half *b,
                                        const int rows, const int vectors) {
    half_vec x[TILE_ROWS];
    ELL_UNROLL for (int r = 0; r < rows; r++) x[r] = half_load(a + r * INPUT_PITCH);
    ELL_UNROLL for (int lane = 0; lane < HALF_WIDTH; lane++) {
        ELL_UNROLL for (int v = 0; v < vectors; v++) {
            const half_vec w = half_load(b + (lane * vectors + v) * HALF_WIDTH);
            ELL_UNROLL for (int r = 0; r < rows; r++) sums[r][v] += half_splat(x[r][lane]) * w;
        }
    }
}

/* c[rows][vectors] (+)= a[rows][depth] * b[depth][vectors]. */
ELL_INLINE void winograd_multiply_tile(const ell_half *a, const ell_half *b, float *c, int depth, int accumulate,
                                       const int rows, const int vectors) {
    while (depth > 0) {
        half_vec sums[TILE_ROWS][TILE_VECTORS];
        int left = depth < HALF_TERMS ? depth : HALF_TERMS;
        depth -= left;
        ELL_UNROLL for (int r = 0; r < rows; r++)
            ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][v] = (half_vec){0};
        ELL_NO_VECTORIZE
        for (; left >= HALF_WIDTH; left -= HALF_WIDTH) {
            winograd_multiply_lanes(sums, a, b, rows, vectors);
            a += HALF_WIDTH;
            b += HALF_WIDTH * vectors * HALF_WIDTH;
        }
        ELL_NO_VECTORIZE
        for (; left > 0; left--) {
            winograd_multiply_step(sums, a, b, rows, vectors);
            a++;
            b += vectors * HALF_WIDTH;
        }
        ELL_UNROLL for (int r = 0; r < rows; r++)
            ELL_UNROLL for (int v = 0; v < vectors; v++) {
                float *low = c + (r * vectors + v) * HALF_WIDTH, *high = low + VECTOR_WIDTH;
                const vec l = half_low(sums[r][v]), h = half_high(sums[r][v]);
                vec_store(low, accumulate ? vec_load(low) + l : l);
                vec_store(high, accumulate ? vec_load(high) + h : h);
            }
        accumulate = 1;
    }
}

#endif
