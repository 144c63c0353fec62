/* The micro-kernel of Winograd's products where weights of two points are derived from those of the others: a row of
 * positions, a vector of tiles and one of filters. Every weight is read, or derived, once for all of the tiles.
 *
 * Weights: [row of positions][vector of filters][channel][point 0, 1, -1, inf][filter].
 * Transformed input: [row panel][row of positions][channel][position of the row][tile]. */
#ifndef ELLOPT_CONV_WINOGRAD_MULTIPLY_ROW_H
#define ELLOPT_CONV_WINOGRAD_MULTIPLY_ROW_H

#include "vector.h"

#define POSITIONS_AT_ONCE WINOGRAD_SIZE_ACROSS
#define WEIGHTS_AT_ONCE 4

/* sums[tile] += a[tile] * weights */
ELL_INLINE void winograd_multiply_tiles(vec sums[TILE_ROWS], const float *a, vec weights) {
    const vec x = vec_load(a);
    sums[0] += __builtin_shufflevector(x, x, 0, 0, 0, 0) * weights;
    sums[1] += __builtin_shufflevector(x, x, 1, 1, 1, 1) * weights;
    sums[2] += __builtin_shufflevector(x, x, 2, 2, 2, 2) * weights;
    sums[3] += __builtin_shufflevector(x, x, 3, 3, 3, 3) * weights;
}

/* c[position][tile] (+)= a[channel][position][tile] * b[channel][position] */
static __attribute__((noinline)) void winograd_multiply_row(const float *a, const float *b, float *c, int depth,
                                                            int accumulate) {
    vec sums[POSITIONS_AT_ONCE][TILE_ROWS];
    ELL_UNROLL for (int x = 0; x < POSITIONS_AT_ONCE; x++)
        ELL_UNROLL for (int tile = 0; tile < TILE_ROWS; tile++)
            sums[x][tile] = accumulate ? vec_load(c + x * PRODUCT_STEP + tile * VECTOR_WIDTH) : vec_zero();
    ELL_NO_VECTORIZE
    for (; depth > 0; depth--) {
        const vec zero = vec_load(b), one = vec_load(b + VECTOR_WIDTH);
        const vec minus_one = vec_load(b + 2 * VECTOR_WIDTH), infinity = vec_load(b + 3 * VECTOR_WIDTH);
        winograd_multiply_tiles(sums[0], a, zero);
        winograd_multiply_tiles(sums[1], a + TILE_ROWS, one);
        winograd_multiply_tiles(sums[2], a + 2 * TILE_ROWS, minus_one);
        winograd_multiply_tiles(sums[5], a + 5 * TILE_ROWS, infinity);
        const vec even = zero + infinity, odd = minus_one - one;
        winograd_multiply_tiles(sums[3], a + 3 * TILE_ROWS, even + odd);
        winograd_multiply_tiles(sums[4], a + 4 * TILE_ROWS, even - odd);
        a += INPUT_CHANNEL_STEP;
        b += WEIGHTS_AT_ONCE * VECTOR_WIDTH;
    }
    ELL_UNROLL for (int x = 0; x < POSITIONS_AT_ONCE; x++)
        ELL_UNROLL for (int tile = 0; tile < TILE_ROWS; tile++)
            vec_store(c + x * PRODUCT_STEP + tile * VECTOR_WIDTH, sums[x][tile]);
}

/* The same of `tall` and `low` row panels, all of TILE_ROWS tiles. */
ELL_INLINE void winograd_multiply(const float *a, const float *b, float *c, ptrdiff_t c_step, int tall, int low, int wide,
                                  int depth, int accumulate) {
    (void)wide;
    for (int r = 0; r < tall + low; r++)
        winograd_multiply_row(a + r * INPUT_PANEL, b, c + r * c_step, depth, accumulate);
}

#endif
