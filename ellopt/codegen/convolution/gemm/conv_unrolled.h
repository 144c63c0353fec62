/* Method "unrolled": matrix multiplication of receptive fields (rows of the implicit column matrix) with weights, in
 * register tiles of TILE_ROWS x TILE_COLUMNS output pixels and TILE_VECTORS x VECTOR_WIDTH filters (gemm_tile.h).
 *
 * PANELS panels of filters; the first WIDE_PANELS of them have TILE_VECTORS vectors, the others one less.
 * Weights: [group][panel][row][column][channel][filter of panel], filters filled up with zeros to whole vectors.
 * Output rows come in ROW_GROUPS groups, the first TALL_GROUPS of TILE_ROWS rows, the others one less; columns in
 * COLUMN_TILES tiles, the first WIDE_TILES of TILE_COLUMNS columns, the others one less.
 * A task computes some row groups for some panels, BLOCK_GROUPS row groups at a time, so that the input block stays
 * in cache while panels pass. */
#define NEEDS_PIXEL_TILES
#define NEEDS_FILTER_PANELS
#define NEEDS_ROW_BLOCKS
#define NEEDS_WEIGHT_CACHE
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "gemm_tile.h"

#define TAIL_LANES (FILTERS % VECTOR_WIDTH ? FILTERS % VECTOR_WIDTH : VECTOR_WIDTH)
#define PANEL_DEPTH (FIELD * FIELD_COLUMNS * CHANNELS)
#define GROUP_WEIGHTS ((ptrdiff_t)((FILTERS + VECTOR_WIDTH - 1) / VECTOR_WIDTH * VECTOR_WIDTH) * PANEL_DEPTH)

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

/* All tiles of some row groups for one panel. */
ELL_INLINE void gemm_panel(const ell_conv_args *args, int first_group, int last_group, const float *weights,
                           int filter, const int vectors, const int tail) {
    for (int group = first_group; group < last_group; group++) {
        int tall = group < TALL_GROUPS;
        ptrdiff_t y = (ptrdiff_t)group * TILE_ROWS - (tall ? 0 : group - TALL_GROUPS);
        const float *input = args->input + y * STRIDE * IN_ROW_STRIDE;
        const float *residual = RESIDUAL ? args->residual + y * RESIDUAL_ROW_STRIDE + filter : 0;
        float *output = args->output + y * OUT_ROW_STRIDE + filter;
        const float *bias = args->bias + filter;
        if (tall) {
            for (int tile = 0; tile < WIDE_TILES; tile++) {
                gemm_tile(input, weights, bias, residual, output, TILE_ROWS, TILE_COLUMNS, vectors, tail);
                input += TILE_COLUMNS * COLUMN_STRIDE * IN_PIXEL_STRIDE;
                residual += RESIDUAL ? TILE_COLUMNS * RESIDUAL_PIXEL_STRIDE : 0;
                output += TILE_COLUMNS * OUT_PIXEL_STRIDE;
            }
#if COLUMN_TILES > WIDE_TILES
            for (int tile = WIDE_TILES; tile < COLUMN_TILES; tile++) {
                gemm_tile(input, weights, bias, residual, output, TILE_ROWS, TILE_COLUMNS - 1, vectors, tail);
                input += (TILE_COLUMNS - 1) * COLUMN_STRIDE * IN_PIXEL_STRIDE;
                residual += RESIDUAL ? (TILE_COLUMNS - 1) * RESIDUAL_PIXEL_STRIDE : 0;
                output += (TILE_COLUMNS - 1) * OUT_PIXEL_STRIDE;
            }
#endif
        }
#if ROW_GROUPS > TALL_GROUPS
        else { /* tiles of several rows are as wide as the output */
            gemm_tile(input, weights, bias, residual, output, TILE_ROWS - 1, TILE_COLUMNS, vectors, tail);
        }
#endif
    }
}

static void gemm_groups(const ell_conv_args *args, int first_group, int last_group, int first_panel, int last_panel) {
    for (int panel = first_panel; panel < last_panel; panel++) {
        int wide = panel < WIDE_PANELS;
        int vector = panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS);
        int filter = vector * VECTOR_WIDTH;
        const float *weights = args->weights + (ptrdiff_t)filter * PANEL_DEPTH;
        if (TAIL_LANES != VECTOR_WIDTH && panel == PANELS - 1)
            gemm_panel(args, first_group, last_group, weights, filter,
                       WIDE_PANELS == PANELS ? TILE_VECTORS : TILE_VECTORS - 1, TAIL_LANES);
        else if (wide)
            gemm_panel(args, first_group, last_group, weights, filter, TILE_VECTORS, VECTOR_WIDTH);
#if PANELS > WIDE_PANELS
        else
            gemm_panel(args, first_group, last_group, weights, filter, TILE_VECTORS - 1, VECTOR_WIDTH);
#endif
    }
}

typedef struct {
    const ell_conv_args *args;
    int group_chunks, panel_chunks;
} gemm_split;

static void gemm_task(const void *context, int index, int worker) {
    (void)worker;
    const gemm_split *split = (const gemm_split *)context;
    int g = index / split->panel_chunks, p = index % split->panel_chunks;
    int first_group = (int)((long)ROW_GROUPS * g / split->group_chunks);
    int last_group = (int)((long)ROW_GROUPS * (g + 1) / split->group_chunks);
    int first_panel = (int)((long)PANELS * p / split->panel_chunks);
    int last_panel = (int)((long)PANELS * (p + 1) / split->panel_chunks);
    for (int group = first_group; group < last_group; group += BLOCK_GROUPS) {
        int end = last_group - group < BLOCK_GROUPS ? last_group : group + BLOCK_GROUPS;
        gemm_groups(split->args, group, end, first_panel, last_panel);
    }
}

void KERNEL_NAME(const ell_conv_args *args) {
    gemm_split split = {args, 1, 1};
    int threads = ell_pool_threads(args->pool);
    if (threads > 1) {
        /* Enough tasks to even out cores of unequal speed. Weights of more than OWN_WEIGHT_BYTES are split first, so
         * that no core reads all of them; otherwise rows are. */
        const int wanted = 4 * threads;
        if (PANEL_DEPTH * FILTERS * 4 > OWN_WEIGHT_BYTES) {
            split.panel_chunks = PANELS < wanted ? PANELS : wanted;
            split.group_chunks = (wanted + split.panel_chunks - 1) / split.panel_chunks;
            if (split.group_chunks > ROW_GROUPS) split.group_chunks = ROW_GROUPS;
        } else {
            split.group_chunks = ROW_GROUPS < wanted ? ROW_GROUPS : wanted;
            split.panel_chunks = (wanted + split.group_chunks - 1) / split.group_chunks;
            if (split.panel_chunks > PANELS) split.panel_chunks = PANELS;
        }
    }
#if GROUPS == 1
    ell_pool_run(args->pool, gemm_task, &split, split.group_chunks * split.panel_chunks);
#else
    ell_conv_args own = *args;
    split.args = &own;
    for (int group = 0; group < GROUPS; group++) {
        ell_pool_run(args->pool, gemm_task, &split, split.group_chunks * split.panel_chunks);
        own.input += CHANNELS;
        own.output += FILTERS;
        own.residual += RESIDUAL ? FILTERS : 0;
        own.bias += FILTERS;
        own.weights += GROUP_WEIGHTS;
    }
#endif
}
