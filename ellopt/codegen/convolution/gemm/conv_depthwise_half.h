/* Method "unrolled" of depthwise layers in float16: as conv_depthwise.h, with eight channels in a vector, input and weights
 * rounded to float16, and sums in float16: they have few terms. Inputs of float32 are rounded as they are read.
 *
 * Weights: [vector][row][column][lane], filled up with zeros. */
#define NEEDS_PIXEL_TILES
#define NEEDS_HALF
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "half_epilogue.h"

#define TAPS (FIELD * FIELD_COLUMNS)
#define VECTORS ((CHANNELS + HALF_WIDTH - 1) / HALF_WIDTH)
#define FULL_VECTORS (CHANNELS / HALF_WIDTH)
#define TAIL_LANES (CHANNELS % HALF_WIDTH)
/* Windows whose cells are each read once for all outputs that they belong to. */
#define DEPTHWISE_SHARES (FIELD <= 3 && FIELD_COLUMNS <= 3 && ROW_DILATION == 1 && COLUMN_DILATION == 1)

/* Of a group of tiles: addresses of elements. */
typedef struct {
    const unsigned char *input, *residual;
    unsigned char *output;
} depthwise_place;

ELL_INLINE half_vec depthwise_load(const unsigned char *input, ptrdiff_t at, const int half_input, const int lanes) {
    return half_input ? half_load_partial((const ell_half *)input + at, lanes)
                      : half_of_floats((const float *)input + at, lanes);
}

/* A tile's outputs for one vector of channels, of which `lanes` are real. */
ELL_INLINE void depthwise_tile(const ell_conv_args *args, depthwise_place place, int channel, const int rows,
                               const int columns, const int lanes, const int half_input, const int half_output) {
    const ell_half *weights = (const ell_half *)args->weights + (ptrdiff_t)channel * TAPS;
    const int residual_bytes = half_residual_bytes(args);
    half_vec sums[TILE_ROWS][TILE_COLUMNS];
    const vec low = vec_load(args->bias + channel), high = vec_load(args->bias + channel + VECTOR_WIDTH);
    const half_vec bias = half_of(low, high);
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int c = 0; c < columns; c++) sums[r][c] = (half_vec){0};
    }
#if DEPTHWISE_SHARES
    ELL_UNROLL for (int y = 0; y < (rows - 1) * STRIDE + FIELD; y++) {
        ELL_UNROLL for (int x = 0; x < (columns - 1) * COLUMN_STRIDE + FIELD_COLUMNS; x++) {
            const half_vec a = depthwise_load(place.input, (ptrdiff_t)y * IN_ROW_STRIDE + x * IN_PIXEL_STRIDE + channel,
                                              half_input, lanes);
            ELL_UNROLL for (int r = 0; r < rows; r++) {
                ELL_UNROLL for (int c = 0; c < columns; c++) {
                    const int ky = y - r * STRIDE, kx = x - c * COLUMN_STRIDE;
                    if (ky >= 0 && ky < FIELD && kx >= 0 && kx < FIELD_COLUMNS)
                        sums[r][c] += a * half_load(weights + (ky * FIELD_COLUMNS + kx) * HALF_WIDTH);
                }
            }
        }
    }
#else
    for (int ky = 0; ky < FIELD; ky++) {
        for (int kx = 0; kx < FIELD_COLUMNS; kx++) {
            const half_vec w = half_load(weights + (ky * FIELD_COLUMNS + kx) * HALF_WIDTH);
            const ptrdiff_t at = (ptrdiff_t)ky * ROW_DILATION * IN_ROW_STRIDE + kx * COLUMN_DILATION * IN_PIXEL_STRIDE;
            ELL_UNROLL for (int r = 0; r < rows; r++) {
                ELL_UNROLL for (int c = 0; c < columns; c++)
                    sums[r][c] += w * depthwise_load(place.input, at + (ptrdiff_t)r * STRIDE * IN_ROW_STRIDE +
                                                                      c * COLUMN_STRIDE * IN_PIXEL_STRIDE + channel,
                                                     half_input, lanes);
            }
        }
    }
#endif
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int c = 0; c < columns; c++) {
            const unsigned char *residual = place.residual;
            if (RESIDUAL)
                residual += ((ptrdiff_t)r * RESIDUAL_ROW_STRIDE + c * RESIDUAL_PIXEL_STRIDE + channel) * residual_bytes;
            unsigned char *output =
                place.output + ((ptrdiff_t)r * OUT_ROW_STRIDE + c * OUT_PIXEL_STRIDE + channel) * (half_output ? 2 : 4);
            if (HALF_FOLLOWS && !RESIDUAL && half_output)
                half_finish_halves(sums[r][c] + bias, 0, output, lanes);
            else
                half_finish_floats(half_low(sums[r][c]) + low, half_high(sums[r][c]) + high, residual, output,
                                   args->half_residual, half_output, lanes);
        }
    }
}

