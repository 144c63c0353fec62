/* Winograd's input and output where tensors are float16. */
#ifndef ELLOPT_CONV_WINOGRAD_HALF_TENSORS_H
#define ELLOPT_CONV_WINOGRAD_HALF_TENSORS_H

#include "half.h"

/* As winograd_input_1d, in float16: what is transformed is rounded to it anyway. */
ELL_INLINE void winograd_half_input_1d(const half_vec *d, half_vec *v) {
#if WINOGRAD_TILE == 2
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
#elif WINOGRAD_TILE == 3
    half_vec e[4];
    ELL_UNROLL for (int i = 0; i < 4; i++) e[i] = half_add_product(d[i + 1], (ell_half)-2, d[i]);
    v[0] = e[0] - e[2];
    v[1] = e[1] + e[2];
    v[2] = e[2] - e[1];
    v[3] = e[1] - e[3];
    v[4] = d[3] - d[1];
#else
    const half_vec even2 = d[4] - d[2], odd2 = d[3] - d[1], twice = odd2 + odd2;
    const half_vec even1 = half_add_product(d[4], (ell_half)-4, d[2]);
    const half_vec odd1 = half_add_product(d[3], (ell_half)-4, d[1]);
    v[0] = half_add_product(even1 - d[2], (ell_half)4, d[0]);
    v[1] = even1 + odd1;
    v[2] = even1 - odd1;
    v[3] = even2 + twice;
    v[4] = even2 - twice;
    v[5] = half_add_product(half_add_product(d[5], (ell_half)-5, d[3]), (ell_half)4, d[1]);
#endif
}

#undef INPUT_KIND
#undef INPUT_ELEMENT
#undef INPUT_VEC
#undef INPUT_LANES
#undef INPUT_LOAD
#undef INPUT_ZERO
#undef INPUT_1D
#undef INPUT_STORE
#define INPUT_KIND half_
#define INPUT_ELEMENT ell_half
#define INPUT_VEC half_vec
#define INPUT_LANES HALF_WIDTH
#define INPUT_LOAD half_load_partial
#define INPUT_ZERO (half_vec){0}
#define INPUT_1D(tile, d, v) winograd_half_input_1d(d, v)
#define INPUT_STORE half_store
#include "conv_winograd_input.h"

static int winograd_any_input_tiles(const ell_conv_args *args, int row, int column, int tiles, int channels,
                                    ell_half *transformed) {
    if (args->half_input)
        return winograd_half_input_tiles((const ell_half *)args->input, row, column, tiles, channels, transformed);
    return winograd_input_tiles(args->input, row, column, tiles, channels, transformed);
}
#define WINOGRAD_INPUT_TILES winograd_any_input_tiles

#undef OUTPUT_KIND
#undef OUTPUT_ELEMENT
#define OUTPUT_KIND to_half_
#define OUTPUT_ELEMENT ell_half
#include "conv_winograd_output.h"

#if RESIDUAL
#undef OUTPUT_KIND
#undef RESIDUAL_ELEMENT
#define OUTPUT_KIND halves_
#define RESIDUAL_ELEMENT ell_half
#include "conv_winograd_output.h"

#undef OUTPUT_KIND
#undef OUTPUT_ELEMENT
#define OUTPUT_KIND of_half_
#define OUTPUT_ELEMENT float
#include "conv_winograd_output.h"
#endif

static void winograd_any_output_tile(const ell_conv_args *args, int row, int column, int filter, int filters,
                                     const winograd_product *products) {
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
