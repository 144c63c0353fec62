/* Method "unrolled" with one level of Strassen's algorithm in Winograd's form: seven products of half the size in
 * place of eight (Strassen, Gaussian Elimination is not Optimal, 1969; fused with packing and micro-kernel as in
 * Huang et al., Strassen's Algorithm Reloaded, 2016).
 *
 * The image's left and right half (columns), the two halves of the channels and the two halves of the filters make the
 * matrices of two by two blocks: output C = input A * weights B. Sums of input blocks are written to four small images
 * of half the columns and channels; sums of weight blocks are made at build time:
 *
 *   S1 = A21 + A22   S2 = S1 - A11   S3 = A11 - A21   S4 = A12 - S2
 *   T1 = B12 - B11   T2 = B22 - T1   T3 = B22 - B12   T4 = B21 - T2
 *   P1 = A11 B11   P2 = A12 B21   P3 = S4 B22   P4 = A22 T4   P5 = S1 T1   P6 = S2 T2   P7 = S3 T3
 *   U2 = P1 + P6   U3 = U2 + P7
 *   C11 = P1 + P2   C12 = U2 + P5 + P3   C21 = U3 + P4   C22 = U3 + P5
 *
 * Most of the sums of products happen in the registers that accumulate them anyway.
 *
 * Weights: [panel][B11 B21 B22 T4 T1 T2 T3][row][column][channel of a half][filter of panel]; panels, row groups and
 * tiles as in conv_unrolled.h, but of half the output columns and half the filters. STRASSEN_SHARED: see below. */
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "gemm_tile.h"

#define HALF_COLUMNS (OUT_COLUMNS / 2)
#define HALF_FILTERS (FILTERS / 2)
#define DEPTH (CHANNELS / 2)
#define BLOCK_WEIGHTS (FIELD * FIELD * DEPTH)
#define IN_COLUMNS ((HALF_COLUMNS - 1) * STRIDE + FIELD) /* of a half */
#define SUM_ROW_STRIDE (IN_COLUMNS * DEPTH)
/* From an element of the left half to its counterpart of the right. */
#define RIGHT_INPUT (HALF_COLUMNS * STRIDE * IN_PIXEL_STRIDE)
#define RIGHT_OUTPUT (HALF_COLUMNS * OUT_PIXEL_STRIDE)
#define RIGHT_RESIDUAL (HALF_COLUMNS * RESIDUAL_PIXEL_STRIDE)

/* Floats of one of the sums' images: the input rows of BLOCK_GROUPS row groups. */
#define SUM_FLOATS (((BLOCK_GROUPS * TILE_ROWS - 1) * STRIDE + FIELD) * SUM_ROW_STRIDE)

/* First row of output of a row group. */
ELL_INLINE int group_row(int group) {
    return group * TILE_ROWS - (group < TALL_GROUPS ? 0 : group - TALL_GROUPS);
}

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

ELL_INLINE void gemm_set(gemm_sums to, gemm_sums from, const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns) ELL_UNROLL for (int v = 0; v < vectors; v++) to[r][c][v] = from[r][c][v];
}

ELL_INLINE void gemm_add(gemm_sums to, gemm_sums from, const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns) ELL_UNROLL for (int v = 0; v < vectors; v++) to[r][c][v] += from[r][c][v];
}

ELL_INLINE void gemm_clear(gemm_sums sums, const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns) ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] = vec_zero();
}

ELL_INLINE void gemm_finish_biased(gemm_sums sums, const float *bias, const float *residual, float *output,
                                   const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns)
    ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] += vec_load(bias + v * VECTOR_WIDTH);
    gemm_finish(sums, residual, output, rows, columns, vectors, VECTOR_WIDTH);
}

