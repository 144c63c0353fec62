/* Method "unrolled" of depthwise layers: a tile of TILE_ROWS x TILE_COLUMNS output pixels at a time, vector of
 * channels by vector of channels; windows up to 3x3, and up to 7x7 where there are 32 registers, load every input
 * value once a tile and use it for all the outputs that it belongs to. Channels are the innermost loop, so memory
 * is read in order.
 *
 * Weights: [vector][row][column][lane], filled up with zeros. Rows come in ROW_GROUPS groups, the first TALL_GROUPS
 * of TILE_ROWS rows, the others one less; columns in COLUMN_TILES tiles, the first WIDE_TILES of TILE_COLUMNS columns,
 * the others one less. */
#define NEEDS_PIXEL_TILES
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "epilogue.h"

#define VECTORS ((CHANNELS + VECTOR_WIDTH - 1) / VECTOR_WIDTH)
#define FULL_VECTORS (CHANNELS / VECTOR_WIDTH)
#define TAIL_LANES (CHANNELS % VECTOR_WIDTH)

/* A row of input is read, with the weights' row of the same number, then used for all the outputs that it belongs to: where
 * registers hold it beside the sums, no value is read twice. */
#if ROW_DILATION != 1 || COLUMN_DILATION != 1
#define DEPTHWISE_BY_ROWS 0
#elif defined __aarch64__ || (defined __AVX512F__ && VECTOR_WIDTH == 16) /* 32 registers */
#define DEPTHWISE_BY_ROWS (FIELD <= 7 && FIELD_COLUMNS <= 7)
#elif defined __arm__ && VECTOR_WIDTH == 4 /* 16 registers */
#define DEPTHWISE_BY_ROWS (FIELD <= 3 && FIELD_COLUMNS <= 3)
#else
#define DEPTHWISE_BY_ROWS 0
#endif

/* The value is there before memory is read again: an in-order core reads in a row, then computes in a row, as a read behind
 * a multiply-add waits (multiply_in_order.h). */
#if VECTOR_WIDTH == 16 /* AVX-512 */
#define ELL_NOW(value) __asm__ volatile("" : "+v"(value) : : "memory")
#else
#define ELL_NOW(value) __asm__ volatile("" : "+w"(value) : : "memory")
#endif

/* A tile's outputs for one vector of channels, of which `lanes` are real. */
ELL_INLINE void depthwise_tile(const float *input, const float *weights, const float *bias, const float *residual,
                               float *output, const int rows, const int columns, const int lanes) {
    vec sums[TILE_ROWS][TILE_COLUMNS];
    vec start = vec_load(bias);
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int c = 0; c < columns; c++) sums[r][c] = start;
    }
#if DEPTHWISE_BY_ROWS
    vec w[FIELD][FIELD_COLUMNS];
    ELL_UNROLL for (int y = 0; y < (rows - 1) * STRIDE + FIELD; y++) {
        vec a[(TILE_COLUMNS - 1) * COLUMN_STRIDE + FIELD_COLUMNS];
        ELL_UNROLL for (int x = 0; x < (columns - 1) * COLUMN_STRIDE + FIELD_COLUMNS; x++)
            a[x] = vec_load_partial(input + (ptrdiff_t)y * IN_ROW_STRIDE + x * IN_PIXEL_STRIDE, lanes);
        if (y < FIELD)
            ELL_UNROLL for (int kx = 0; kx < FIELD_COLUMNS; kx++)
                w[y][kx] = vec_load(weights + (y * FIELD_COLUMNS + kx) * VECTOR_WIDTH);
        ELL_UNROLL for (int x = 0; x < (columns - 1) * COLUMN_STRIDE + FIELD_COLUMNS; x++) ELL_NOW(a[x]);
        ELL_UNROLL for (int kx = 0; kx < FIELD_COLUMNS; kx++) {
            ELL_UNROLL for (int r = 0; r < rows; r++) {
                const int ky = y - r * STRIDE;
                if (ky >= 0 && ky < FIELD)
                    ELL_UNROLL for (int c = 0; c < columns; c++) sums[r][c] += a[c * COLUMN_STRIDE + kx] * w[ky][kx];
            }
        }
        ELL_UNROLL for (int r = 0; r < rows; r++) {
            ELL_UNROLL for (int c = 0; c < columns; c++) ELL_NOW(sums[r][c]);
        }
    }
