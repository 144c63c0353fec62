/* What conv_winograd_output.h works on where products are float16. */
#ifndef ELLOPT_CONV_WINOGRAD_HALF_OUTPUT_H
#define ELLOPT_CONV_WINOGRAD_HALF_OUTPUT_H

#include "half_epilogue.h"

/* As winograd_output_1d. */
ELL_INLINE void winograd_half_output_1d(const half_vec *m, half_vec *y) {
    const half_vec sum1 = m[1] + m[2], difference1 = m[1] - m[2];
#if WINOGRAD_TILE == 2
    y[0] = m[0] + sum1;
    y[1] = difference1 - m[3];
#elif WINOGRAD_TILE == 3
    y[0] = (m[0] + sum1) + m[4];
    y[1] = half_add_product(difference1, (ell_half)2, m[4]);
    y[2] = half_add_product(sum1 - m[3], (ell_half)4, m[4]);
#elif WINOGRAD_TILE == 4
    const half_vec sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = (m[0] + sum1) + sum2;
    y[1] = half_add_product(difference1, (ell_half)2, difference2);
    y[2] = half_add_product(sum1, (ell_half)4, sum2);
    y[3] = half_add_product(difference1 + m[5], (ell_half)8, difference2);
#else
#error "WINOGRAD_TILE in float16: 2, 3 or 4"
#endif
}

ELL_INLINE half_vec winograd_half_bias(const float *bias) { return half_of(vec_load(bias), vec_load(bias + VECTOR_WIDTH)); }

#define OUTPUT_VEC half_vec
#define OUTPUT_LOAD half_load
#define OUTPUT_BIAS winograd_half_bias
#define OUTPUT_1D(tile, m, y) winograd_half_output_1d(m, y)
#define OUTPUT_FINISH(sums, residual, output, lanes) \
    half_finish(sums, residual, output, sizeof(RESIDUAL_ELEMENT) == 2, sizeof(OUTPUT_ELEMENT) == 2, lanes)

#endif
