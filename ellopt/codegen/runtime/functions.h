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
    case ELL_ACTIVATION_SIGMOID: return ell_logistic(x);
    case ELL_ACTIVATION_TANH: return tanhf(x);
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

#if VECTOR_WIDTH > 1
/* exp(x): 2^n e^r with n the integer next to x / log 2, and a polynomial in r; the coefficients are Cephes' (S. L. Moshier,
 * Methods and Programs for Mathematical Functions, 1989). Off by two units at most; below 1e-37 it may be zero. */
ELL_INLINE vec vec_exp(vec x) {
    const vec shift = vec_splat(12582912.0f); /* adding it rounds to an integer */
    x = vec_min(vec_splat(89.0f), vec_max(vec_splat(-104.0f), x));
    const vec n = (x * vec_splat(1.44269504f) + shift) - shift;
    vec r = x - n * vec_splat(0.693359375f);
    r = r - n * vec_splat(-2.12194440e-4f);
    vec p = vec_splat(1.9875691500e-4f);
    p = p * r + vec_splat(1.3981999507e-3f);
    p = p * r + vec_splat(8.3334519073e-3f);
    p = p * r + vec_splat(4.1665795894e-2f);
    p = p * r + vec_splat(1.6666665459e-1f);
    p = p * r + vec_splat(5.0000001201e-1f);
    p = p * (r * r) + (r + vec_splat(1.0f));
    /* In two factors, as 2^n itself may be beyond float32. */
    const vec_mask whole = __builtin_convertvector(n, vec_mask), half = whole >> 1, rest = whole - half;
    return p * (vec)((half + 127) << 23) * (vec)((rest + 127) << 23);
}

ELL_INLINE vec vec_logistic(vec x) { return vec_splat(1.0f) / (vec_splat(1.0f) + vec_exp(vec_zero() - x)); }

/* tanh(x): a polynomial near zero (Cephes'), else 1 - 2 / (exp(2 |x|) + 1) with the sign of x. */
ELL_INLINE vec vec_tanh(vec x) {
    const vec_mask sign = (vec_mask)x & INT32_MIN;
    const vec size = (vec)((vec_mask)x & INT32_MAX), z = x * x;
    vec p = vec_splat(-5.70498872745e-3f);
    p = p * z + vec_splat(2.06390887954e-2f);
    p = p * z + vec_splat(-5.37397155531e-2f);
    p = p * z + vec_splat(1.33314422036e-1f);
    p = p * z + vec_splat(-3.33332819422e-1f);
    p = p * z * x + x;
    const vec far = vec_splat(1.0f) - vec_splat(2.0f) / (vec_exp(size + size) + vec_splat(1.0f));
    const vec_mask near = size < vec_splat(0.625f);
    return (vec)(((vec_mask)p & near) | (((vec_mask)far | sign) & ~near));
}

/* erf(x): x times a quotient of polynomials up to 4 (Eigen's, generic_fast_erf_float), else 1 with the sign of x. Off by
 * 4.5e-7 at most. */
ELL_INLINE vec vec_erf(vec x) {
    const vec_mask far = (vec)((vec_mask)x & INT32_MAX) >= vec_splat(4.0f);
    const vec one = (vec)((vec_mask)vec_splat(1.0f) | ((vec_mask)x & INT32_MIN));
    const vec z = vec_min(vec_splat(16.0f), x * x);
    vec p = vec_splat(-2.72614225801306e-10f);
    p = p * z + vec_splat(2.77068142495902e-08f);
    p = p * z + vec_splat(-2.10102402082508e-06f);
    p = p * z + vec_splat(-5.69250639462346e-05f);
    p = p * z + vec_splat(-7.34990630326855e-04f);
    p = p * z + vec_splat(-2.95459980854025e-03f);
    p = p * z + vec_splat(-1.60960333262415e-02f);
    vec q = vec_splat(-1.45660718464996e-05f);
    q = q * z + vec_splat(-2.13374055278905e-04f);
    q = q * z + vec_splat(-1.68282697438203e-03f);
    q = q * z + vec_splat(-7.37332916720468e-03f);
    q = q * z + vec_splat(-1.42647390514189e-02f);
    return (vec)(((vec_mask)one & far) | ((vec_mask)(x * p / q) & ~far));
}

ELL_INLINE vec vec_gelu(vec x) {
    const vec half = x * vec_splat(0.5f);
    return half + half * vec_erf(x * vec_splat(0.70710678f));
}

ELL_INLINE vec vec_gelu_tanh(vec x) {
    const vec half = x * vec_splat(0.5f);
    return half + half * vec_tanh(vec_splat(0.79788456f) * (x + vec_splat(0.044715f) * x * x * x));
}

/* x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2). */
ELL_INLINE vec vec_mish(vec x) {
    const vec e = vec_exp(vec_min(vec_splat(30.0f), x)), n = e * (e + vec_splat(2.0f));
    return x * (n / (n + vec_splat(2.0f)));
}
#endif

ELL_INLINE vec ell_vector_function(const int function, vec x, const float a, const float b) {
    switch (function) {
    case ELL_ACTIVATION_CLIP: return vec_min(vec_splat(b), vec_max(vec_splat(a), x));
    case ELL_ACTIVATION_LINEAR_SIGMOID:
        return vec_min(vec_splat(1.0f), vec_max(vec_zero(), x * vec_splat(a) + vec_splat(b)));
    case ELL_ACTIVATION_HARD_SWISH:
        return x * vec_min(vec_splat(1.0f), vec_max(vec_zero(), x * vec_splat(a) + vec_splat(b)));
    case ELL_ACTIVATION_ABSOLUTE: return vec_max(vec_zero() - x, x);
    case ELL_ACTIVATION_RECIPROCAL: return vec_splat(1.0f) / x;
#if VECTOR_WIDTH > 1
    case ELL_ACTIVATION_SIGMOID: return vec_logistic(x);
    case ELL_ACTIVATION_TANH: return vec_tanh(x);
    case ELL_ACTIVATION_SWISH: return x * vec_logistic(x);
    case ELL_ACTIVATION_MISH: return vec_mish(x);
    case ELL_ACTIVATION_GELU: return vec_gelu(x);
    case ELL_ACTIVATION_GELU_TANH: return vec_gelu_tanh(x);
    case ELL_ACTIVATION_ERF: return vec_erf(x);
    case ELL_ACTIVATION_EXPONENTIAL: return vec_exp(x);
#endif
    default: {
        float lanes[VECTOR_WIDTH];
        vec_store(lanes, x);
        for (int i = 0; i < VECTOR_WIDTH; i++) lanes[i] = ell_function(function, lanes[i], a, b);
        return vec_load(lanes);
    }
    }
}

#endif
