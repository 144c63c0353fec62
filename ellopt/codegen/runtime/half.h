/* Vectors of HALF_WIDTH float16 lanes (IEEE 754 binary16) for processors that compute with them: Armv8.2 with FP16. */
#ifndef ELLOPT_HALF_H
#define ELLOPT_HALF_H

#include "vector.h"

#if !defined __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
#error "float16: the compiler's target has no arithmetic for it"
#endif

#define HALF_WIDTH 8 /* two vectors of float32 */

typedef _Float16 ell_half;
typedef ell_half half_vec __attribute__((vector_size(HALF_WIDTH * 2)));
typedef ell_half half_vec_unaligned __attribute__((vector_size(HALF_WIDTH * 2), aligned(2), may_alias));
typedef ell_half half_of_vec __attribute__((vector_size(HALF_WIDTH)));
typedef ell_half half_of_vec_unaligned __attribute__((vector_size(HALF_WIDTH), aligned(2), may_alias));

ELL_INLINE half_vec half_load(const ell_half *p) { return *(const half_vec_unaligned *)p; }

ELL_INLINE void half_store(ell_half *p, half_vec v) { *(half_vec_unaligned *)p = v; }

ELL_INLINE half_vec half_splat(ell_half x) { return x - (half_vec){0}; }

/* As vec_add_product. */
ELL_INLINE half_vec half_add_product(half_vec sum, ell_half factor, half_vec x) {
    return __builtin_elementwise_fma(x, half_splat(factor), sum);
}

/* Two vectors of float32 rounded to nearest: what is beyond 65504 becomes infinite. */
ELL_INLINE half_vec half_of(vec low, vec high) {
    const half_of_vec l = __builtin_convertvector(low, half_of_vec), h = __builtin_convertvector(high, half_of_vec);
    return __builtin_shufflevector(l, h, 0, 1, 2, 3, 4, 5, 6, 7);
}

/* The lower and the upper four lanes as float32. */
ELL_INLINE vec half_low(half_vec v) { return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1, 2, 3), vec); }

ELL_INLINE vec half_high(half_vec v) { return __builtin_convertvector(__builtin_shufflevector(v, v, 4, 5, 6, 7), vec); }

/* The first `lanes` lanes from memory, zeros behind them. Reads nothing beyond. */
ELL_INLINE half_vec half_load_partial(const ell_half *p, int lanes) {
    if (lanes >= HALF_WIDTH) return half_load(p);
    ell_half buffer[HALF_WIDTH] = {0};
    for (int i = 0; i < lanes; i++) buffer[i] = p[i];
    return half_load(buffer);
}

/* Stores the first `lanes` lanes and nothing beyond. */
ELL_INLINE void half_store_partial(ell_half *p, half_vec v, int lanes) {
    if (lanes >= HALF_WIDTH) {
        half_store(p, v);
        return;
    }
    ell_half buffer[HALF_WIDTH];
    half_store(buffer, v);
    for (int i = 0; i < lanes; i++) p[i] = buffer[i];
}

/* Eight floats of which the first `lanes` are in memory, rounded. */
ELL_INLINE half_vec half_of_floats(const float *p, int lanes) {
    if (lanes >= HALF_WIDTH) return half_of(vec_load(p), vec_load(p + VECTOR_WIDTH));
    const vec low = vec_load_partial(p, lanes);
    return half_of(low, lanes > VECTOR_WIDTH ? vec_load_partial(p + VECTOR_WIDTH, lanes - VECTOR_WIDTH) : vec_zero());
}

/* As vec_load_partial and vec_store_partial, where memory holds float16. */
ELL_INLINE vec vec_load_half_partial(const ell_half *p, int lanes) {
    if (lanes >= VECTOR_WIDTH) return __builtin_convertvector(*(const half_of_vec_unaligned *)p, vec);
    float buffer[VECTOR_WIDTH] = {0};
    for (int i = 0; i < lanes; i++) buffer[i] = (float)p[i];
    return vec_load(buffer);
}

ELL_INLINE void vec_store_half_partial(ell_half *p, vec v, int lanes) {
    const half_of_vec rounded = __builtin_convertvector(v, half_of_vec);
    if (lanes >= VECTOR_WIDTH) {
        *(half_of_vec_unaligned *)p = rounded;
        return;
    }
    for (int i = 0; i < lanes; i++) p[i] = rounded[i];
}

/* The first `count` floats as float16. */
ELL_INLINE void half_convert(ell_half *output, const float *input, const int count) {
    int i = 0;
    for (; i + HALF_WIDTH <= count; i += HALF_WIDTH)
        half_store(output + i, half_of(vec_load(input + i), vec_load(input + i + VECTOR_WIDTH)));
    for (; i < count; i++) output[i] = (ell_half)input[i];
}

#endif
