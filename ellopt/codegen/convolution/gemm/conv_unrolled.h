/* Method "unrolled": matrix multiplication of receptive fields (rows of the implicit column matrix) with weights, in
 * register tiles of TILE_ROWS x TILE_COLUMNS output pixels and TILE_VECTORS x VECTOR_WIDTH filters (gemm_tile.h).
 *
 * PANELS panels of filters; the first WIDE_PANELS of them have TILE_VECTORS vectors, the others one less.
 * Weights: [group][panel][row][column][channel][filter of panel], filters filled up with zeros to whole vectors.
 * Output rows come in ROW_GROUPS groups, the first TALL_GROUPS of TILE_ROWS rows, the others one less; columns in
 * COLUMN_TILES tiles, the first WIDE_TILES of TILE_COLUMNS columns, the others one less.
 * NEIGHBOURS pixels of a row may be one with as many times the filters (neighbours.py): FILTERS, OUT_COLUMNS and
 * strides are those of such pixels, and only the bias is one pixel's own.
 * A task computes some row groups for some panels, BLOCK_GROUPS row groups at a time, so that the input block stays
 * in cache while panels pass. */
#define NEEDS_PIXEL_TILES
#define NEEDS_FILTER_PANELS
#define NEEDS_ROW_BLOCKS
#define NEEDS_WEIGHT_CACHE
#define NEEDS_NEIGHBOURS
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "gemm_tile.h"

typedef float gemm_element;
#define GEMM_LANES VECTOR_WIDTH
#define GEMM_ROW_STRIDE IN_ROW_STRIDE
#define GEMM_PIXEL_STRIDE IN_PIXEL_STRIDE
#define GEMM_STRIDE STRIDE
#define GEMM_COLUMN_STRIDE COLUMN_STRIDE

/* One register tile: rows x columns pixels, `vectors` vectors of filters, of which the last has `tail` lanes. */
ELL_INLINE void gemm_tile(const float *input, const float *weights, const float *bias, const float *residual,
                          float *output, const int rows, const int columns, const int vectors, const int tail) {
    gemm_sums sums;
    ELL_UNROLL for (int v = 0; v < vectors; v++) {
        vec start = vec_load(bias + v * VECTOR_WIDTH);
        GEMM_PIXELS(rows, columns) sums[r][c][v] = start;
    }
    gemm_accumulate(sums, input, weights, rows, columns, vectors, CHANNELS, IN_ROW_STRIDE, IN_PIXEL_STRIDE);
    gemm_finish(sums, residual, output, rows, columns, vectors, tail);
}

#include "gemm_loops.h"

void KERNEL_NAME(const ell_conv_args *args) {
    gemm_split split = {args, args->input, args->weights, 1, 1};
    gemm_cut(&split, ell_pool_threads(args->pool));
#if NEIGHBOURS > 1
    float bias[(FILTERS + VECTOR_WIDTH - 1) / VECTOR_WIDTH * VECTOR_WIDTH] = {0};
    for (int f = 0; f < FILTERS; f++) bias[f] = args->bias[f % (FILTERS / NEIGHBOURS)];
    ell_conv_args all = *args;
    all.bias = bias;
    split.args = &all;
    ell_pool_run(args->pool, gemm_task, &split, gemm_tasks(&split));
#elif GROUPS == 1
    ell_pool_run(args->pool, gemm_task, &split, gemm_tasks(&split));
#else
    ell_conv_args own = *args;
    split.args = &own;
    for (int group = 0; group < GROUPS; group++) {
        ell_pool_run(args->pool, gemm_task, &split, gemm_tasks(&split));
        split.input += CHANNELS;
        own.output += FILTERS;
        own.residual += RESIDUAL ? FILTERS : 0;
        own.bias += FILTERS;
        split.weights += GROUP_WEIGHTS;
    }
#endif
}