/* A tile for the vectors first .. last - 1. */
ELL_INLINE void depthwise_channels(const ell_conv_args *args, depthwise_place place, int first, int last, const int rows,
                                   const int columns, const int half_input, const int half_output) {
    const int full = last < FULL_VECTORS ? last : FULL_VECTORS;
    for (int v = first; v < full; v++)
        depthwise_tile(args, place, v * HALF_WIDTH, rows, columns, HALF_WIDTH, half_input, half_output);
#if TAIL_LANES
    if (last == VECTORS)
        depthwise_tile(args, place, FULL_VECTORS * HALF_WIDTH, rows, columns, TAIL_LANES, half_input, half_output);
#endif
}

ELL_INLINE void depthwise_rows(const ell_conv_args *args, ptrdiff_t y, int first, int last, const int rows,
                               const int half_input, const int half_output) {
    const int input_bytes = half_input ? 2 : 4, output_bytes = half_output ? 2 : 4;
    const int residual_bytes = half_residual_bytes(args);
    depthwise_place place = {
        (const unsigned char *)args->input + y * STRIDE * IN_ROW_STRIDE * input_bytes,
        (const unsigned char *)args->residual,
        (unsigned char *)args->output + y * OUT_ROW_STRIDE * output_bytes,
    };
    if (RESIDUAL) place.residual += y * RESIDUAL_ROW_STRIDE * residual_bytes;
    for (int tile = 0; tile < COLUMN_TILES; tile++) {
        int columns = TILE_COLUMNS;
#if COLUMN_TILES > WIDE_TILES
        if (tile >= WIDE_TILES) {
            columns = TILE_COLUMNS - 1;
            depthwise_channels(args, place, first, last, rows, TILE_COLUMNS - 1, half_input, half_output);
        } else
#endif
            depthwise_channels(args, place, first, last, rows, TILE_COLUMNS, half_input, half_output);
        place.input += columns * COLUMN_STRIDE * IN_PIXEL_STRIDE * input_bytes;
        if (RESIDUAL) place.residual += columns * RESIDUAL_PIXEL_STRIDE * residual_bytes;
        place.output += columns * OUT_PIXEL_STRIDE * output_bytes;
    }
}

typedef struct {
    const ell_conv_args *args;
    int channel_chunks;
} depthwise_split;

ELL_INLINE void depthwise_group(const depthwise_split *split, int index, const int half_input, const int half_output) {
    const int group = index / split->channel_chunks, chunk = index % split->channel_chunks;
    const int first = VECTORS * chunk / split->channel_chunks, last = VECTORS * (chunk + 1) / split->channel_chunks;
    const ptrdiff_t y = (ptrdiff_t)group * TILE_ROWS - (group < TALL_GROUPS ? 0 : group - TALL_GROUPS);
#if ROW_GROUPS > TALL_GROUPS
    if (group >= TALL_GROUPS)
        depthwise_rows(split->args, y, first, last, TILE_ROWS - 1, half_input, half_output);
    else
#endif
        depthwise_rows(split->args, y, first, last, TILE_ROWS, half_input, half_output);
}

static void depthwise_halves(const void *context, int index, int worker) {
    (void)worker;
    depthwise_group((const depthwise_split *)context, index, 1, 1);
}

/* Where a tensor is float32. */
static void depthwise_mixed(const void *context, int index, int worker) {
    (void)worker;
    const depthwise_split *split = (const depthwise_split *)context;
    if (split->args->half_input)
        depthwise_group(split, index, 1, 0);
    else if (split->args->half_output)
        depthwise_group(split, index, 0, 1);
    else
        depthwise_group(split, index, 0, 0);
}

void KERNEL_NAME(const ell_conv_args *args) {
    depthwise_split split = {args, 1};
    const int threads = ell_pool_threads(args->pool);
    if (threads > 1 && ROW_GROUPS < 4 * threads) {
        const int wanted = (4 * threads + ROW_GROUPS - 1) / ROW_GROUPS;
        split.channel_chunks = VECTORS < wanted ? VECTORS : wanted;
    }
    ell_pool_run(args->pool, args->half_input && args->half_output ? depthwise_halves : depthwise_mixed, &split,
                 ROW_GROUPS * split.channel_chunks);
}
