/* Method "winograd" of depthwise 3x3, 1x3 and 3x1 convolutions with stride 1: every channel is filtered alone, so there is nothing
 * to multiply as matrices; a vector of channels of a tile stays in registers and the first level of cache throughout.
 *
 * Weights: [vector of channels][position][lane], filled up with zeros. SEPARABLE block depth: vectors of channels
 * that pass over a row of tiles together. */
#define NEEDS_WINOGRAD
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"

#define INPUT_STEP VECTOR_WIDTH
#define INPUT_PITCH 0 /* one tile at a time */
#define PRODUCT_STEP VECTOR_WIDTH
#include "conv_winograd_input.h"
#include "conv_winograd_output.h"

#define VECTORS ((CHANNELS + VECTOR_WIDTH - 1) / VECTOR_WIDTH)

ELL_INLINE void depthwise_multiply(float *tile, const float *weights) {
    for (int p = 0; p < WINOGRAD_POSITIONS; p++)
        vec_store(tile + p * VECTOR_WIDTH, vec_load(tile + p * VECTOR_WIDTH) * vec_load(weights + p * VECTOR_WIDTH));
}

static void depthwise_tile(const ell_conv_args *args, int row, int column, int vector) {
    float tile[WINOGRAD_POSITIONS * VECTOR_WIDTH] __attribute__((aligned(64)));
    const float *weights = args->weights + (ptrdiff_t)vector * VECTOR_WIDTH * WINOGRAD_POSITIONS;
    int channel = vector * VECTOR_WIDTH;
    int channels = CHANNELS - channel < VECTOR_WIDTH ? CHANNELS - channel : VECTOR_WIDTH;
    winograd_input_tiles(args->input + channel, row, column, 1, channels, tile);
    depthwise_multiply(tile, weights);
    winograd_output_tile(args, row, column, channel, VECTOR_WIDTH, tile);
}

static void depthwise_task(const void *context, int row, int worker) {
    (void)worker;
    const ell_conv_args *args = (const ell_conv_args *)context;
    int depth = args->separable_block_depth;
    if (depth == 0 || depth > VECTORS) depth = VECTORS;
    for (int first = 0; first < VECTORS; first += depth) {
        int last = first + depth < VECTORS ? first + depth : VECTORS;
        for (int column = 0; column < TILES_ACROSS; column++) {
            for (int vector = first; vector < last; vector++) depthwise_tile(args, row, column, vector);
        }
    }
}

void KERNEL_NAME(const ell_conv_args *args) { ell_pool_run(args->pool, depthwise_task, args, TILES_DOWN); }
