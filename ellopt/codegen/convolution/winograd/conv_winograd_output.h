/* The output of Winograd's tiles: from products in the transformed domain to the tensor, a vector of filters at a
 * time, with bias, residual and activation. It is included again for tensors of float16, with the macros of their elements
 * defined anew (conv_winograd_half_tensors.h). */
#ifndef ELLOPT_CONV_WINOGRAD_OUTPUT_H
#define ELLOPT_CONV_WINOGRAD_OUTPUT_H

#include "conv_winograd_transforms.h"
#include "ellopt_conv.h"
#include "epilogue.h"

/* Elements of the tensors, and how they are read and written. */
#define OUTPUT_KIND
#define OUTPUT_NAME(name) WINOGRAD_NAMED(OUTPUT_KIND, name)
#define OUTPUT_ELEMENT float
#define RESIDUAL_ELEMENT float
#define FILTER_TAIL (FILTERS % WINOGRAD_LANES)

/* Vectors of products, and what works on them; a kernel of float16 products has others. */
#ifndef WINOGRAD_HALF
#define OUTPUT_VEC vec
#define OUTPUT_LOAD vec_load
#define OUTPUT_BIAS vec_load
#define OUTPUT_1D winograd_output_1d
#define OUTPUT_FINISH ell_finish_partial
#endif

/* Even and odd rows are made of different sums: where registers do not hold them all, products are read twice. (Not
 * on in-order cores with 32 registers, where a load takes as long as a sum.) */
#if WINOGRAD_ACROSS < 4 || (WINOGRAD_ACROSS == 4 && (VECTOR_WIDTH == 16 || (IN_ORDER && defined(__aarch64__))))
#define OUTPUT_PASSES 1
#else
#define OUTPUT_PASSES 2
#endif

/* Compilers that see both passes read once and spill: on ARM a store takes a pipeline from the multiply-adds. */
#if OUTPUT_PASSES > 1 && defined(__aarch64__)
#define OUTPUT_READ_AGAIN() __asm__ volatile("" : : : "memory")
#else
#define OUTPUT_READ_AGAIN() (void)0
#endif

#if !WINOGRAD_LINE
/* The products of one column of positions, with the bias: every output has the position of the point 1 in it once. */
ELL_INLINE void winograd_load_column(const winograd_product *products, OUTPUT_VEC bias, int x,
                                     OUTPUT_VEC m[WINOGRAD_SIZE_DOWN]) {
    ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++)
        m[y] = OUTPUT_LOAD(products + (ptrdiff_t)(y * WINOGRAD_SIZE_ACROSS + x) * PRODUCT_STEP);
    if (x == 1) m[1] += bias;
}
#endif
#endif

ELL_INLINE void OUTPUT_NAME(finish)(OUTPUT_VEC sums, const RESIDUAL_ELEMENT *residual, OUTPUT_ELEMENT *output, int row, int column,
                                int lanes) {
    if (RESIDUAL) residual += row * (ptrdiff_t)RESIDUAL_ROW_STRIDE + column * (ptrdiff_t)RESIDUAL_PIXEL_STRIDE;
    OUTPUT_FINISH(sums, residual, output + row * (ptrdiff_t)OUT_ROW_STRIDE + column * (ptrdiff_t)OUT_PIXEL_STRIDE,
                  lanes);
}

#if !WINOGRAD_LINE
/* A row of a whole tile. Residuals are read before anything is written, so that they are waited for together. */
ELL_INLINE void OUTPUT_NAME(finish_row)(const OUTPUT_VEC *sums, const RESIDUAL_ELEMENT *residual, OUTPUT_ELEMENT *output, int row,
                                        const int lanes) {
    RESIDUAL_ELEMENT more[WINOGRAD_ACROSS][WINOGRAD_LANES];
    if (RESIDUAL) {
        ELL_UNROLL for (int column = 0; column < WINOGRAD_ACROSS; column++)
            memcpy(more[column],
                   residual + row * (ptrdiff_t)RESIDUAL_ROW_STRIDE + column * (ptrdiff_t)RESIDUAL_PIXEL_STRIDE,
                   (size_t)lanes * sizeof *residual);
    }
    ELL_UNROLL for (int column = 0; column < WINOGRAD_ACROSS; column++)
        OUTPUT_FINISH(sums[column], more[column],
                      output + row * (ptrdiff_t)OUT_ROW_STRIDE + column * (ptrdiff_t)OUT_PIXEL_STRIDE, lanes);
}
#endif

#if WINOGRAD_LINE
/* One vector of filters of a tile, of which the first `count` pixels exist. */
ELL_INLINE void OUTPUT_NAME(output_line)(const winograd_product *products, const float *bias, const RESIDUAL_ELEMENT *residual,
                                     OUTPUT_ELEMENT *output, const int count, const int lanes) {
    OUTPUT_VEC m[WINOGRAD_SIZE], y[WINOGRAD_TILE];
    ELL_UNROLL for (int i = 0; i < WINOGRAD_SIZE; i++) m[i] = OUTPUT_LOAD(products + (ptrdiff_t)i * PRODUCT_STEP);
    m[1] += OUTPUT_BIAS(bias);
    OUTPUT_1D(WINOGRAD_TILE, m, y);
    ELL_UNROLL for (int i = 0; i < WINOGRAD_TILE; i++) {
        if (i < count)
            OUTPUT_NAME(finish)(y[i], residual, output, FIELD == 1 ? 0 : i, FIELD == 1 ? i : 0, lanes);
    }
}

