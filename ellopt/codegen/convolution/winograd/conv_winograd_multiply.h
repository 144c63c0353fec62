/* The micro-kernel of Winograd's products: a register tile of tiles x filters at one position. */
#ifndef ELLOPT_CONV_WINOGRAD_MULTIPLY_H
#define ELLOPT_CONV_WINOGRAD_MULTIPLY_H

#include "multiply_in_order.h"
#include "vector.h"

#ifdef WINOGRAD_HALF
#include "conv_winograd_multiply_half.h"
#else
/* sums[rows][vectors] += a[rows][1] * b[1][vectors] */
ELL_INLINE void winograd_multiply_step(vec sums[TILE_ROWS][TILE_VECTORS], const float *a, const float *b,
                                       const int rows, const int vectors) {
    vec w[TILE_VECTORS];
    ELL_UNROLL for (int v = 0; v < vectors; v++) w[v] = vec_load(b + v * VECTOR_WIDTH);
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        vec x = vec_splat(a[r * INPUT_PITCH]);
        ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][v] += x * w[v];
    }
}

#if VECTOR_WIDTH == 4 && defined(__aarch64__)
/* The same for four channels at once: NEON multiplies by a lane, so inputs need not be broadcast one by one. If `first`,
 * sums are what the first channel gives: zeros need not be written. */
ELL_INLINE void winograd_multiply_lanes(vec sums[TILE_ROWS][TILE_VECTORS], const float *a, const float *b,
                                        const int rows, const int vectors, const int first) {
    vec x[TILE_ROWS];
    ELL_UNROLL for (int r = 0; r < rows; r++) x[r] = vec_load(a + r * INPUT_PITCH);
#define WINOGRAD_LANE(lane)                                                                                   \
    ELL_UNROLL for (int v = 0; v < vectors; v++) {                                                            \
        vec w = vec_load(b + ((lane) * vectors + v) * VECTOR_WIDTH);                                          \
        ELL_UNROLL for (int r = 0; r < rows; r++) {                                                           \
            vec product = __builtin_shufflevector(x[r], x[r], lane, lane, lane, lane) * w;                    \
            sums[r][v] = first && (lane) == 0 ? product : sums[r][v] + product;                               \
        }                                                                                                     \
    }
    WINOGRAD_LANE(0) WINOGRAD_LANE(1) WINOGRAD_LANE(2) WINOGRAD_LANE(3)
#undef WINOGRAD_LANE
}
#endif

#if ELL_PAIRS
/* The same of two channels. */
ELL_INLINE void winograd_multiply_pair(vec sums[TILE_ROWS][TILE_VECTORS], const float *a, const float *b, const int rows,
                                       const int vectors) {
    vec_pair x[TILE_ROWS];
    ELL_UNROLL for (int r = 0; r < rows; r++) x[r] = vec_load_pair(a + r * INPUT_PITCH);
    ELL_UNROLL for (int lane = 0; lane < 2; lane++)
        ELL_UNROLL for (int v = 0; v < vectors; v++) {
            const vec w = vec_load(b + (lane * vectors + v) * VECTOR_WIDTH);
            ELL_UNROLL for (int r = 0; r < rows; r++) sums[r][v] += vec_of_pair(x[r], lane) * w;
        }
}
#endif

/* c[rows][vectors] (+)= a[rows][depth] * b[depth][vectors]. Every input value is broadcast to a vector of filters. */
ELL_INLINE void winograd_multiply_tile(const float *a, const float *b, float *c, int depth, int accumulate,
                                       const int rows, const int vectors) {
    vec sums[TILE_ROWS][TILE_VECTORS];
#if VECTOR_WIDTH == 4 && defined(__aarch64__) && !IN_ORDER
    if (!accumulate && depth >= 4) {
        winograd_multiply_lanes(sums, a, b, rows, vectors, 1);
        a += 4;
        b += 4 * vectors * VECTOR_WIDTH;
        depth -= 4;
    } else
#endif
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int v = 0; v < vectors; v++)
            sums[r][v] = accumulate ? vec_load(c + (r * vectors + v) * VECTOR_WIDTH) : vec_zero();
    }
#if MULTIPLY_IN_ORDER
    if (ell_in_order(rows, vectors) && depth >= 4) {
        const int channels = depth / 4 * 4;
        const float *inputs[8];
        vec s[8][IN_ORDER_VECTORS];
        ELL_UNROLL for (int r = 0; r < 8; r++) inputs[r] = r < rows ? a + r * INPUT_PITCH : a;
        ELL_UNROLL for (int r = 0; r < rows; r++)
            ELL_UNROLL for (int v = 0; v < IN_ORDER_VECTORS; v++) s[r][v] = sums[r][v];
        ell_multiply_in_order(s, inputs, b, rows, channels);
        ELL_UNROLL for (int r = 0; r < rows; r++)
            ELL_UNROLL for (int v = 0; v < IN_ORDER_VECTORS; v++) sums[r][v] = s[r][v];
        a += channels;
        b += channels * vectors * VECTOR_WIDTH;
        depth -= channels;
    }