#elif FIELD <= 3 && FIELD_COLUMNS <= 3 && ROW_DILATION == 1 && COLUMN_DILATION == 1
    ELL_UNROLL for (int y = 0; y < (rows - 1) * STRIDE + FIELD; y++) {
        ELL_UNROLL for (int x = 0; x < (columns - 1) * COLUMN_STRIDE + FIELD_COLUMNS; x++) {
            vec a = vec_load_partial(input + (ptrdiff_t)y * IN_ROW_STRIDE + x * IN_PIXEL_STRIDE, lanes);
            ELL_UNROLL for (int r = 0; r < rows; r++) {
                ELL_UNROLL for (int c = 0; c < columns; c++) {
                    const int ky = y - r * STRIDE, kx = x - c * COLUMN_STRIDE;
                    if (ky >= 0 && ky < FIELD && kx >= 0 && kx < FIELD_COLUMNS)
                        sums[r][c] += a * vec_load(weights + (ky * FIELD_COLUMNS + kx) * VECTOR_WIDTH);
                }
            }
        }
    }
#else
    for (int ky = 0; ky < FIELD; ky++) {
        for (int kx = 0; kx < FIELD_COLUMNS; kx++) {
            vec w = vec_load(weights + (ky * FIELD_COLUMNS + kx) * VECTOR_WIDTH);
            const float *in = input + (ptrdiff_t)ky * ROW_DILATION * IN_ROW_STRIDE + kx * COLUMN_DILATION * IN_PIXEL_STRIDE;
            ELL_UNROLL for (int r = 0; r < rows; r++) {
                ELL_UNROLL for (int c = 0; c < columns; c++)
                    sums[r][c] += w * vec_load_partial(in + (ptrdiff_t)r * STRIDE * IN_ROW_STRIDE +
                                                           c * COLUMN_STRIDE * IN_PIXEL_STRIDE, lanes);
            }
        }
    }
#endif
    ELL_UNROLL for (int r = 0; r < rows; r++) {
        ELL_UNROLL for (int c = 0; c < columns; c++) {
            const float *res = RESIDUAL ? residual + r * RESIDUAL_ROW_STRIDE + c * RESIDUAL_PIXEL_STRIDE : 0;
            ell_finish_partial(sums[r][c], res, output + (ptrdiff_t)r * OUT_ROW_STRIDE + c * OUT_PIXEL_STRIDE, lanes);
        }
    }
}

/* Rows that the next group of rows reads and this one does not are fetched ahead of time, a cache line of 16 floats
 * at a time. (An address behind the input does no harm.) Not where caches hold what the layer before wrote: on x86-64
 * it costs up to a third of the layer's time. */
ELL_INLINE void depthwise_prefetch(const float *input, const int rows, const int columns) {
#if !ELL_LARGE_CACHES
    input += (ptrdiff_t)((rows - 1) * STRIDE + FIELD) * IN_ROW_STRIDE;
    ELL_UNROLL for (int y = 0; y < rows * STRIDE; y++) {
        ELL_UNROLL for (int x = 0; x < columns * COLUMN_STRIDE; x++)
            __builtin_prefetch(input + (ptrdiff_t)y * IN_ROW_STRIDE + x * IN_PIXEL_STRIDE, 0, 2);
    }
#else
    (void)input, (void)rows, (void)columns;
#endif
}

/* A tile for the vectors first .. last - 1. */
ELL_INLINE void depthwise_channels(const float *input, const ell_conv_args *args, const float *residual, float *output,
                                   int first, int last, const int rows, const int columns) {
    int full = last < FULL_VECTORS ? last : FULL_VECTORS;
    for (int v = first; v < full; v++) {
        int channel = v * VECTOR_WIDTH;
        if (channel % 16 == 0) depthwise_prefetch(input + channel, rows, columns);
        depthwise_tile(input + channel, args->weights + channel * FIELD * FIELD_COLUMNS, args->bias + channel,
                       RESIDUAL ? residual + channel : 0, output + channel, rows, columns, VECTOR_WIDTH);
    }
#if TAIL_LANES
    if (last == VECTORS) {
        int channel = FULL_VECTORS * VECTOR_WIDTH;
        depthwise_tile(input + channel, args->weights + channel * FIELD * FIELD_COLUMNS, args->bias + channel,
                       RESIDUAL ? residual + channel : 0, output + channel, rows, columns, TAIL_LANES);
    }
#endif
}

