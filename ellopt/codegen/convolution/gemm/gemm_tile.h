/* The register tile of a convolution as a matrix multiplication: the micro-kernel of Goto and van de Geijn
 * (Anatomy of High-Performance Matrix Multiplication, 2008) on an implicit column matrix.
 *
 * Channels are innermost, so a row of a receptive field is contiguous and the columns need not be written out: a tile
 * of rows x columns output pixels times some vectors of filters walks over the receptive field; every step broadcasts
 * one input value a pixel and multiplies it with the filters' weights. */
#ifndef ELLOPT_GEMM_TILE_H
#define ELLOPT_GEMM_TILE_H

#include "epilogue.h"
#include "multiply_in_order.h"

typedef vec gemm_sums[TILE_ROWS][TILE_COLUMNS][TILE_VECTORS];

/* Runs `body` for every r, c of the tile. */
#define GEMM_PIXELS(rows, columns)                     \
    ELL_UNROLL for (int r = 0; r < (rows); r++)        \
        ELL_UNROLL for (int c = 0; c < (columns); c++)

/* A value of the input for all lanes. 64-bit ARM multiplies by a lane of a register: what is read is hidden from the compiler
 * there, which else reads some values into all lanes, and that takes a turn of the multipliers. */
ELL_INLINE vec gemm_input(const float *p) {
    float x = *p;
#if VECTOR_WIDTH == 4 && defined(__aarch64__) && !IN_ORDER
    __asm__("" : "+w"(x));
#endif
    return vec_splat(x);
}

/* One channel's products: `input` is the first pixel's, of which the others are `c_stride` and `r_stride` away. */
ELL_INLINE void gemm_step(gemm_sums sums, const float *input, const float *weights, const int rows, const int columns,
                          const int vectors, const ptrdiff_t r_stride, const ptrdiff_t c_stride) {
    vec w[TILE_VECTORS];
    ELL_UNROLL for (int v = 0; v < vectors; v++) w[v] = vec_load(weights + v * VECTOR_WIDTH);
    GEMM_PIXELS(rows, columns) {
        vec a = gemm_input(input + r * r_stride + c * c_stride);
        ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] += a * w[v];
    }
}

#if ELL_PAIRS
/* The same of two channels. */
ELL_INLINE void gemm_pair(gemm_sums sums, const float *input, const float *weights, const int rows, const int columns,
                          const int vectors, const ptrdiff_t r_stride, const ptrdiff_t c_stride) {
    vec_pair x[TILE_ROWS][TILE_COLUMNS];
    GEMM_PIXELS(rows, columns) x[r][c] = vec_load_pair(input + r * r_stride + c * c_stride);
    ELL_UNROLL for (int lane = 0; lane < 2; lane++)
        ELL_UNROLL for (int v = 0; v < vectors; v++) {
            const vec w = vec_load(weights + (lane * vectors + v) * VECTOR_WIDTH);
            GEMM_PIXELS(rows, columns) sums[r][c][v] += vec_of_pair(x[r][c], lane) * w;
        }
}
#endif

#if MULTIPLY_IN_ORDER
/* The products of `channels` channels, a multiple of four; the rest is as for gemm_step. */
ELL_INLINE void gemm_in_order(gemm_sums sums, const float *input, const float *weights, const int rows, const int columns,
                              const int channels, const ptrdiff_t r_stride, const ptrdiff_t c_stride) {
    vec s[8][IN_ORDER_VECTORS];
    const float *pixels[8];
    ELL_UNROLL for (int p = 0; p < 8; p++) pixels[p] = input;
    GEMM_PIXELS(rows, columns) {
        pixels[r * columns + c] = input + r * r_stride + c * c_stride;
        ELL_UNROLL for (int v = 0; v < IN_ORDER_VECTORS; v++) s[r * columns + c][v] = sums[r][c][v];
    }
    ell_multiply_in_order(s, pixels, weights, rows * columns, channels);
    GEMM_PIXELS(rows, columns)
        ELL_UNROLL for (int v = 0; v < IN_ORDER_VECTORS; v++) sums[r][c][v] = s[r * columns + c][v];
}
#endif

/* Adds the products of `depth` channels of the receptive fields with weights [row][column][channel][filter of panel].
 * Strides are those of the input in floats. All but the pointers are constants when it is inlined. */
ELL_INLINE void gemm_accumulate(gemm_sums sums, const float *input, const float *weights, const int rows,
                                const int columns, const int vectors, const int depth, const ptrdiff_t row_stride,
                                const ptrdiff_t pixel_stride) {
    const int whole = pixel_stride == depth && COLUMN_DILATION == 1; /* a row of a receptive field is contiguous */
    const int runs = whole ? 1 : FIELD_COLUMNS;
    const int length = whole ? FIELD_COLUMNS * depth : depth;
    const int steps = length % ELL_STEPS ? 1 : ELL_STEPS;
    for (int ky = 0; ky < FIELD; ky++) {
        for (int run = 0; run < runs; run++) {
            const float *in = input + ky * ROW_DILATION * row_stride + run * COLUMN_DILATION * pixel_stride;
            int k = 0;
#if MULTIPLY_IN_ORDER
            if (ell_in_order(rows * columns, vectors) && length >= 4) {
                k = length / 4 * 4;
                gemm_in_order(sums, in, weights, rows, columns, k, STRIDE * row_stride, COLUMN_STRIDE * pixel_stride);
                in += k;
                weights += k * vectors * VECTOR_WIDTH;
            }
#endif
#if ELL_PAIRS
            ELL_NO_VECTORIZE
            for (; k + 2 <= length; k += 2) {
                gemm_pair(sums, in, weights, rows, columns, vectors, STRIDE * row_stride, COLUMN_STRIDE * pixel_stride);
                in += 2;
                weights += 2 * vectors * VECTOR_WIDTH;
            }
#endif
            ELL_NO_VECTORIZE
            for (; k < length; k += steps) {
                ELL_UNROLL for (int step = 0; step < steps; step++)
                    gemm_step(sums, in + step, weights + step * vectors * VECTOR_WIDTH, rows, columns, vectors,
                              STRIDE * row_stride, COLUMN_STRIDE * pixel_stride);
                ell_fetch_ahead(weights, steps * vectors * VECTOR_WIDTH);
                in += steps;
                weights += steps * vectors * VECTOR_WIDTH;
            }
        }
    }
}

/* Residual, activation and store of a tile; the last vector has `tail` lanes. */
ELL_INLINE void gemm_finish(gemm_sums sums, const float *residual, float *output, const int rows, const int columns,
                            const int vectors, const int tail) {
    GEMM_PIXELS(rows, columns) {
        const float *res = RESIDUAL ? residual + r * RESIDUAL_ROW_STRIDE + c * RESIDUAL_PIXEL_STRIDE : 0;
        float *out = output + (ptrdiff_t)r * OUT_ROW_STRIDE + c * OUT_PIXEL_STRIDE;
        ELL_UNROLL for (int v = 0; v < vectors; v++)
            ell_finish_partial(sums[r][c][v], RESIDUAL ? res + v * VECTOR_WIDTH : 0, out + v * VECTOR_WIDTH,
                               v == vectors - 1 ? tail : VECTOR_WIDTH);
    }
}

#endif
