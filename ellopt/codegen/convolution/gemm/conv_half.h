/* Method "unrolled" in float16: as conv_unrolled.h, with input and weights rounded to float16 and twice as many of them in
 * a vector. Products are summed in float16 for at most HALF_TERMS terms, which is as far as its eleven bits go; those sums
 * are float32.
 *
 * A float16 input is read where it is. Of float32 the rows that are read are rounded first, by all threads, into the
 * workspace, where pixels are as far apart; so they are of an input with gaps between pixels, and there follow each
 * other. HALF_PITCH is the distance of rows that the tiles see. */
#define NEEDS_PIXEL_TILES
#define NEEDS_FILTER_PANELS
#define NEEDS_ROW_BLOCKS
#define NEEDS_WEIGHT_CACHE
#define NEEDS_HALF
#define NEEDS_HALF_INPUT
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "half_epilogue.h"

typedef ell_half gemm_element;
#define GEMM_LANES HALF_WIDTH
#define GEMM_ROW_STRIDE HALF_PITCH
#define GEMM_PIXEL_STRIDE CHANNELS
#define GEMM_STRIDE STRIDE
#define GEMM_COLUMN_STRIDE COLUMN_STRIDE
#define GEMM_RESULT unsigned char
#define GEMM_OUTPUT_UNIT half_output_bytes(args)
#define GEMM_RESIDUAL_UNIT half_residual_bytes(args)
#define GEMM_TILE(...) gemm_tile(args, __VA_ARGS__)

#define INPUT_ROWS ((OUT_ROWS - 1) * STRIDE + FIELD)
#define INPUT_COLUMNS ((OUT_COLUMNS - 1) * COLUMN_STRIDE + FIELD_COLUMNS)
#define DENSE (IN_PIXEL_STRIDE == CHANNELS)

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

/* Bias, residual, activation and store of a tile's sums. */
ELL_INLINE void gemm_finish(gemm_sums sums, const float *bias, const unsigned char *residual, unsigned char *output,
                            const int rows, const int columns, const int vectors, const int tail,
                            const int half_residual, const int half_output) {
    const int output_bytes = half_output ? 2 : 4, residual_bytes = half_residual ? 2 : 4;
    ELL_UNROLL for (int v = 0; v < vectors; v++) {
        const int lanes = v == vectors - 1 ? tail : HALF_WIDTH;
        const vec low = vec_load(bias + v * HALF_WIDTH), high = vec_load(bias + v * HALF_WIDTH + VECTOR_WIDTH);
        const half_vec both = half_of(low, high);
        ELL_UNROLL for (int r = 0; r < rows; r++)
            ELL_UNROLL for (int c = 0; c < columns; c++) {
                const unsigned char *res = residual;
                if (RESIDUAL)
                    res += (r * RESIDUAL_ROW_STRIDE + c * RESIDUAL_PIXEL_STRIDE + v * HALF_WIDTH) * residual_bytes;
                unsigned char *out =
                    output + ((ptrdiff_t)r * OUT_ROW_STRIDE + c * OUT_PIXEL_STRIDE + v * HALF_WIDTH) * output_bytes;
                if (HALF_FOLLOWS && half_output && (half_residual || !RESIDUAL))
                    half_finish_halves(sums[r][c][v] + both, res, out, lanes);
                else
                    half_finish_floats(half_low(sums[r][c][v]) + low, half_high(sums[r][c][v]) + high, res, out,
                                       half_residual, half_output, lanes);
            }
    }
}

/* The same of sums that are float32. */
typedef vec gemm_wide_sums[TILE_ROWS][TILE_COLUMNS][TILE_VECTORS][2];

ELL_INLINE void gemm_finish_wide(const ell_conv_args *args, gemm_wide_sums sums, const unsigned char *residual,
                                 unsigned char *output, const int rows, const int columns, const int vectors,
                                 const int tail, const int half_output) {
    const int output_bytes = half_output ? 2 : 4, residual_bytes = half_residual_bytes(args);
    GEMM_SUMS(rows, columns, vectors) {
        const unsigned char *res = residual;
        if (RESIDUAL) res += (r * RESIDUAL_ROW_STRIDE + c * RESIDUAL_PIXEL_STRIDE + v * HALF_WIDTH) * residual_bytes;
        half_finish_floats(sums[r][c][v][0], sums[r][c][v][1], res,
                           output + ((ptrdiff_t)r * OUT_ROW_STRIDE + c * OUT_PIXEL_STRIDE + v * HALF_WIDTH) * output_bytes,
                           args->half_residual, half_output, v == vectors - 1 ? tail : HALF_WIDTH);
    }
}

/* One register tile: rows x columns pixels, `vectors` vectors of filters, of which the last has `tail` lanes. */
ELL_INLINE void gemm_tile(const ell_conv_args *args, const ell_half *input, const ell_half *weights, const float *bias,
                          const unsigned char *residual, unsigned char *output, const int rows, const int columns,
                          const int vectors, const int tail) {
    gemm_sums sums;
#if SUMMED_AT_ONCE
    GEMM_SUMS(rows, columns, vectors) sums[r][c][v] = (half_vec){0};
    gemm_accumulate(sums, input, weights, FIELD, ROW_TERMS, rows, columns, vectors);
    if (args->half_output && (args->half_residual || !RESIDUAL))
        gemm_finish(sums, bias, residual, output, rows, columns, vectors, tail, 1, 1);
    else if (args->half_output)
        gemm_finish(sums, bias, residual, output, rows, columns, vectors, tail, 0, 1);
    else
        gemm_finish(sums, bias, residual, output, rows, columns, vectors, tail, args->half_residual, 0);
#else
    gemm_wide_sums wide;
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
    if (args->half_output)
        gemm_finish_wide(args, wide, residual, output, rows, columns, vectors, tail, 1);
    else
        gemm_finish_wide(args, wide, residual, output, rows, columns, vectors, tail, 0);
#endif
}

#include "gemm_loops.h"

/* Rounds a row of the input that windows read, or closes its gaps. */
static void half_task(const void *context, int index, int worker) {
    (void)worker;
    const ell_conv_args *args = (const ell_conv_args *)context;
    const int row = STRIDE > FIELD ? index / FIELD * STRIDE + index % FIELD : index;
    ell_half *out = (ell_half *)args->workspace + (ptrdiff_t)row * HALF_PITCH;
#if DENSE
    half_convert(out, args->input + (ptrdiff_t)row * IN_ROW_STRIDE, INPUT_COLUMNS * CHANNELS);
#else
    for (int column = 0; column < INPUT_COLUMNS; column++) {
        const ptrdiff_t at = (ptrdiff_t)row * IN_ROW_STRIDE + (ptrdiff_t)column * IN_PIXEL_STRIDE;
        if (args->half_input)
            for (int k = 0; k < CHANNELS; k++) out[column * CHANNELS + k] = ((const ell_half *)args->input)[at + k];
        else
            half_convert(out + column * CHANNELS, args->input + at, CHANNELS);
    }
#endif
}

void KERNEL_NAME(const ell_conv_args *args) {
    gemm_split split = {args, (const ell_half *)args->input, (const ell_half *)args->weights, 1, 1};
    if (!DENSE || !args->half_input) {
        ell_pool_run(args->pool, half_task, args, STRIDE > FIELD ? OUT_ROWS * FIELD : INPUT_ROWS);
        split.input = (const ell_half *)args->workspace;
    }
    gemm_cut(&split, ell_pool_threads(args->pool));
    ell_pool_run(args->pool, gemm_task, &split, gemm_tasks(&split));
}