/* A register tile of all four blocks of the output. */
ELL_INLINE void strassen_tile(const float *a, const float *s, const float *weights, const float *bias,
                              const float *residual, float *output, const int rows, const int columns,
                              const int vectors) {
    gemm_sums sums, kept, u2, u3;
    const ptrdiff_t block = (ptrdiff_t)BLOCK_WEIGHTS * vectors * VECTOR_WIDTH;
    /* Of the residual's blocks, row by row. */
    const float *res12 = RESIDUAL ? residual + HALF_FILTERS : 0, *res21 = RESIDUAL ? residual + RIGHT_RESIDUAL : 0;
    const float *res22 = RESIDUAL ? res21 + HALF_FILTERS : 0;
#define STRASSEN_A(pointer, index)                                                                      \
    gemm_accumulate(sums, pointer, weights + (index)*block, rows, columns, vectors, DEPTH, IN_ROW_STRIDE, \
                    IN_PIXEL_STRIDE)
#define STRASSEN_S(which, index)                                                                                    \
    gemm_accumulate(sums, s + ((which)-1) * (ptrdiff_t)SUM_FLOATS, weights + (index)*block, rows, columns, vectors, \
                    DEPTH, SUM_ROW_STRIDE, DEPTH)
    gemm_clear(sums, rows, columns, vectors);
    STRASSEN_A(a, 0);
    gemm_set(kept, sums, rows, columns, vectors); /* P1 */
    STRASSEN_A(a + DEPTH, 1);
    gemm_finish_biased(sums, bias, residual, output, rows, columns, vectors);

    gemm_set(sums, kept, rows, columns, vectors);
    STRASSEN_S(2, 5);
    gemm_set(u2, sums, rows, columns, vectors);
    STRASSEN_S(3, 6);
    gemm_set(u3, sums, rows, columns, vectors);
    STRASSEN_A(a + RIGHT_INPUT + DEPTH, 3);
    gemm_finish_biased(sums, bias, res21, output + RIGHT_OUTPUT, rows, columns, vectors);

    gemm_clear(sums, rows, columns, vectors);
    STRASSEN_S(1, 4);
    gemm_add(u3, sums, rows, columns, vectors);
    gemm_finish_biased(u3, bias + HALF_FILTERS, res22, output + RIGHT_OUTPUT + HALF_FILTERS, rows, columns, vectors);
    gemm_add(sums, u2, rows, columns, vectors);
    STRASSEN_S(4, 2);
    gemm_finish_biased(sums, bias + HALF_FILTERS, res12, output + HALF_FILTERS, rows, columns, vectors);
#undef STRASSEN_A
#undef STRASSEN_S
}

/* The tiles of one row group for one panel. `s` points to the group's first row of S1. */
ELL_INLINE void strassen_group(const ell_conv_args *args, int group, const float *s, const float *weights, int filter,
                               const int rows, const int vectors) {
    ptrdiff_t y = group_row(group);
    const float *input = args->input + y * STRIDE * IN_ROW_STRIDE;
    const float *residual = RESIDUAL ? args->residual + y * RESIDUAL_ROW_STRIDE + filter : 0;
    float *output = args->output + y * OUT_ROW_STRIDE + filter;
    const float *bias = args->bias + filter;
    for (int tile = 0; tile < WIDE_TILES; tile++) {
        strassen_tile(input, s, weights, bias, residual, output, rows, TILE_COLUMNS, vectors);
        input += TILE_COLUMNS * STRIDE * IN_PIXEL_STRIDE;
        s += TILE_COLUMNS * STRIDE * DEPTH;
        residual += RESIDUAL ? TILE_COLUMNS * RESIDUAL_PIXEL_STRIDE : 0;
        output += TILE_COLUMNS * OUT_PIXEL_STRIDE;
    }
#if COLUMN_TILES > WIDE_TILES
    for (int tile = WIDE_TILES; tile < COLUMN_TILES; tile++) {
        strassen_tile(input, s, weights, bias, residual, output, rows, TILE_COLUMNS - 1, vectors);
        input += (TILE_COLUMNS - 1) * STRIDE * IN_PIXEL_STRIDE;
        s += (TILE_COLUMNS - 1) * STRIDE * DEPTH;
        residual += RESIDUAL ? (TILE_COLUMNS - 1) * RESIDUAL_PIXEL_STRIDE : 0;
        output += (TILE_COLUMNS - 1) * OUT_PIXEL_STRIDE;
    }
#endif
}

