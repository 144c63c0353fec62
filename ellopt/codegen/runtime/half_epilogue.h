/* What follows the sums of a convolution in float16: residual, activation, store, to tensors of float32 or of float16. */
#ifndef ELLOPT_HALF_EPILOGUE_H
#define ELLOPT_HALF_EPILOGUE_H

#include "epilogue.h"
#include "half.h"

/* Whether what follows float16 sums can be computed in float16 where the tensors are: nothing is lost beyond the rounding of
 * the output. */
#define HALF_FOLLOWS (ACTIVATION == ELL_ACTIVATION_NONE || ACTIVATION == ELL_ACTIVATION_RELU)

/* Bytes of an element. */
ELL_INLINE int half_output_bytes(const ell_conv_args *args) { return args->half_output ? 2 : 4; }

ELL_INLINE int half_residual_bytes(const ell_conv_args *args) { return args->half_residual ? 2 : 4; }

/* The first `lanes` of eight sums as float32; `residual` and `output` are addresses of elements. */
ELL_INLINE void half_finish_floats(vec low, vec high, const void *residual, void *output, const int half_residual,
                                   const int half_output, const int lanes) {
    vec more_low = vec_zero(), more_high = vec_zero();
#if RESIDUAL
    if (half_residual) {
        const half_vec more = half_load_partial((const ell_half *)residual, lanes);
        more_low = half_low(more);
        more_high = half_high(more);
    } else {
        more_low = vec_load_partial((const float *)residual, lanes);
        if (lanes > VECTOR_WIDTH)
            more_high = vec_load_partial((const float *)residual + VECTOR_WIDTH, lanes - VECTOR_WIDTH);
    }
#else
    (void)half_residual, (void)residual;
#endif
    low = ell_followed(low, more_low);
    high = ell_followed(high, more_high);
    if (half_output) {
        half_store_partial((ell_half *)output, half_of(low, high), lanes);
        return;
    }
    vec_store_partial((float *)output, low, lanes);
    if (lanes > VECTOR_WIDTH) vec_store_partial((float *)output + VECTOR_WIDTH, high, lanes - VECTOR_WIDTH);
}

/* The same of float16 sums where HALF_FOLLOWS and all tensors are float16. */
ELL_INLINE void half_finish_halves(half_vec sums, const void *residual, void *output, const int lanes) {
    const half_vec more = RESIDUAL ? half_load_partial((const ell_half *)residual, lanes) : (half_vec){0};
    if (RESIDUAL == ELL_RESIDUAL_FIRST) sums += more;
    if (ACTIVATION == ELL_ACTIVATION_RELU) sums = __builtin_elementwise_maximum((half_vec){0}, sums);
    if (RESIDUAL == ELL_RESIDUAL_LAST) sums += more;
    half_store_partial((ell_half *)output, sums, lanes);
}

/* Whichever of them it is. */
ELL_INLINE void half_finish(half_vec sums, const void *residual, void *output, const int half_residual,
                            const int half_output, const int lanes) {
    if (HALF_FOLLOWS && half_output && (half_residual || !RESIDUAL))
        half_finish_halves(sums, residual, output, lanes);
    else
        half_finish_floats(half_low(sums), half_high(sums), residual, output, half_residual, half_output, lanes);
}

#endif
