/* The micro-kernel of Winograd's products in float16: sums of at most HALF_TERMS products, and the sums of those. */
#ifndef ELLOPT_CONV_WINOGRAD_MULTIPLY_HALF_H
#define ELLOPT_CONV_WINOGRAD_MULTIPLY_HALF_H

#include "half.h"

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

/* The same for eight channels at once, by lanes. If `first`, sums are what the first channel gives. */
ELL_INLINE void winograd_multiply_lanes(half_vec sums[TILE_ROWS][TILE_VECTORS], const ell_half *a, const ell_half *b,
                                        const int rows, const int vectors, const int first) {
    half_vec x[TILE_ROWS];
    ELL_UNROLL for (int r = 0; r < rows; r++) x[r] = half_load(a + r * INPUT_PITCH);
    ELL_UNROLL for (int lane = 0; lane < HALF_WIDTH; lane++) {
        ELL_UNROLL for (int v = 0; v < vectors; v++) {
            const half_vec w = half_load(b + (lane * vectors + v) * HALF_WIDTH);
            ELL_UNROLL for (int r = 0; r < rows; r++) {
                const half_vec product = half_splat(x[r][lane]) * w;
                sums[r][v] = first && lane == 0 ? product : sums[r][v] + product;
            }
        }
    }
}

/* c[rows][vectors] (+)= a[rows][depth] * b[depth][vectors]. */
ELL_INLINE void winograd_multiply_tile(const ell_half *a, const ell_half *b, ell_half *c, int depth, int accumulate,
                                       const int rows, const int vectors) {
    while (depth > 0) {
        half_vec sums[TILE_ROWS][TILE_VECTORS];
        int left = depth < HALF_TERMS ? depth : HALF_TERMS;
        depth -= left;
        if (left >= HALF_WIDTH) {
            winograd_multiply_lanes(sums, a, b, rows, vectors, 1);
            a += HALF_WIDTH;
            b += HALF_WIDTH * vectors * HALF_WIDTH;
            left -= HALF_WIDTH;
        } else {
            ELL_UNROLL for (int r = 0; r < rows; r++)
                ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][v] = (half_vec){0};
        }
        ELL_NO_VECTORIZE
        for (; left >= HALF_WIDTH; left -= HALF_WIDTH) {
            winograd_multiply_lanes(sums, a, b, rows, vectors, 0);
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
                ell_half *to = c + (r * vectors + v) * HALF_WIDTH;
                half_store(to, accumulate ? half_load(to) + sums[r][v] : sums[r][v]);
            }
        accumulate = 1;
    }
}

#endif