ELL_INLINE void OUTPUT_NAME(output_vector)(const winograd_product *products, const float *bias, const RESIDUAL_ELEMENT *residual,
                                       OUTPUT_ELEMENT *output, const int lanes) {
    OUTPUT_NAME(output_line)(products, bias, residual, output, WINOGRAD_TILE, lanes);
}
#else
/* One vector of filters of a whole tile. */
ELL_INLINE void OUTPUT_NAME(output_vector)(const winograd_product *products, const float *bias, const RESIDUAL_ELEMENT *residual,
                                       OUTPUT_ELEMENT *output, const int lanes) {
    OUTPUT_VEC start = OUTPUT_BIAS(bias);
    ELL_UNROLL for (int pass = 0; pass < OUTPUT_PASSES; pass++) {
        OUTPUT_VEC half[WINOGRAD_DOWN][WINOGRAD_SIZE_ACROSS];
        if (pass) OUTPUT_READ_AGAIN();
        ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++) {
            OUTPUT_VEC m[WINOGRAD_SIZE_DOWN], y[WINOGRAD_DOWN];
            winograd_load_column(products, start, x, m);
            OUTPUT_1D(WINOGRAD_DOWN, m, y);
            ELL_UNROLL for (int row = pass; row < WINOGRAD_DOWN; row += OUTPUT_PASSES) half[row][x] = y[row];
        }
        ELL_UNROLL for (int row = pass; row < WINOGRAD_DOWN; row += OUTPUT_PASSES) {
            OUTPUT_VEC y[WINOGRAD_ACROSS];
            OUTPUT_1D(WINOGRAD_ACROSS, half[row], y);
            OUTPUT_NAME(finish_row)(y, residual, output, row, lanes);
        }
    }
}
#endif

/* `filters` filters of a whole tile. */
static __attribute__((noinline)) void OUTPUT_NAME(output_inner)(const winograd_product *products, const float *bias,
                                                            const RESIDUAL_ELEMENT *residual,
                                                            OUTPUT_ELEMENT *output, int filters) {
    int f = 0;
    for (; f + WINOGRAD_LANES <= filters; f += WINOGRAD_LANES)
        OUTPUT_NAME(output_vector)(products + f, bias + f, RESIDUAL ? residual + f : 0, output + f, WINOGRAD_LANES);
#if FILTER_TAIL
    if (f < filters)
        OUTPUT_NAME(output_vector)(products + f, bias + f, RESIDUAL ? residual + f : 0, output + f, FILTER_TAIL);
#endif
}

/* A tile of which only rows x columns pixels of output exist. */
static __attribute__((noinline)) void OUTPUT_NAME(output_edge)(const winograd_product *products, const float *bias,
                                                           const RESIDUAL_ELEMENT *residual, OUTPUT_ELEMENT *output,
                                                           int rows, int columns, int filters) {
    for (int f = 0; f < filters; f += WINOGRAD_LANES) {
        int lanes = filters - f < WINOGRAD_LANES ? filters - f : WINOGRAD_LANES;
#if WINOGRAD_LINE
        OUTPUT_NAME(output_line)(products + f, bias + f, RESIDUAL ? residual + f : 0, output + f, rows * columns, lanes);
#else
        OUTPUT_VEC half[WINOGRAD_DOWN][WINOGRAD_SIZE_ACROSS], start = OUTPUT_BIAS(bias + f);
        ELL_NO_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++) {
            OUTPUT_VEC m[WINOGRAD_SIZE_DOWN], y[WINOGRAD_DOWN];
            winograd_load_column(products + f, start, x, m);
            OUTPUT_1D(WINOGRAD_DOWN, m, y);
            ELL_UNROLL for (int row = 0; row < WINOGRAD_DOWN; row++) half[row][x] = y[row];
        }
        ELL_NO_UNROLL for (int row = 0; row < rows; row++) {
            OUTPUT_VEC y[WINOGRAD_ACROSS];
            OUTPUT_1D(WINOGRAD_ACROSS, half[row], y);
            ELL_NO_UNROLL for (int column = 0; column < columns; column++)
                OUTPUT_NAME(finish)(y[column], RESIDUAL ? residual + f : 0, output + f, row, column, lanes);
        }
#endif
    }
}

/* Filters [filter, filter + filters) of output tile (row, column); `products` are those of its first position. */
static void OUTPUT_NAME(output_tile)(const ell_conv_args *args, int row, int column, int filter, int filters,
                                 const winograd_product *products) {
    int y = row * WINOGRAD_ROWS, x = column * WINOGRAD_COLUMNS;
    OUTPUT_ELEMENT *output = (OUTPUT_ELEMENT *)args->output;
    output += y * (ptrdiff_t)OUT_ROW_STRIDE + x * (ptrdiff_t)OUT_PIXEL_STRIDE + filter;
    const RESIDUAL_ELEMENT *residual = 0;
    if (RESIDUAL)
        residual = (const RESIDUAL_ELEMENT *)args->residual + y * (ptrdiff_t)RESIDUAL_ROW_STRIDE +
                   x * (ptrdiff_t)RESIDUAL_PIXEL_STRIDE + filter;
    if (FILTERS - filter < filters) filters = FILTERS - filter;
    if (y + WINOGRAD_ROWS <= OUT_ROWS && x + WINOGRAD_COLUMNS <= OUT_COLUMNS) {
        OUTPUT_NAME(output_inner)(products, args->bias + filter, residual, output, filters);
    } else {
        int rows = OUT_ROWS - y < WINOGRAD_ROWS ? OUT_ROWS - y : WINOGRAD_ROWS;
        int columns = OUT_COLUMNS - x < WINOGRAD_COLUMNS ? OUT_COLUMNS - x : WINOGRAD_COLUMNS;
        OUTPUT_NAME(output_edge)(products, args->bias + filter, residual, output, rows, columns, filters);
    }
}
