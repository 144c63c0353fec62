/* What follows the sums of a convolution: activation, with the residual before or behind it, store. The bias is what
 * accumulators start from.
 * Every activation of NaN is NaN: the value is the second operand of vec_max and vec_min. */
#ifndef ELLOPT_EPILOGUE_H
#define ELLOPT_EPILOGUE_H

#include <math.h>

#include "ellopt_conv.h"
#include "functions.h"
#include "vector.h"

ELL_INLINE float ell_activate_scalar(float x) {
#if ACTIVATION == ELL_ACTIVATION_NONE
    return x;
#elif ACTIVATION == ELL_ACTIVATION_RELU
    return ell_max(0.0f, x);
#elif ACTIVATION == ELL_ACTIVATION_LEAKY_RELU
    return x > 0.0f ? x : x * LEAKY_FACTOR;
#elif ACTIVATION == ELL_ACTIVATION_SIGMOID
    return 1.0f / (1.0f + expf(-x));
#elif ACTIVATION == ELL_ACTIVATION_TANH
    return tanhf(x);
#elif ACTIVATION == ELL_ACTIVATION_HARD_SIGMOID
    return ell_min(1.0f, ell_max(0.0f, 0.2f * x + 0.5f));
#elif ACTIVATION == ELL_ACTIVATION_HARD_TANH
    return ell_min(1.0f, ell_max(-1.0f, x));
#else
    return ell_function(ACTIVATION, x, LEAKY_FACTOR, BETA);
#endif
}

/* The result of one sum. */
ELL_INLINE float ell_finished(float sum, const float *residual) {
    if (RESIDUAL == ELL_RESIDUAL_FIRST) return ell_activate_scalar(sum + *residual);
    return RESIDUAL ? ell_activate_scalar(sum) + *residual : ell_activate_scalar(sum);
}

ELL_INLINE vec ell_activate(vec x) {
#if ACTIVATION == ELL_ACTIVATION_NONE
    return x;
#elif ACTIVATION == ELL_ACTIVATION_RELU
    return vec_max(vec_zero(), x);
#elif ACTIVATION == ELL_ACTIVATION_HARD_SIGMOID
    return vec_min(vec_splat(1.0f), vec_max(vec_zero(), x * 0.2f + 0.5f));
#elif ACTIVATION == ELL_ACTIVATION_HARD_TANH
    return vec_min(vec_splat(1.0f), vec_max(vec_splat(-1.0f), x));
#elif ACTIVATION >= ELL_ACTIVATION_CLIP || ACTIVATION == ELL_ACTIVATION_SIGMOID || ACTIVATION == ELL_ACTIVATION_TANH
    return ell_vector_function(ACTIVATION, x, LEAKY_FACTOR, BETA);
#elif ACTIVATION == ELL_ACTIVATION_LEAKY_RELU && VECTOR_WIDTH > 1
    vec_mask positive = x > vec_zero();
    vec leaked = x * LEAKY_FACTOR;
    return (vec)(((vec_mask)x & positive) | ((vec_mask)leaked & ~positive));
#else
    float lanes[VECTOR_WIDTH];
    vec_store(lanes, x);
    for (int i = 0; i < VECTOR_WIDTH; i++) lanes[i] = ell_activate_scalar(lanes[i]);
    return vec_load(lanes);
#endif
}

/* activation(sums + residual), or activation(sums) + residual, or without one. */
ELL_INLINE vec ell_followed(vec sums, vec residual) {
    if (RESIDUAL == ELL_RESIDUAL_FIRST) sums += residual;
    sums = ell_activate(sums);
    return RESIDUAL == ELL_RESIDUAL_LAST ? sums + residual : sums;
}

/* output[0 .. lanes) = what follows sums, with residual[0 .. lanes), which is not read unless RESIDUAL. */
ELL_INLINE void ell_finish_partial(vec sums, const float *residual, float *output, int lanes) {
    const vec more = RESIDUAL ? vec_load_partial(residual, lanes) : vec_zero();
    vec_store_partial(output, ell_followed(sums, more), lanes);
}

ELL_INLINE void ell_finish(vec sums, const float *residual, float *output) {
    ell_finish_partial(sums, residual, output, VECTOR_WIDTH);
}

#endif
