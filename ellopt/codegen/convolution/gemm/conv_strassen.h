/* Method "unrolled" with one level of Strassen's algorithm in Winograd's form: seven products of half the size in
 * place of eight (Strassen, Gaussian Elimination is not Optimal, 1969; fused with packing and micro-kernel as in
 * Huang et al., Strassen's Algorithm Reloaded, 2016); or with two levels, STRASSEN_LEVELS: each of the seven by seven again.
 *
 * The image's left and right half (columns), the two halves of the channels and the two halves of the filters make the
 * matrices of two by two blocks: output C = input A * weights B. Sums of input blocks are written to small images of half
 * the columns and channels; sums of weight blocks are made at build time:
 *
 *   S1 = A21 + A22   S2 = S1 - A11   S3 = A11 - A21   S4 = A12 - S2
 *   T1 = B12 - B11   T2 = B22 - T1   T3 = B22 - B12   T4 = B21 - T2
 *   P1 = A11 B11   P2 = A12 B21   P3 = S4 B22   P4 = A22 T4   P5 = S1 T1   P6 = S2 T2   P7 = S3 T3
 *   U2 = P1 + P6   U3 = U2 + P7
 *   C11 = P1 + P2   C12 = U2 + P5 + P3   C21 = U3 + P4   C22 = U3 + P5
 *
 * Most of the sums of products happen in the registers that accumulate them anyway.
 *
 * Weights: [panel][B11 B21 T2 T3 T4 T1 B22][row][column][channel of a half][filter of panel], of two levels [panel][the
 * seven][the seven of each][row][column][channel of a quarter][filter of panel]; panels, row groups and tiles as in
 * conv_unrolled.h, but of half, or a quarter, of the output columns and filters. STRASSEN_SHARED: see below. */
#define NEEDS_PIXEL_TILES
#define NEEDS_FILTER_PANELS
#define NEEDS_ROW_BLOCKS
#define NEEDS_STRASSEN
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "gemm_tile.h"

#define PARTS (1 << STRASSEN_LEVELS)
#define PART_COLUMNS (OUT_COLUMNS / PARTS)
#define PART_FILTERS (FILTERS / PARTS)
#define DEPTH (CHANNELS / PARTS)
#define BLOCK_WEIGHTS (FIELD * FIELD * DEPTH)
#define IN_COLUMNS ((PART_COLUMNS - 1) * STRIDE + FIELD) /* of a part */
#define SUM_ROW_STRIDE (IN_COLUMNS * DEPTH)
/* From an element of one part to its counterpart of the next to the right. */
#define RIGHT_INPUT (PART_COLUMNS * STRIDE * IN_PIXEL_STRIDE)
#define RIGHT_OUTPUT (PART_COLUMNS * OUT_PIXEL_STRIDE)
#define RIGHT_RESIDUAL (PART_COLUMNS * RESIDUAL_PIXEL_STRIDE)

/* Floats of one of the sums' images, the input rows of BLOCK_GROUPS row groups: an odd number of cache lines, so that a
 * cache has places of their own for images that are written together. */
#define SUM_FLOATS (((((BLOCK_GROUPS * TILE_ROWS - 1) * STRIDE + FIELD) * SUM_ROW_STRIDE + 15) / 16 | 1) * 16)

/* Floats of the register tiles of one panel, and of all that wait in a block. */
#define TILE_FLOATS (TILE_ROWS * TILE_COLUMNS * TILE_VECTORS * VECTOR_WIDTH)
#define WAITING_FLOATS (WAITING_SUMS * (ptrdiff_t)BLOCK_GROUPS * COLUMN_TILES * TILE_FLOATS)

#define ALL_SUMS (SUM_IMAGES * (ptrdiff_t)SUM_FLOATS)

/* First row of output of a row group. */
ELL_INLINE int group_row(int group) {
    return group * TILE_ROWS - (group < TALL_GROUPS ? 0 : group - TALL_GROUPS);
}

enum { P1, P2, P6, P7, P4, P5, P3, PRODUCTS }; /* in the order of their computation */

/* The sums that wait for another product, tile by tile: P1, later U2 + P5; U2; U3. */
typedef struct {
    float *kept, *u2, *u3;
} strassen_waiting;

#include "strassen_tile.h"
#if STRASSEN_LEVELS == 1
#include "strassen_once.h"
#else
#include "strassen_twice.h"
#endif

/* Some panels of the row groups first .. last - 1, whose sums start at `sums`. */
static void strassen_multiply(const ell_conv_args *args, int first, int last, const float *sums, float *waiting,
                              int first_panel, int last_panel) {
    for (int panel = first_panel; panel < last_panel; panel++) {
        int wide = panel < WIDE_PANELS;
        int filter = (panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS)) * VECTOR_WIDTH;
        const float *weights = args->weights + (ptrdiff_t)filter * ALL_PRODUCTS * BLOCK_WEIGHTS;
        if (wide) strassen_panel(args, first, last, sums, weights, filter, waiting, TILE_VECTORS);
#if PANELS > WIDE_PANELS
        else strassen_panel(args, first, last, sums, weights, filter, waiting, TILE_VECTORS - 1);
#endif
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
    const strassen_split *split = (const strassen_split *)context;
    const ell_conv_args *args = split->args;
    int p = index / split->group_chunks, g = index % split->group_chunks;
    int first = ROW_GROUPS * g / split->group_chunks;
    strassen_multiply(args, first, ROW_GROUPS * (g + 1) / split->group_chunks,
                      args->workspace + (ptrdiff_t)group_row(first) * STRIDE * SUM_ROW_STRIDE,
                      args->workspace + ALL_SUMS + worker * WAITING_FLOATS, PANELS * p / split->panel_chunks,
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
    float *sums = args->workspace + worker * (ALL_SUMS + WAITING_FLOATS);
    int first = ROW_GROUPS * index / split->blocks, last = ROW_GROUPS * (index + 1) / split->blocks;
    int row = group_row(first), end = group_row(last);
    for (int y = 0; y < (end - row - 1) * STRIDE + FIELD; y++)
        strassen_sum_row(args->input + (ptrdiff_t)(row * STRIDE + y) * IN_ROW_STRIDE,
                         sums + (ptrdiff_t)y * SUM_ROW_STRIDE);
    strassen_multiply(args, first, last, sums, sums + ALL_SUMS, 0, PANELS);
}

void KERNEL_NAME(const ell_conv_args *args) {
    int threads = ell_pool_threads(args->pool);
    strassen_split split = {args, (ROW_GROUPS + BLOCK_GROUPS - 1) / BLOCK_GROUPS};
    if (threads > 1 && split.blocks < 4 * threads) split.blocks = 4 * threads < ROW_GROUPS ? 4 * threads : ROW_GROUPS;
    ell_pool_run(args->pool, strassen_block_task, &split, split.blocks);
}
#endif
