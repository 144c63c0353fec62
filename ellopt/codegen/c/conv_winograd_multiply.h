/* The micro-kernel of Winograd's products: a register tile of tiles x filters at one position. */
#ifndef ELLOPT_CONV_WINOGRAD_MULTIPLY_H
#define ELLOPT_CONV_WINOGRAD_MULTIPLY_H

#include "vector.h"

/* c[rows][vectors] (+)= a[rows][depth] * b[depth][vectors]. Every input value is broadcast to a vector of filters. */
ELL_INLINE void winograd_multiply_tile(const float *a, const float *b, float *c, int depth, int accumulate,
                                       const int rows, const int vectors) {
    vec sums[TILE_ROWS][TILE_VECTORS];
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int v = 0; v < vectors; v++)
            sums[r][v] = accumulate ? vec_load(c + (r * vectors + v) * VECTOR_WIDTH) : vec_zero();
    }
    ELL_NO_VECTORIZE
    for (int k = 0; k < depth; k++) {
        vec w[TILE_VECTORS];
        ELL_UNROLL for (int v = 0; v < vectors; v++) w[v] = vec_load(b + v * VECTOR_WIDTH);
        ELL_UNROLL for (int r = 0; r < rows; r++) {
            vec x = vec_splat(a[r * INPUT_PITCH]);
            ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][v] += x * w[v];
        }
        a++;
        b += vectors * VECTOR_WIDTH;
    }
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int v = 0; v < vectors; v++) vec_store(c + (r * vectors + v) * VECTOR_WIDTH, sums[r][v]);
    }
}

static __attribute__((noinline)) void winograd_multiply_tall_wide(const float *a, const float *b, float *c, int depth,
                                                                  int accumulate) {
    winograd_multiply_tile(a, b, c, depth, accumulate, TILE_ROWS, TILE_VECTORS);
}

#if TALL_PANELS < ROW_PANELS
static __attribute__((noinline)) void winograd_multiply_short_wide(const float *a, const float *b, float *c, int depth,
                                                                   int accumulate) {
    winograd_multiply_tile(a, b, c, depth, accumulate, TILE_ROWS - 1, TILE_VECTORS);
}
#endif

#if WIDE_PANELS < PANELS
static __attribute__((noinline)) void winograd_multiply_tall_narrow(const float *a, const float *b, float *c, int depth,
                                                                    int accumulate) {
    winograd_multiply_tile(a, b, c, depth, accumulate, TILE_ROWS, TILE_VECTORS - 1);
}

#if TALL_PANELS < ROW_PANELS
static __attribute__((noinline)) void winograd_multiply_short_narrow(const float *a, const float *b, float *c,
                                                                     int depth, int accumulate) {
    winograd_multiply_tile(a, b, c, depth, accumulate, TILE_ROWS - 1, TILE_VECTORS - 1);
}
#endif
#endif

ELL_INLINE void winograd_multiply(int tall, int wide, const float *a, const float *b, float *c, int depth,
                                  int accumulate) {
    (void)tall, (void)wide;
#if WIDE_PANELS < PANELS
    if (!wide) {
#if TALL_PANELS < ROW_PANELS
        if (!tall) {
            winograd_multiply_short_narrow(a, b, c, depth, accumulate);
            return;
        }
#endif
        winograd_multiply_tall_narrow(a, b, c, depth, accumulate);
        return;
    }
#endif
#if TALL_PANELS < ROW_PANELS
    if (!tall) {
        winograd_multiply_short_wide(a, b, c, depth, accumulate);
        return;
    }
#endif
    winograd_multiply_tall_wide(a, b, c, depth, accumulate);
}

#endif