#endif
#if VECTOR_WIDTH == 4 && defined(__aarch64__)
    ELL_NO_VECTORIZE
    for (; depth >= 4; depth -= 4) {
        winograd_multiply_lanes(sums, a, b, rows, vectors, 0);
        a += 4;
        b += 4 * vectors * VECTOR_WIDTH;
    }
#elif ELL_PAIRS
    ELL_NO_VECTORIZE
    for (; depth >= 2; depth -= 2) {
        winograd_multiply_pair(sums, a, b, rows, vectors);
        a += 2;
        b += 2 * vectors * VECTOR_WIDTH;
    }
#elif ELL_STEPS > 1
    ELL_NO_VECTORIZE
    for (; depth >= ELL_STEPS; depth -= ELL_STEPS) {
        ELL_UNROLL for (int step = 0; step < ELL_STEPS; step++)
            winograd_multiply_step(sums, a + step, b + step * vectors * VECTOR_WIDTH, rows, vectors);
        ell_fetch_ahead(b, ELL_STEPS * vectors * VECTOR_WIDTH);
        a += ELL_STEPS;
        b += ELL_STEPS * vectors * VECTOR_WIDTH;
    }
#endif
    ELL_NO_VECTORIZE
    for (int k = 0; k < depth; k++)
        winograd_multiply_step(sums, a + k, b + (ptrdiff_t)k * vectors * VECTOR_WIDTH, rows, vectors);
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int v = 0; v < vectors; v++) vec_store(c + (r * vectors + v) * VECTOR_WIDTH, sums[r][v]);
    }
}
#endif

/* 32-bit ARM has few integer registers: there addresses around an inner loop would be spilt. */
#if defined(__arm__)
#define WINOGRAD_CALLED static __attribute__((noinline))
#else
#define WINOGRAD_CALLED ELL_INLINE
#endif

/* The same of `panels` row panels; products of one are `c_step` before those of the next. */
#define WINOGRAD_MULTIPLY(name, rows, vectors)                                                                    \
    WINOGRAD_CALLED void name(const winograd_element *a, const winograd_element *b, winograd_product *c,          \
                              ptrdiff_t c_step, int panels, int depth, int accumulate) {                          \
        for (int r = 0; r < panels; r++)                                                                          \
            winograd_multiply_tile(a + r * INPUT_PANEL, b, c + r * c_step, depth, accumulate, rows, vectors);     \
    }
WINOGRAD_MULTIPLY(winograd_multiply_tall_wide, TILE_ROWS, TILE_VECTORS)
#if TALL_PANELS < ROW_PANELS
WINOGRAD_MULTIPLY(winograd_multiply_short_wide, TILE_ROWS - 1, TILE_VECTORS)
#endif
#if WIDE_PANELS < PANELS
WINOGRAD_MULTIPLY(winograd_multiply_tall_narrow, TILE_ROWS, TILE_VECTORS - 1)
#if TALL_PANELS < ROW_PANELS
WINOGRAD_MULTIPLY(winograd_multiply_short_narrow, TILE_ROWS - 1, TILE_VECTORS - 1)
#endif
#endif

/* The same of `tall` panels of TILE_ROWS tiles, then `low` ones of a tile less. */
ELL_INLINE void winograd_multiply(const winograd_element *a, const winograd_element *b, winograd_product *c,
                                  ptrdiff_t c_step, int tall, int low, int wide, int depth, int accumulate) {
    const winograd_element *low_a = a + tall * INPUT_PANEL;
    winograd_product *low_c = c + tall * c_step;
    (void)low, (void)wide, (void)low_a, (void)low_c;
#if WIDE_PANELS < PANELS
    if (!wide) {
        winograd_multiply_tall_narrow(a, b, c, c_step, tall, depth, accumulate);
#if TALL_PANELS < ROW_PANELS
        winograd_multiply_short_narrow(low_a, b, low_c, c_step, low, depth, accumulate);
#endif
        return;
    }
#endif
    winograd_multiply_tall_wide(a, b, c, c_step, tall, depth, accumulate);
#if TALL_PANELS < ROW_PANELS
    winograd_multiply_short_wide(low_a, b, low_c, c_step, low, depth, accumulate);
#endif
}

#endif
