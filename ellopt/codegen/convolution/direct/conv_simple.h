/* Method "simple": the direct loops of the definition, one output pixel after the other. Filters are the innermost
 * loop, so that the compiler can vectorise it. Weights: [group][row][column][channel][filter], depthwise: [row][column][channel]. */
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"
#include "epilogue.h"

static void simple_group(const ell_conv_args *args, int y, const int group) {
    const float *input = args->input + (ptrdiff_t)y * STRIDE * IN_ROW_STRIDE + group * CHANNELS;
    float *output = args->output + (ptrdiff_t)y * OUT_ROW_STRIDE + group * FILTERS;
    for (int x = 0; x < OUT_COLUMNS; x++) {
        float sums[FILTERS];
        for (int f = 0; f < FILTERS; f++) sums[f] = args->bias[group * FILTERS + f];
        const float *weights = args->weights + (ptrdiff_t)group * FIELD * FIELD_COLUMNS * CHANNELS * FILTERS;
        for (int ky = 0; ky < FIELD; ky++) {
            for (int kx = 0; kx < FIELD_COLUMNS; kx++) {
                const float *in = input + (ptrdiff_t)ky * ROW_DILATION * IN_ROW_STRIDE +
                                  (ptrdiff_t)(x * COLUMN_STRIDE + kx * COLUMN_DILATION) * IN_PIXEL_STRIDE;
#if DEPTHWISE
                for (int f = 0; f < FILTERS; f++) sums[f] += in[f] * weights[f];
                weights += FILTERS;
#else
                for (int c = 0; c < CHANNELS; c++) {
                    for (int f = 0; f < FILTERS; f++) sums[f] += in[c] * weights[f];
                    weights += FILTERS;
                }
#endif
            }
        }
        float *out = output + (ptrdiff_t)x * OUT_PIXEL_STRIDE;
#if RESIDUAL
        const float *residual =
            args->residual + (ptrdiff_t)y * RESIDUAL_ROW_STRIDE + (ptrdiff_t)x * RESIDUAL_PIXEL_STRIDE +
            group * FILTERS;
        for (int f = 0; f < FILTERS; f++) out[f] = ell_finished(sums[f], residual + f);
#else
        for (int f = 0; f < FILTERS; f++) out[f] = ell_activate_scalar(sums[f]);
#endif
    }
}

static void simple_row(const void *context, int y, int worker) {
    (void)worker;
    for (int group = 0; group < GROUPS; group++) simple_group((const ell_conv_args *)context, y, group);
}

void KERNEL_NAME(const ell_conv_args *args) { ell_pool_run(args->pool, simple_row, args, OUT_ROWS); }
