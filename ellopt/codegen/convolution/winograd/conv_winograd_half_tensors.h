/* Winograd's input and output where tensors are float16. */
#ifndef ELLOPT_CONV_WINOGRAD_HALF_TENSORS_H
#define ELLOPT_CONV_WINOGRAD_HALF_TENSORS_H

#include "half.h"

ELL_INLINE half_vec winograd_half_add_product(half_vec sum, ell_half factor, half_vec x) {
    return __builtin_elementwise_fma(x, half_splat(factor), sum);
}

/* As winograd_input_1d, in float16: what is transformed is rounded to it anyway. */
ELL_INLINE void winograd_half_input_1d(const half_vec d[WINOGRAD_SIZE], half_vec v[WINOGRAD_SIZE]) {
#if WINOGRAD_TILE == 2
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
#elif WINOGRAD_TILE == 3
    half_vec e[4];
    ELL_UNROLL for (int i = 0; i < 4; i++) e[i] = winograd_half_add_product(d[i + 1], (ell_half)-2, d[i]);
    v[0] = e[0] - e[2];
    v[1] = e[1] + e[2];
    v[2] = e[2] - e[1];
    v[3] = e[1] - e[3];
    v[4] = d[3] - d[1];
#else
    const half_vec even2 = d[4] - d[2], odd2 = d[3] - d[1], twice = odd2 + odd2;
    const half_vec even1 = winograd_half_add_product(d[4], (ell_half)-4, d[2]);
    const half_vec odd1 = winograd_half_add_product(d[3], (ell_half)-4, d[1]);
    v[0] = winograd_half_add_product(even1 - d[2], (ell_half)4, d[0]);
    v[1] = even1 + odd1;
    v[2] = even1 - odd1;
    v[3] = even2 + twice;
    v[4] = even2 - twice;
    v[5] = winograd_half_add_product(winograd_half_add_product(d[5], (ell_half)-5, d[3]), (ell_half)4, d[1]);
#endif
}

#undef INPUT_ELEMENT
#undef INPUT_VEC
#undef INPUT_LANES
#undef INPUT_LOAD
#undef INPUT_ZERO
#undef INPUT_1D
#undef INPUT_STORE
#define INPUT_ELEMENT ell_half
#define INPUT_VEC half_vec
#define INPUT_LANES HALF_WIDTH
#define INPUT_LOAD half_load_partial
#define INPUT_ZERO (half_vec){0}
#define INPUT_1D winograd_half_input_1d
#define INPUT_STORE half_store
#define winograd_input_line winograd_half_input_line
#define winograd_input_vector winograd_half_input_vector
#define winograd_input_inner winograd_half_input_inner
#define winograd_input_edge winograd_half_input_edge
#define winograd_input_tile winograd_half_input_tile
#include "conv_winograd_input.h"
#undef winograd_input_line
#undef winograd_input_vector
#undef winograd_input_inner
#undef winograd_input_edge
#undef winograd_input_tile

static void winograd_any_input_tile(const ell_conv_args *args, int row, int column, int channels, ell_half *transformed) {
    if (args->half_input)
        winograd_half_input_tile((const ell_half *)args->input, row, column, channels, transformed);
    else
        winograd_input_tile(args->input, row, column, channels, transformed);
}
#define WINOGRAD_INPUT_TILE winograd_any_input_tile

ELL_INLINE vec winograd_followed(vec sums, vec residual) {
    if (RESIDUAL == ELL_RESIDUAL_FIRST) sums += residual;
    sums = ell_activate(sums);
    return RESIDUAL == ELL_RESIDUAL_LAST ? sums + residual : sums;
}

/* What ell_finish_partial is where an output, a residual or both are float16. */
ELL_INLINE void winograd_finish_to_half(vec sums, const float *residual, ell_half *output, const int lanes) {
    const vec more = RESIDUAL ? vec_load_partial(residual, lanes) : vec_zero();
    vec_store_half_partial(output, winograd_followed(sums, more), lanes);
}

ELL_INLINE void winograd_finish_of_half(vec sums, const ell_half *residual, float *output, const int lanes) {
    const vec more = RESIDUAL ? vec_load_half_partial(residual, lanes) : vec_zero();
    vec_store_partial(output, winograd_followed(sums, more), lanes);
}

ELL_INLINE void winograd_finish_halves(vec sums, const ell_half *residual, ell_half *output, const int lanes) {
    const vec more = RESIDUAL ? vec_load_half_partial(residual, lanes) : vec_zero();
    vec_store_half_partial(output, winograd_followed(sums, more), lanes);
}

#undef OUTPUT_ELEMENT
#undef RESIDUAL_ELEMENT
#undef OUTPUT_FINISH
#define OUTPUT_ELEMENT ell_half
#define RESIDUAL_ELEMENT float
#define OUTPUT_FINISH winograd_finish_to_half
#define winograd_finish winograd_to_half_finish
#define winograd_output_line winograd_to_half_output_line
#define winograd_output_vector winograd_to_half_output_vector
#define winograd_output_inner winograd_to_half_output_inner
#define winograd_output_edge winograd_to_half_output_edge
#define winograd_output_tile winograd_to_half_output_tile
#include "conv_winograd_output.h"
#undef winograd_finish
#undef winograd_output_line
#undef winograd_output_vector
#undef winograd_output_inner
#undef winograd_output_edge
#undef winograd_output_tile

#if RESIDUAL
#undef OUTPUT_ELEMENT
#undef RESIDUAL_ELEMENT
#undef OUTPUT_FINISH
#define OUTPUT_ELEMENT ell_half
#define RESIDUAL_ELEMENT ell_half
#define OUTPUT_FINISH winograd_finish_halves
#define winograd_finish winograd_halves_finish
#define winograd_output_line winograd_halves_output_line
#define winograd_output_vector winograd_halves_output_vector
#define winograd_output_inner winograd_halves_output_inner
#define winograd_output_edge winograd_halves_output_edge
#define winograd_output_tile winograd_halves_output_tile
#include "conv_winograd_output.h"
#undef winograd_finish
#undef winograd_output_line
#undef winograd_output_vector
#undef winograd_output_inner
#undef winograd_output_edge
#undef winograd_output_tile

#undef OUTPUT_ELEMENT
#undef RESIDUAL_ELEMENT
#undef OUTPUT_FINISH
#define OUTPUT_ELEMENT float
#define RESIDUAL_ELEMENT ell_half
#define OUTPUT_FINISH winograd_finish_of_half
#define winograd_finish winograd_of_half_finish
#define winograd_output_line winograd_of_half_output_line
#define winograd_output_vector winograd_of_half_output_vector
#define winograd_output_inner winograd_of_half_output_inner
#define winograd_output_edge winograd_of_half_output_edge
#define winograd_output_tile winograd_of_half_output_tile
#include "conv_winograd_output.h"
#undef winograd_finish
#undef winograd_output_line
#undef winograd_output_vector
#undef winograd_output_inner
#undef winograd_output_edge
#undef winograd_output_tile
#endif

static void winograd_any_output_tile(const ell_conv_args *args, int row, int column, int filter, int filters,
                                     const float *products) {
#if RESIDUAL
    if (args->half_residual && args->half_output)
        winograd_halves_output_tile(args, row, column, filter, filters, products);
    else if (args->half_residual)
        winograd_of_half_output_tile(args, row, column, filter, filters, products);
    else
#endif
        if (args->half_output)
        winograd_to_half_output_tile(args, row, column, filter, filters, products);
    else
        winograd_output_tile(args, row, column, filter, filters, products);
}
#define WINOGRAD_OUTPUT_TILE winograd_any_output_tile

#endif
