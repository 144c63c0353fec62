/* Method "unrolled" of depthwise layers: vectors of channels; the weights of a vector stay in registers while it
 * passes over a row of output pixels. Weights: [vector][row][column][lane], filled up with zeros. */
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "epilogue.h"

#define VECTORS ((CHANNELS + VECTOR_WIDTH - 1) / VECTOR_WIDTH)
#define TAIL_LANES (CHANNELS % VECTOR_WIDTH ? CHANNELS % VECTOR_WIDTH : VECTOR_WIDTH)

ELL_INLINE void depthwise_row(const ell_conv_args *args, int y, int vector, const int lanes) {
    int channel = vector * VECTOR_WIDTH;
    const float *weights = args->weights + (ptrdiff_t)channel * FIELD * FIELD;
    vec start = vec_load(args->bias + channel);
    for (int x = 0; x < OUT_COLUMNS; x++) {
        const float *in = args->input + (ptrdiff_t)y * STRIDE * IN_ROW_STRIDE + (ptrdiff_t)x * STRIDE * IN_PIXEL_STRIDE +
                          channel;
        vec sums = start;
        for (int ky = 0; ky < FIELD; ky++)
            for (int kx = 0; kx < FIELD; kx++)
                sums += vec_load_partial(in + (ptrdiff_t)ky * IN_ROW_STRIDE + kx * IN_PIXEL_STRIDE, lanes) *
                        vec_load(weights + (ky * FIELD + kx) * VECTOR_WIDTH);
        const float *residual = RESIDUAL ? args->residual + (ptrdiff_t)y * RESIDUAL_ROW_STRIDE +
                                               (ptrdiff_t)x * RESIDUAL_PIXEL_STRIDE + channel
                                         : 0;
        ell_finish_partial(sums, residual,
                           args->output + (ptrdiff_t)y * OUT_ROW_STRIDE + (ptrdiff_t)x * OUT_PIXEL_STRIDE + channel,
                           lanes);
    }
}

static void depthwise_task(const void *context, int y, int worker) {
    (void)worker;
    const ell_conv_args *args = (const ell_conv_args *)context;
    for (int vector = 0; vector < VECTORS - 1; vector++) depthwise_row(args, y, vector, VECTOR_WIDTH);
    depthwise_row(args, y, VECTORS - 1, TAIL_LANES);
}

void KERNEL_NAME(const ell_conv_args *args) { ell_pool_run(args->pool, depthwise_task, args, OUT_ROWS); }
