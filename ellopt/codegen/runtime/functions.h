/* Functions of one number with two constants, of single floats and of vectors: those of model/functions.py. NaN gives
 * NaN. `function` is a constant where kernels call them, and all but one case goes. */
#ifndef ELLOPT_FUNCTIONS_H
#define ELLOPT_FUNCTIONS_H

#include <math.h>

#include "ellopt_conv.h"
#include "vector.h"

ELL_INLINE float ell_softplus(float x) { return ell_max(0.0f, x) + log1pf(expf(-fabsf(x))); }

ELL_INLINE float ell_logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

ELL_INLINE float ell_function(const int function, float x, const float a, const float b) {
    switch (function) {
    case ELL_ACTIVATION_CLIP: return ell_min(b, ell_max(a, x));
    case ELL_ACTIVATION_LINEAR_SIGMOID: return ell_min(1.0f, ell_max(0.0f, a * x + b));
    case ELL_ACTIVATION_HARD_SWISH: return x * ell_min(1.0f, ell_max(0.0f, a * x + b));
    case ELL_ACTIVATION_ELU: return x > 0.0f ? x : a * expm1f(x);
    case ELL_ACTIVATION_SWISH: return x * ell_logistic(x);
    case ELL_ACTIVATION_SOFTPLUS: return ell_softplus(x);
    case ELL_ACTIVATION_MISH: return x * tanhf(ell_softplus(x));
    case ELL_ACTIVATION_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case ELL_ACTIVATION_GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case ELL_ACTIVATION_ABSOLUTE: return fabsf(x);
    case ELL_ACTIVATION_ERF: return erff(x);
    case ELL_ACTIVATION_EXPONENTIAL: return expf(x);
    case ELL_ACTIVATION_LOGARITHM: return logf(x);
    case ELL_ACTIVATION_SQUARE_ROOT: return sqrtf(x);
    case ELL_ACTIVATION_RECIPROCAL: return 1.0f / x;
    case ELL_ACTIVATION_SINE: return sinf(x);
    case ELL_ACTIVATION_COSINE: return cosf(x);
    case ELL_ACTIVATION_SIGN: return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x != x ? x : 0.0f;
    case ELL_ACTIVATION_POWER: return powf(x, a);
    default: return x;
    }
}

ELL_INLINE vec ell_vector_function(const int function, vec x, const float a, const float b) {
    switch (function) {
    case ELL_ACTIVATION_CLIP: return vec_min(vec_splat(b), vec_max(vec_splat(a), x));
    case ELL_ACTIVATION_LINEAR_SIGMOID:
        return vec_min(vec_splat(1.0f), vec_max(vec_zero(), x * vec_splat(a) + vec_splat(b)));
    case ELL_ACTIVATION_HARD_SWISH:
        return x * vec_min(vec_splat(1.0f), vec_max(vec_zero(), x * vec_splat(a) + vec_splat(b)));
    case ELL_ACTIVATION_ABSOLUTE: return vec_max(vec_zero() - x, x);
    case ELL_ACTIVATION_RECIPROCAL: return vec_splat(1.0f) / x;
    default: {
        float lanes[VECTOR_WIDTH];
        vec_store(lanes, x);
        for (int i = 0; i < VECTOR_WIDTH; i++) lanes[i] = ell_function(function, lanes[i], a, b);
        return vec_load(lanes);
    }
    }
}

#endif
