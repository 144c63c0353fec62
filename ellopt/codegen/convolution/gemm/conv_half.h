/* Method "unrolled" in float16: as conv_unrolled.h, with input and weights rounded to float16 and twice as many of them in
 * a vector. Products are summed in float16 for at most HALF_TERMS terms, which is as far as its eleven bits go; those sums,
 * the bias and all that follows are float32, and so are the tensors that it reads and writes.
 *
 * The input is rounded first, by all threads, into the workspace: rows of HALF_PITCH elements in which pixels follow each
 * other. Of windows of one cell only the cells that are read are kept, so that they lie side by side. */
#define NEEDS_PIXEL_TILES
#define NEEDS_FILTER_PANELS
#define NEEDS_ROW_BLOCKS
#define NEEDS_WEIGHT_CACHE
#define NEEDS_HALF
#define NEEDS_HALF_INPUT
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "epilogue.h"
#include "half.h"

typedef ell_half gemm_element;
#define ONE_CELL (FIELD == 1 && FIELD_COLUMNS == 1)
#define GEMM_LANES HALF_WIDTH
#define GEMM_ROW_STRIDE HALF_PITCH
#define GEMM_PIXEL_STRIDE CHANNELS
#define GEMM_STRIDE (ONE_CELL ? 1 : STRIDE)
#define GEMM_COLUMN_STRIDE (ONE_CELL ? 1 : COLUMN_STRIDE)

#define INPUT_ROWS ((OUT_ROWS - 1) * GEMM_STRIDE + FIELD)
#define INPUT_COLUMNS ((OUT_COLUMNS - 1) * GEMM_COLUMN_STRIDE + FIELD_COLUMNS)
#define DENSE (IN_PIXEL_STRIDE == CHANNELS && (!ONE_CELL || COLUMN_STRIDE == 1))

/* A row of a receptive field has so many terms. Several rows, or part of one, are summed in float16. */
#define ROW_TERMS (FIELD_COLUMNS * CHANNELS)
#define ROWS_AT_ONCE (ROW_TERMS > HALF_TERMS ? 1 : FIELD * ROW_TERMS > HALF_TERMS ? HALF_TERMS / ROW_TERMS : FIELD)
#define ROW_PARTS ((ROW_TERMS + HALF_TERMS - 1) / HALF_TERMS)
#define PART_TERMS ((ROW_TERMS + ROW_PARTS - 1) / ROW_PARTS)
#define SUMMED_AT_ONCE (ROWS_AT_ONCE == FIELD && ROW_PARTS == 1)

typedef half_vec gemm_sums[TILE_ROWS][TILE_COLUMNS][TILE_VECTORS];

/* Runs `body` for every r, c and v of the tile. */
#define GEMM_SUMS(rows, columns, vectors)                  \
    ELL_UNROLL for (int r = 0; r < (rows); r++)            \
        ELL_UNROLL for (int c = 0; c < (columns); c++)     \
            ELL_UNROLL for (int v = 0; v < (vectors); v++)

/* Adds the products of `terms` terms of each of `field_rows` rows of the receptive fields; weights follow each other. */
ELL_INLINE void gemm_accumulate(gemm_sums sums, const ell_half *input, const ell_half *weights, int field_rows, int terms,
                                const int rows, const int columns, const int vectors) {
    for (int ky = 0; ky < field_rows; ky++) {
        const ell_half *in = input + (ptrdiff_t)ky * GEMM_ROW_STRIDE;
        ELL_NO_VECTORIZE
        for (int k = 0; k < terms; k++) {
            half_vec w[TILE_VECTORS];
            ELL_UNROLL for (int v = 0; v < vectors; v++) w[v] = half_load(weights + v * HALF_WIDTH);
            ELL_UNROLL for (int r = 0; r < rows; r++)
                ELL_UNROLL for (int c = 0; c < columns; c++) {
                    const half_vec a = half_splat(in[r * GEMM_STRIDE * GEMM_ROW_STRIDE + c * GEMM_COLUMN_STRIDE * CHANNELS]);
                    ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] += a * w[v];
                }
            in++;
            weights += vectors * HALF_WIDTH;
        }
    }
}

/* Residual, activation and store of the first `lanes` of eight sums. */
ELL_INLINE void gemm_finish(vec low, vec high, const float *residual, float *output, const int lanes) {
    ell_finish_partial(low, residual, output, lanes < VECTOR_WIDTH ? lanes : VECTOR_WIDTH);
    if (lanes > VECTOR_WIDTH)
        ell_finish_partial(high, RESIDUAL ? residual + VECTOR_WIDTH : 0, output + VECTOR_WIDTH, lanes - VECTOR_WIDTH);
}

