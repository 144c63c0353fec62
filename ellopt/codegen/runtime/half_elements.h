/* Eight elements of a tensor that is float32 or float16, which only the plan tells. */
#ifndef ELLOPT_HALF_ELEMENTS_H
#define ELLOPT_HALF_ELEMENTS_H

#include "half.h"

typedef struct {
    vec low, high;
} eight;

/* Elements `at` and behind it, of which the first `lanes` are in memory. */
ELL_INLINE eight eight_load(const float *data, ptrdiff_t at, int half, int lanes) {
    if (half) {
        const half_vec v = half_load_partial((const ell_half *)data + at, lanes);
        return (eight){half_low(v), half_high(v)};
    }
    const vec low = vec_load_partial(data + at, lanes);
    return (eight){low, lanes > VECTOR_WIDTH ? vec_load_partial(data + at + VECTOR_WIDTH, lanes - VECTOR_WIDTH) : vec_zero()};
}

ELL_INLINE void eight_store(float *data, ptrdiff_t at, int half, eight v, int lanes) {
    if (half) {
        half_store_partial((ell_half *)data + at, half_of(v.low, v.high), lanes);
        return;
    }
    vec_store_partial(data + at, v.low, lanes);
    if (lanes > VECTOR_WIDTH) vec_store_partial(data + at + VECTOR_WIDTH, v.high, lanes - VECTOR_WIDTH);
}

#endif
