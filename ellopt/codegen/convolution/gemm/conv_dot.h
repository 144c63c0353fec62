/* Method "unrolled" where there are few filters, fewer than a vector has lanes: the lanes are neighbours of a receptive
 * field instead, as sums of products. A tile is some pixels of a row times all filters; each input vector is loaded once
 * for all filters, each vector of weights once for all pixels.
 *
 * Weights: [row][run][vector of the run][filter][lane], filled up with zeros; a run is a row of the receptive field
 * where that is contiguous, else one pixel's channels. Nothing behind a run is read. */
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "epilogue.h"

#define WHOLE_ROWS (IN_PIXEL_STRIDE == CHANNELS && COLUMN_DILATION == 1)
#define RUNS (WHOLE_ROWS ? 1 : FIELD_COLUMNS)
#define LENGTH (WHOLE_ROWS ? FIELD_COLUMNS * CHANNELS : CHANNELS)
#define TAIL (LENGTH % VECTOR_WIDTH)
#define PIXELS (FILTERS == 1 ? 8 : 4)
#define TILES ((OUT_COLUMNS + PIXELS - 1) / PIXELS)

ELL_INLINE void dot_step(vec sums[PIXELS][FILTERS], const float *input, const float *weights, const int pixels,
                         const int lanes) {
    vec w[FILTERS];
    ELL_UNROLL for (int f = 0; f < FILTERS; f++) w[f] = vec_load(weights + f * VECTOR_WIDTH);
    ELL_UNROLL for (int p = 0; p < pixels; p++) {
        const vec a = vec_load_partial(input + p * COLUMN_STRIDE * IN_PIXEL_STRIDE, lanes);
        ELL_UNROLL for (int f = 0; f < FILTERS; f++) sums[p][f] += a * w[f];
    }
}

ELL_INLINE float sum_of_lanes(vec v) {
    float lanes[VECTOR_WIDTH];
    vec_store(lanes, v);
    ELL_UNROLL for (int half = VECTOR_WIDTH / 2; half > 0; half /= 2) {
        ELL_UNROLL for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

/* Output pixels of a row; `input`, `residual` and `output` are those of the first. */
ELL_INLINE void dot_tile(const ell_conv_args *args, const float *input, const float *residual, float *output,
                         const int pixels) {
    vec sums[PIXELS][FILTERS];
    ELL_UNROLL for (int p = 0; p < pixels; p++) {
        ELL_UNROLL for (int f = 0; f < FILTERS; f++) sums[p][f] = vec_zero();
    }
    const float *weights = args->weights;
    for (int y = 0; y < FIELD; y++) {
        for (int run = 0; run < RUNS; run++) {
            const float *in =
                input + (ptrdiff_t)y * ROW_DILATION * IN_ROW_STRIDE + run * COLUMN_DILATION * IN_PIXEL_STRIDE;
            ELL_NO_VECTORIZE
            for (int k = 0; k < LENGTH / VECTOR_WIDTH; k++) {
                dot_step(sums, in, weights, pixels, VECTOR_WIDTH);
                in += VECTOR_WIDTH;
                weights += FILTERS * VECTOR_WIDTH;
            }
#if LENGTH % VECTOR_WIDTH
            dot_step(sums, in, weights, pixels, TAIL);
            weights += FILTERS * VECTOR_WIDTH;
#endif
        }
    }
    ELL_UNROLL for (int p = 0; p < pixels; p++) {
        ELL_UNROLL for (int f = 0; f < FILTERS; f++) {
            float sum = args->bias[f] + sum_of_lanes(sums[p][f]);
            output[(ptrdiff_t)p * OUT_PIXEL_STRIDE + f] =
                ell_finished(sum, RESIDUAL ? residual + p * RESIDUAL_PIXEL_STRIDE + f : 0);
        }
    }
}

typedef struct {
    const ell_conv_args *args;
    int chunks; /* of a row */
} dot_split;

static void dot_task(const void *context, int index, int worker) {
    (void)worker;
    const dot_split *split = (const dot_split *)context;
    const ell_conv_args *args = split->args;
    const int row = index / split->chunks, chunk = index % split->chunks;
    const int first = (int)((long)TILES * chunk / split->chunks), last = (int)((long)TILES * (chunk + 1) / split->chunks);
    for (int tile = first; tile < last; tile++) {
        const int x = tile * PIXELS;
        const float *input =
            args->input + (ptrdiff_t)row * STRIDE * IN_ROW_STRIDE + (ptrdiff_t)x * COLUMN_STRIDE * IN_PIXEL_STRIDE;
        const float *residual = RESIDUAL ? args->residual + (ptrdiff_t)row * RESIDUAL_ROW_STRIDE +
                                               (ptrdiff_t)x * RESIDUAL_PIXEL_STRIDE
                                         : 0;
        float *output = args->output + (ptrdiff_t)row * OUT_ROW_STRIDE + (ptrdiff_t)x * OUT_PIXEL_STRIDE;
        if (x + PIXELS <= OUT_COLUMNS)
            dot_tile(args, input, residual, output, PIXELS);
        else
            dot_tile(args, input, residual, output, OUT_COLUMNS % PIXELS);
    }
}

void KERNEL_NAME(const ell_conv_args *args) {
    dot_split split = {args, 1};
    const int threads = ell_pool_threads(args->pool);
    if (threads > 1 && OUT_ROWS < 4 * threads) {
        split.chunks = (4 * threads + OUT_ROWS - 1) / OUT_ROWS;
        if (split.chunks > TILES) split.chunks = TILES;
    }
    ell_pool_run(args->pool, dot_task, &split, OUT_ROWS * split.chunks);
}