/* Channels of vectors first .. last - 1, of tiles of columns first_tile .. last_tile - 1. */
ELL_INLINE void depthwise_rows(const ell_conv_args *args, ptrdiff_t y, int first, int last, int first_tile, int last_tile,
                               const int rows) {
    const ptrdiff_t x = COLUMN_OF(first_tile);
    const float *input = args->input + y * STRIDE * IN_ROW_STRIDE + x * COLUMN_STRIDE * IN_PIXEL_STRIDE;
    const float *residual = RESIDUAL ? args->residual + y * RESIDUAL_ROW_STRIDE + x * RESIDUAL_PIXEL_STRIDE : 0;
    float *output = args->output + y * OUT_ROW_STRIDE + x * OUT_PIXEL_STRIDE;
    for (int tile = first_tile; tile < last_tile && tile < WIDE_TILES; tile++) {
        depthwise_channels(input, args, residual, output, first, last, rows, TILE_COLUMNS);
        input += TILE_COLUMNS * COLUMN_STRIDE * IN_PIXEL_STRIDE;
        residual += RESIDUAL ? TILE_COLUMNS * RESIDUAL_PIXEL_STRIDE : 0;
        output += TILE_COLUMNS * OUT_PIXEL_STRIDE;
    }
#if COLUMN_TILES > WIDE_TILES
    for (int tile = first_tile > WIDE_TILES ? first_tile : WIDE_TILES; tile < last_tile; tile++) {
        depthwise_channels(input, args, residual, output, first, last, rows, TILE_COLUMNS - 1);
        input += (TILE_COLUMNS - 1) * COLUMN_STRIDE * IN_PIXEL_STRIDE;
        residual += RESIDUAL ? (TILE_COLUMNS - 1) * RESIDUAL_PIXEL_STRIDE : 0;
        output += (TILE_COLUMNS - 1) * OUT_PIXEL_STRIDE;
    }
#endif
}

typedef struct {
    const ell_conv_args *args;
    int group_chunks, channel_chunks, column_chunks;
} depthwise_split;

static void depthwise_task(const void *context, int index, int worker) {
    (void)worker;
    const depthwise_split *split = (const depthwise_split *)context;
    int groups = index / split->channel_chunks, chunk = index % split->channel_chunks;
    int first_tile = 0, last_tile = COLUMN_TILES;
#if CUT_COLUMNS
    const int c = groups / split->group_chunks;
    groups %= split->group_chunks;
    first_tile = COLUMN_TILES * c / split->column_chunks;
    last_tile = COLUMN_TILES * (c + 1) / split->column_chunks;
#endif
    int first = VECTORS * chunk / split->channel_chunks, last = VECTORS * (chunk + 1) / split->channel_chunks;
    int group = groups, last_group = groups + 1;
    if (split->group_chunks != ROW_GROUPS) {
        group = ROW_GROUPS * groups / split->group_chunks;
        last_group = ROW_GROUPS * (groups + 1) / split->group_chunks;
    }
    for (; group < last_group; group++) {
        if (group < TALL_GROUPS)
            depthwise_rows(split->args, (ptrdiff_t)group * TILE_ROWS, first, last, first_tile, last_tile, TILE_ROWS);
#if ROW_GROUPS > TALL_GROUPS
        else
            depthwise_rows(split->args, (ptrdiff_t)group * TILE_ROWS - (group - TALL_GROUPS), first, last, first_tile,
                           last_tile, TILE_ROWS - 1);
#endif
    }
}

/* Where the input is not sure to be in a cache, its last rows are: see ellopt_pool.h. */
#define BACKWARD (!ELL_LARGE_CACHES && 4ll * OUT_ROWS * STRIDE * IN_ROW_STRIDE > 256 * 1024)

void KERNEL_NAME(const ell_conv_args *args) {
    depthwise_split split = {args, ROW_GROUPS, 1, 1};
    int threads = ell_pool_threads(args->pool);
    const int wanted = ell_tasks_for(threads, 8ll * OUT_ROWS * OUT_COLUMNS * CHANNELS * FIELD * FIELD_COLUMNS);
    if (threads > 1 && CUT_COLUMNS) {
        split.column_chunks = COLUMN_TILES < wanted ? COLUMN_TILES : wanted;
    } else if (threads > 1) {
        /* As many groups for each thread, or a group's channels are shared. */
        if (ROW_GROUPS > wanted && ROW_GROUPS % threads == 0 && !BACKWARD) split.group_chunks = wanted;
        const int tasks = ROW_GROUPS % threads ? 4 * threads : wanted, parts = (tasks + ROW_GROUPS - 1) / ROW_GROUPS;
        split.channel_chunks = VECTORS < parts ? VECTORS : parts;
    }
    if (BACKWARD)
        ell_pool_run_back(args->pool, depthwise_task, &split, split.group_chunks * split.channel_chunks * split.column_chunks);
    else
        ell_pool_run(args->pool, depthwise_task, &split, split.group_chunks * split.channel_chunks * split.column_chunks);
}
