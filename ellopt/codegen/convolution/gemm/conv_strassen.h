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
 * Weights: [panel][B11 B21 T2 T3 T4 T1 B22][row][column][channel of a half][filter of panel]; panels, row groups and
 * tiles as in conv_unrolled.h, but of half the output columns and half the filters. STRASSEN_SHARED: see below. */
#define NEEDS_PIXEL_TILES
#define NEEDS_FILTER_PANELS
#define NEEDS_ROW_BLOCKS
#define NEEDS_STRASSEN
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
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

/* Floats of the register tiles of one panel, and of all that wait in a block. */
#define TILE_FLOATS (TILE_ROWS * TILE_COLUMNS * TILE_VECTORS * VECTOR_WIDTH)
#define WAITING_FLOATS (3 * (ptrdiff_t)BLOCK_GROUPS * COLUMN_TILES * TILE_FLOATS)

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

ELL_INLINE void gemm_finish_biased(gemm_sums sums, const float *bias, const float *residual, float *output,
                                   const int rows, const int columns, const int vectors) {
    GEMM_PIXELS(rows, columns)
    ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] += vec_load(bias + v * VECTOR_WIDTH);
    gemm_finish(sums, residual, output, rows, columns, vectors, VECTOR_WIDTH);
}

enum { P1, P2, P6, P7, P4, P5, P3, PRODUCTS }; /* in the order of their computation */

/* The sums that wait for another product, tile by tile: P1, later U2 + P5; U2; U3. */
typedef struct {
    float *kept, *u2, *u3;
} strassen_waiting;

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
    bias += upper ? HALF_FILTERS : 0;
    output += (right ? RIGHT_OUTPUT : 0) + (upper ? HALF_FILTERS : 0);
    residual += RESIDUAL ? (right ? RIGHT_RESIDUAL : 0) + (upper ? HALF_FILTERS : 0) : 0;
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
            if (group >= TALL_GROUPS) /* tiles of several rows are as wide as the output */
                STRASSEN_TILE(TILE_ROWS - 1, TILE_COLUMNS);
            else if (COLUMN_TILES > WIDE_TILES && tile >= WIDE_TILES)
                STRASSEN_TILE(TILE_ROWS, TILE_COLUMNS - 1);
            else
                STRASSEN_TILE(TILE_ROWS, TILE_COLUMNS);
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

/* Some panels of the row groups first .. last - 1, whose sums start at `sums`. */
static void strassen_multiply(const ell_conv_args *args, int first, int last, const float *sums, float *waiting,
                              int first_panel, int last_panel) {
    for (int panel = first_panel; panel < last_panel; panel++) {
        int wide = panel < WIDE_PANELS;
        int filter = (panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS)) * VECTOR_WIDTH;
        const float *weights = args->weights + (ptrdiff_t)filter * PRODUCTS * BLOCK_WEIGHTS;
        if (wide) strassen_panel(args, first, last, sums, weights, filter, waiting, TILE_VECTORS);
#if PANELS > WIDE_PANELS
        else strassen_panel(args, first, last, sums, weights, filter, waiting, TILE_VECTORS - 1);
#endif
    }
}

#if STRASSEN_SHARED
/* Weights that a core's cache cannot hold: threads share the sums, one block, and split the panels, so that no core
 * reads all weights. */

#define SHARED_SUMS (4 * (ptrdiff_t)SUM_FLOATS)

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
    const strassen_split *split = (const strassen_split *)context;
    const ell_conv_args *args = split->args;
    int p = index / split->group_chunks, g = index % split->group_chunks;
    int first = ROW_GROUPS * g / split->group_chunks;
    strassen_multiply(args, first, ROW_GROUPS * (g + 1) / split->group_chunks,
                      args->workspace + (ptrdiff_t)group_row(first) * STRIDE * SUM_ROW_STRIDE,
                      args->workspace + SHARED_SUMS + worker * WAITING_FLOATS, PANELS * p / split->panel_chunks,
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

typedef struct {
    const ell_conv_args *args;
    int blocks;
} strassen_split;

static void strassen_block_task(const void *context, int index, int worker) {
    const strassen_split *split = (const strassen_split *)context;
    const ell_conv_args *args = split->args;
    float *sums = args->workspace + worker * (4 * (ptrdiff_t)SUM_FLOATS + WAITING_FLOATS);
    int first = ROW_GROUPS * index / split->blocks, last = ROW_GROUPS * (index + 1) / split->blocks;
    int row = group_row(first), end = group_row(last);
    for (int y = 0; y < (end - row - 1) * STRIDE + FIELD; y++)
        strassen_sum_row(args->input + (ptrdiff_t)(row * STRIDE + y) * IN_ROW_STRIDE,
                         sums + (ptrdiff_t)y * SUM_ROW_STRIDE);
    strassen_multiply(args, first, last, sums, sums + 4 * (ptrdiff_t)SUM_FLOATS, 0, PANELS);
}

void KERNEL_NAME(const ell_conv_args *args) {
    int threads = ell_pool_threads(args->pool);
    strassen_split split = {args, (ROW_GROUPS + BLOCK_GROUPS - 1) / BLOCK_GROUPS};
    if (threads > 1 && split.blocks < 4 * threads) split.blocks = 4 * threads < ROW_GROUPS ? 4 * threads : ROW_GROUPS;
    ell_pool_run(args->pool, strassen_block_task, &split, split.blocks);
}
#endif