/* One register tile: rows x columns pixels, `vectors` vectors of filters, of which the last has `tail` lanes. */
ELL_INLINE void gemm_tile(const ell_half *input, const ell_half *weights, const float *bias, const float *residual,
                          float *output, const int rows, const int columns, const int vectors, const int tail) {
    gemm_sums sums;
#if SUMMED_AT_ONCE
    GEMM_SUMS(rows, columns, vectors) sums[r][c][v] = (half_vec){0};
    gemm_accumulate(sums, input, weights, FIELD, ROW_TERMS, rows, columns, vectors);
    GEMM_SUMS(rows, columns, vectors) {
        const vec low = vec_load(bias + v * HALF_WIDTH) + half_low(sums[r][c][v]);
        const vec high = vec_load(bias + v * HALF_WIDTH + VECTOR_WIDTH) + half_high(sums[r][c][v]);
#else
    vec wide[TILE_ROWS][TILE_COLUMNS][TILE_VECTORS][2];
    GEMM_SUMS(rows, columns, vectors) {
        wide[r][c][v][0] = vec_load(bias + v * HALF_WIDTH);
        wide[r][c][v][1] = vec_load(bias + v * HALF_WIDTH + VECTOR_WIDTH);
    }
    for (int ky = 0; ky < FIELD; ky += ROWS_AT_ONCE) {
        const int field_rows = FIELD - ky < ROWS_AT_ONCE ? FIELD - ky : ROWS_AT_ONCE;
        for (int k = 0; k < ROW_TERMS; k += PART_TERMS) {
            const int terms = ROW_TERMS - k < PART_TERMS ? ROW_TERMS - k : PART_TERMS;
            GEMM_SUMS(rows, columns, vectors) sums[r][c][v] = (half_vec){0};
            gemm_accumulate(sums, input + (ptrdiff_t)ky * GEMM_ROW_STRIDE + k,
                            weights + (ptrdiff_t)(ky * ROW_TERMS + k) * vectors * HALF_WIDTH, field_rows, terms, rows,
                            columns, vectors);
            GEMM_SUMS(rows, columns, vectors) {
                wide[r][c][v][0] += half_low(sums[r][c][v]);
                wide[r][c][v][1] += half_high(sums[r][c][v]);
            }
        }
    }
    GEMM_SUMS(rows, columns, vectors) {
        const vec low = wide[r][c][v][0], high = wide[r][c][v][1];
#endif
        const float *res = RESIDUAL ? residual + r * RESIDUAL_ROW_STRIDE + c * RESIDUAL_PIXEL_STRIDE : 0;
        gemm_finish(low, high, RESIDUAL ? res + v * HALF_WIDTH : 0,
                    output + (ptrdiff_t)r * OUT_ROW_STRIDE + c * OUT_PIXEL_STRIDE + v * HALF_WIDTH,
                    v == vectors - 1 ? tail : HALF_WIDTH);
    }
}

#include "gemm_loops.h"

/* Rounds a row of the input. */
static void half_task(const void *context, int row, int worker) {
    (void)worker;
    const gemm_split *split = (const gemm_split *)context;
    const float *in = split->args->input + (ptrdiff_t)row * (ONE_CELL ? STRIDE : 1) * IN_ROW_STRIDE;
    ell_half *out = (ell_half *)split->args->workspace + (ptrdiff_t)row * HALF_PITCH;
#if DENSE
    half_convert(out, in, INPUT_COLUMNS * CHANNELS);
#else
    for (int column = 0; column < INPUT_COLUMNS; column++)
        half_convert(out + column * CHANNELS, in + (ptrdiff_t)column * (ONE_CELL ? COLUMN_STRIDE : 1) * IN_PIXEL_STRIDE,
                     CHANNELS);
#endif
}

void KERNEL_NAME(const ell_conv_args *args) {
    gemm_split split = {args, (const ell_half *)args->workspace, (const ell_half *)args->weights, 1, 1};
    ell_pool_run(args->pool, half_task, &split, INPUT_ROWS);
    gemm_cut(&split, ell_pool_threads(args->pool));
    ell_pool_run(args->pool, gemm_task, &split, split.group_chunks * split.panel_chunks);
}
