/* The contract between the generated network and the convolution kernels.
 *
 * A kernel is one C function for one layer shape and one method. Its translation unit defines the shape, and what the
 * method needs, as macros (all of them in kernel_macros.h), and includes the method's template, "conv_<method>.h".
 *
 * output[y][x][f] = activation(bias[f] + sum(...) + residual[y][x][f]), or activation(bias[f] + sum(...)) +
 * residual[y][x][f]. Channels are innermost. The kernel writes
 * only inside OUT_ROWS x OUT_COLUMNS x FILTERS (of each group); it reads only the input rows and columns that the windows
 * reach, such as (OUT_ROWS-1)*STRIDE+FIELD rows without dilation (padding included, already in the buffer).
 */
#ifndef ELLOPT_CONV_H
#define ELLOPT_CONV_H

#include <stddef.h>

#define ELL_RESIDUAL_FIRST 1
#define ELL_RESIDUAL_LAST 2
#define ELL_ACTIVATION_NONE 0
#define ELL_ACTIVATION_RELU 1
#define ELL_ACTIVATION_LEAKY_RELU 2
#define ELL_ACTIVATION_SIGMOID 3
#define ELL_ACTIVATION_TANH 4
#define ELL_ACTIVATION_HARD_SIGMOID 5
#define ELL_ACTIVATION_HARD_TANH 6
/* 7 is parametric; these are in functions.h */
#define ELL_ACTIVATION_CLIP 8
#define ELL_ACTIVATION_LINEAR_SIGMOID 9
#define ELL_ACTIVATION_HARD_SWISH 10
#define ELL_ACTIVATION_ELU 11
#define ELL_ACTIVATION_SWISH 12
#define ELL_ACTIVATION_SOFTPLUS 13
#define ELL_ACTIVATION_MISH 14
#define ELL_ACTIVATION_GELU 15
#define ELL_ACTIVATION_GELU_TANH 16
#define ELL_ACTIVATION_ABSOLUTE 17
#define ELL_ACTIVATION_ERF 18
#define ELL_ACTIVATION_EXPONENTIAL 19
#define ELL_ACTIVATION_LOGARITHM 20
#define ELL_ACTIVATION_SQUARE_ROOT 21
#define ELL_ACTIVATION_RECIPROCAL 22
#define ELL_ACTIVATION_POWER 23
#define ELL_ACTIVATION_SINE 24
#define ELL_ACTIVATION_COSINE 25
#define ELL_ACTIVATION_SIGN 26

/* Whether threads share a tensor's columns: rows are few and long. All that works pixel by pixel goes by it, so that each
 * thread has the same columns in step after step. */
#define ELL_FEW_LONG_ROWS(ROWS, COLUMNS) ((ROWS) < 8 && (COLUMNS) >= 4 * (ROWS))

/* Into how many tasks threads cut so much work: up to four each, to even out cores of unequal speed, none too small. */
static inline int ell_tasks_for(int threads, long long multiply_adds) {
    const long long each = multiply_adds / threads / 100000;
    return threads == 1 ? 1 : threads * (int)(each < 1 ? 1 : each > 4 ? 4 : each);
}

/* Whether the compiler's target computes with float16. */
#if defined __ARM_FEATURE_FP16_VECTOR_ARITHMETIC && defined __aarch64__
#define ELL_HALF 1
#else
#define ELL_HALF 0
#endif

struct ell_pool; /* ellopt_pool.h */

typedef struct {
    const float *input;    /* first element that output (0, 0) reads, padding included */
    float *output;         /* element of output (0, 0) */
    const float *residual; /* element of the residual of output (0, 0), or null */
    const float *weights;  /* packed for this kernel, 64-byte aligned */
    const float *bias;     /* FILTERS values, padded with zeros to a multiple of 64 floats, 64-byte aligned */
    float *workspace;      /* at least the kernel's workspace for pool's thread count, 64-byte aligned */
    struct ell_pool *pool; /* null: compute on the calling thread alone */
    int separable_block_depth, nonseparable_filter_block_depth, nonseparable_channel_depth;
    /* whether these tensors are float16, at the same distances in elements: for kernels that compute in it */
    int half_input, half_output, half_residual;
} ell_conv_args;

typedef void (*ell_conv_fn)(const ell_conv_args *);

#endif