/* Some panels of the row groups first .. last - 1, whose sums start at `sums`. */
static void strassen_multiply(const ell_conv_args *args, const float *sums, int block_row, int first, int last,
                              int first_panel, int last_panel) {
    for (int panel = first_panel; panel < last_panel; panel++) {
        int wide = panel < WIDE_PANELS;
        int filter = (panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS)) * VECTOR_WIDTH;
        const float *weights = args->weights + (ptrdiff_t)filter * 7 * BLOCK_WEIGHTS;
        for (int group = first; group < last; group++) {
            const float *s = sums + (ptrdiff_t)(group_row(group) - block_row) * STRIDE * SUM_ROW_STRIDE;
            int tall = group < TALL_GROUPS;
            if (tall && wide) strassen_group(args, group, s, weights, filter, TILE_ROWS, TILE_VECTORS);
#if ROW_GROUPS > TALL_GROUPS
            if (!tall && wide) strassen_group(args, group, s, weights, filter, TILE_ROWS - 1, TILE_VECTORS);
#endif
#if PANELS > WIDE_PANELS
            if (tall && !wide) strassen_group(args, group, s, weights, filter, TILE_ROWS, TILE_VECTORS - 1);
#if ROW_GROUPS > TALL_GROUPS
            if (!tall && !wide) strassen_group(args, group, s, weights, filter, TILE_ROWS - 1, TILE_VECTORS - 1);
#endif
#endif
        }
    }
}

#if STRASSEN_SHARED
/* Weights that a core's cache cannot hold: threads share the sums, one block, and split the panels, so that no core
 * reads all weights. */

static void strassen_sum_task(const void *context, int row, int worker) {
    (void)worker;
    const ell_conv_args *args = (const ell_conv_args *)context;
    strassen_sum_row(args->input + (ptrdiff_t)row * IN_ROW_STRIDE, args->workspace + (ptrdiff_t)row * SUM_ROW_STRIDE);
}

typedef struct {
    const ell_conv_args *args;
    int panel_chunks, group_chunks;
} strassen_split;

static void strassen_task(const void *context, int index, int worker) {
    (void)worker;
    const strassen_split *split = (const strassen_split *)context;
    int p = index / split->group_chunks, g = index % split->group_chunks;
    strassen_multiply(split->args, split->args->workspace, 0, ROW_GROUPS * g / split->group_chunks,
                      ROW_GROUPS * (g + 1) / split->group_chunks, PANELS * p / split->panel_chunks,
                      PANELS * (p + 1) / split->panel_chunks);
}

void KERNEL_NAME(const ell_conv_args *args) {
    strassen_split split = {args, 1, 1};
    int threads = ell_pool_threads(args->pool);
    if (threads > 1) {
        split.panel_chunks = PANELS < 4 * threads ? PANELS : 4 * threads;
        split.group_chunks = (4 * threads + split.panel_chunks - 1) / split.panel_chunks;
        if (split.group_chunks > ROW_GROUPS) split.group_chunks = ROW_GROUPS;
    }
    ell_pool_run(args->pool, strassen_sum_task, args, (OUT_ROWS - 1) * STRIDE + FIELD);
    ell_pool_run(args->pool, strassen_task, &split, split.panel_chunks * split.group_chunks);
}

#else
/* Every thread makes the sums of a block of row groups and multiplies them with all panels. */

static void strassen_block_task(const void *context, int index, int worker) {
    const ell_conv_args *args = (const ell_conv_args *)context;
    float *sums = args->workspace + (ptrdiff_t)worker * 4 * SUM_FLOATS;
    int first = index * BLOCK_GROUPS;
    int last = first + BLOCK_GROUPS < ROW_GROUPS ? first + BLOCK_GROUPS : ROW_GROUPS;
    int row = group_row(first), end = last == ROW_GROUPS ? OUT_ROWS : group_row(last);
    for (int y = 0; y < (end - row - 1) * STRIDE + FIELD; y++)
        strassen_sum_row(args->input + (ptrdiff_t)(row * STRIDE + y) * IN_ROW_STRIDE,
                         sums + (ptrdiff_t)y * SUM_ROW_STRIDE);
    strassen_multiply(args, sums, row, first, last, 0, PANELS);
}

void KERNEL_NAME(const ell_conv_args *args) {
    ell_pool_run(args->pool, strassen_block_task, args, (ROW_GROUPS + BLOCK_GROUPS - 1) / BLOCK_GROUPS);
}
#endif
