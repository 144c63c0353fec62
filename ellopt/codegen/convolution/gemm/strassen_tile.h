/* Register tiles of Strassen's products (conv_strassen.h) that leave the registers and come back. */
#ifndef ELLOPT_STRASSEN_TILE_H
#define ELLOPT_STRASSEN_TILE_H

/* CALL(rows, columns), both constants, for a tile by its place. Tiles of several rows are as wide as the output. */
#define STRASSEN_OF_SIZE(group, tile, CALL)                         \
    if (ROW_GROUPS > TALL_GROUPS && (group) >= TALL_GROUPS)         \
        CALL(TILE_ROWS - 1, TILE_COLUMNS);                          \
    else if (COLUMN_TILES > WIDE_TILES && (tile) >= WIDE_TILES)     \
        CALL(TILE_ROWS, TILE_COLUMNS - 1);                          \
    else                                                            \
        CALL(TILE_ROWS, TILE_COLUMNS);

ELL_INLINE void gemm_load(gemm_sums sums, const float *from, const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns)
    ELL_UNROLL for (int v = 0; v < vectors; v++)
        sums[r][c][v] = vec_load(from + ((r * columns + c) * vectors + v) * VECTOR_WIDTH);
}

ELL_INLINE void gemm_store(gemm_sums sums, float *to, const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns)
    ELL_UNROLL for (int v = 0; v < vectors; v++)
        vec_store(to + ((r * columns + c) * vectors + v) * VECTOR_WIDTH, sums[r][c][v]);
}

ELL_INLINE void gemm_finish_biased(gemm_sums sums, const float *bias, const float *residual, float *output,
                                   const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns)
    ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] += vec_load(bias + v * VECTOR_WIDTH);
    gemm_finish(sums, residual, output, rows, columns, vectors, VECTOR_WIDTH);
}

#endif
