/* One level of Strassen's algorithm: see conv_strassen.h. */
#ifndef ELLOPT_STRASSEN_ONCE_H
#define ELLOPT_STRASSEN_ONCE_H

#define SUM_IMAGES 4
#define WAITING_SUMS 3
#define ALL_PRODUCTS PRODUCTS

/* One input row of S1 .. S4. */
static void strassen_sum_row(const float *input, float *sums) {
    for (int x = 0; x < IN_COLUMNS; x++) {
        const float *left = input + (ptrdiff_t)x * IN_PIXEL_STRIDE, *right = left + RIGHT_INPUT;
        for (int k = 0; k < DEPTH; k += VECTOR_WIDTH) {
            vec a11 = vec_load(left + k), a12 = vec_load(left + DEPTH + k);
            vec a21 = vec_load(right + k), a22 = vec_load(right + DEPTH + k);
            vec s1 = a21 + a22, s2 = s1 - a11;
            vec_store(sums + k, s1);
            vec_store(sums + SUM_FLOATS + k, s2);
            vec_store(sums + 2 * SUM_FLOATS + k, a11 - a21);
            vec_store(sums + 3 * SUM_FLOATS + k, a12 - s2);
        }
        sums += DEPTH;
    }
}

/* One product of a register tile: `a` and `s` point to the tile's inputs in A11 and S1, the rest to what C11 has. */
ELL_INLINE void strassen_tile(const int product, const float *a, const float *s, const float *weights,
                              const float *bias, const float *residual, float *output, strassen_waiting wait,
                              const int rows, const int columns, const int vectors) {
    gemm_sums sums;
    if (product == P1 || product == P5)
        GEMM_PIXELS(rows, columns) ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] = vec_zero();
    else
        gemm_load(sums, product == P7 ? wait.u2 : product == P4 ? wait.u3 : wait.kept, rows, columns, vectors);

    if (product == P1 || product == P2 || product == P4)
        gemm_accumulate(sums, a + (product == P2 ? DEPTH : product == P4 ? RIGHT_INPUT + DEPTH : 0), weights, rows,
                        columns, vectors, DEPTH, IN_ROW_STRIDE, IN_PIXEL_STRIDE);
    else
        gemm_accumulate(sums, s + (product == P5 ? 0 : product == P6 ? 1 : product == P7 ? 2 : 3) * (ptrdiff_t)SUM_FLOATS,
                        weights, rows, columns, vectors, DEPTH, SUM_ROW_STRIDE, DEPTH);

    const int right = product == P4 || product == P5, upper = product == P5 || product == P3;
    bias += upper ? PART_FILTERS : 0;
    output += (right ? RIGHT_OUTPUT : 0) + (upper ? PART_FILTERS : 0);
    residual += RESIDUAL ? (right ? RIGHT_RESIDUAL : 0) + (upper ? PART_FILTERS : 0) : 0;
    if (product == P1 || product == P6 || product == P7) {
        gemm_store(sums, product == P1 ? wait.kept : product == P6 ? wait.u2 : wait.u3, rows, columns, vectors);
    } else if (product == P5) {
        GEMM_PIXELS(rows, columns)
        ELL_UNROLL for (int v = 0; v < vectors; v++) {
            const int at = ((r * columns + c) * vectors + v) * VECTOR_WIDTH;
            vec_store(wait.kept + at, sums[r][c][v] + vec_load(wait.u2 + at));
            sums[r][c][v] += vec_load(wait.u3 + at);
        }
        gemm_finish_biased(sums, bias, residual, output, rows, columns, vectors);
    } else {
        gemm_finish_biased(sums, bias, residual, output, rows, columns, vectors);
    }
}

/* One product of the tiles of the row groups first .. last - 1 for one panel. Its weights stay in the first level of
 * cache. `sums` points to the first group's row of S1. */
ELL_INLINE void strassen_product(const int product, const ell_conv_args *args, int first, int last, const float *sums,
                                 const float *weights, int filter, strassen_waiting wait, const int vectors) {
    for (int group = first; group < last; group++) {
        ptrdiff_t y = group_row(group);
        const float *input = args->input + y * STRIDE * IN_ROW_STRIDE;
        const float *s = sums + (y - group_row(first)) * STRIDE * SUM_ROW_STRIDE;
        const float *residual = RESIDUAL ? args->residual + y * RESIDUAL_ROW_STRIDE + filter : 0;
        float *output = args->output + y * OUT_ROW_STRIDE + filter;
        const float *bias = args->bias + filter;
        for (int tile = 0; tile < COLUMN_TILES; tile++) {
            int columns = tile < WIDE_TILES ? TILE_COLUMNS : TILE_COLUMNS - 1;
#define STRASSEN_TILE(rows, columns) \
    strassen_tile(product, input, s, weights, bias, residual, output, wait, rows, columns, vectors)
            STRASSEN_OF_SIZE(group, tile, STRASSEN_TILE)
#undef STRASSEN_TILE
            input += columns * STRIDE * IN_PIXEL_STRIDE;
            s += columns * STRIDE * DEPTH;
            residual += RESIDUAL ? columns * RESIDUAL_PIXEL_STRIDE : 0;
            output += columns * OUT_PIXEL_STRIDE;
            wait.kept += TILE_FLOATS;
            wait.u2 += TILE_FLOATS;
            wait.u3 += TILE_FLOATS;
        }
    }
}

/* All products of one panel, of `vectors` vectors. */
ELL_INLINE void strassen_panel(const ell_conv_args *args, int first, int last, const float *sums, const float *weights,
                               int filter, float *waiting, const int vectors) {
    const ptrdiff_t block = (ptrdiff_t)BLOCK_WEIGHTS * vectors * VECTOR_WIDTH;
    const ptrdiff_t tiles = (ptrdiff_t)(last - first) * COLUMN_TILES * TILE_FLOATS;
    const strassen_waiting wait = {waiting, waiting + tiles, waiting + 2 * tiles};
#define STRASSEN_PRODUCT(product) \
    strassen_product(product, args, first, last, sums, weights + (product)*block, filter, wait, vectors)
    STRASSEN_PRODUCT(P1);
    STRASSEN_PRODUCT(P2);
    STRASSEN_PRODUCT(P6);
    STRASSEN_PRODUCT(P7);
    STRASSEN_PRODUCT(P4);
    STRASSEN_PRODUCT(P5);
    STRASSEN_PRODUCT(P3);
#undef STRASSEN_PRODUCT
}

#endif
