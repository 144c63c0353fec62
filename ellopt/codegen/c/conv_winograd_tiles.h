/* Transforms of whole tiles between the tensors and Winograd's domain, vectors of channels or filters at a time. */
#ifndef ELLOPT_CONV_WINOGRAD_TILES_H
#define ELLOPT_CONV_WINOGRAD_TILES_H

#include "conv_winograd_transforms.h"
#include "ellopt_conv.h"
#include "epilogue.h"

#define TILES_DOWN ((OUT_ROWS + WINOGRAD_TILE - 1) / WINOGRAD_TILE)
#define TILES_ACROSS ((OUT_COLUMNS + WINOGRAD_TILE - 1) / WINOGRAD_TILE)
#define CHANNEL_TAIL (CHANNELS % VECTOR_WIDTH)
#define FILTER_TAIL (FILTERS % VECTOR_WIDTH)

/* Transforms one vector of channels of a tile; position p goes to transformed + p * INPUT_STEP. */
ELL_INLINE void winograd_input_vector(const float *input, const ptrdiff_t row_stride, const ptrdiff_t pixel_stride,
                                      const int lanes, float *transformed) {
    vec half[WINOGRAD_SIZE][WINOGRAD_SIZE];
    ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE; x++) {
        vec d[WINOGRAD_SIZE], v[WINOGRAD_SIZE];
        ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE; y++)
            d[y] = vec_load_partial(input + y * row_stride + x * pixel_stride, lanes);
        winograd_input_1d(d, v);
        ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE; y++) half[y][x] = v[y];
    }
    ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE; y++) {
        vec v[WINOGRAD_SIZE];
        winograd_input_1d(half[y], v);
        ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE; x++)
            vec_store(transformed + (ptrdiff_t)(y * WINOGRAD_SIZE + x) * INPUT_STEP, v[x]);
    }
}

/* `channels` channels of a tile that lies inside the input. */
static __attribute__((noinline)) void winograd_input_inner(const float *input, int channels, float *transformed) {
    int c = 0;
    for (; c + VECTOR_WIDTH <= channels; c += VECTOR_WIDTH)
        winograd_input_vector(input + c, IN_ROW_STRIDE, IN_PIXEL_STRIDE, VECTOR_WIDTH, transformed + c);
#if CHANNEL_TAIL
    if (c < channels)
        winograd_input_vector(input + c, IN_ROW_STRIDE, IN_PIXEL_STRIDE, CHANNEL_TAIL, transformed + c);
#endif
}

/* A tile of which only rows x columns pixels of input exist; the others count as zeros. */
static __attribute__((noinline)) void winograd_input_edge(const float *input, int rows, int columns, int channels,
                                                          float *transformed) {
    float tile[WINOGRAD_POSITIONS * VECTOR_WIDTH] __attribute__((aligned(64)));
    memset(tile, 0, sizeof tile);
    for (int c = 0; c < channels; c += VECTOR_WIDTH) {
        int lanes = channels - c < VECTOR_WIDTH ? channels - c : VECTOR_WIDTH;
        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < columns; x++)
                vec_store(tile + (y * WINOGRAD_SIZE + x) * VECTOR_WIDTH,
                          vec_load_partial(input + y * (ptrdiff_t)IN_ROW_STRIDE + x * (ptrdiff_t)IN_PIXEL_STRIDE + c,
                                           lanes));
        }
        winograd_input_vector(tile, WINOGRAD_SIZE * VECTOR_WIDTH, VECTOR_WIDTH, VECTOR_WIDTH, transformed + c);
    }
}

/* Transforms `channels` channels of the input of tile (row, column) of the output. */
static void winograd_input_tile(const float *input, int row, int column, int channels, float *transformed) {
    int y = row * WINOGRAD_TILE, x = column * WINOGRAD_TILE;
    const float *first = input + y * (ptrdiff_t)IN_ROW_STRIDE + x * (ptrdiff_t)IN_PIXEL_STRIDE;
    if (y + WINOGRAD_TILE <= OUT_ROWS && x + WINOGRAD_TILE <= OUT_COLUMNS) {
        winograd_input_inner(first, channels, transformed);
    } else {
        int rows = OUT_ROWS + 2 - y < WINOGRAD_SIZE ? OUT_ROWS + 2 - y : WINOGRAD_SIZE;
        int columns = OUT_COLUMNS + 2 - x < WINOGRAD_SIZE ? OUT_COLUMNS + 2 - x : WINOGRAD_SIZE;
        winograd_input_edge(first, rows, columns, channels, transformed);
    }
}

/* Transforms one vector of filters back and writes the rows x columns pixels of the tile that exist. */
ELL_INLINE void winograd_output_vector(const float *products, const float *bias, const float *residual, float *output,
                                       const int rows, const int columns, const int lanes) {
    vec half[WINOGRAD_TILE][WINOGRAD_SIZE];
    ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE; x++) {
        vec m[WINOGRAD_SIZE], y[WINOGRAD_TILE];
        ELL_UNROLL for (int p = 0; p < WINOGRAD_SIZE; p++)
            m[p] = vec_load(products + (ptrdiff_t)(p * WINOGRAD_SIZE + x) * PRODUCT_STEP);
        winograd_output_1d(m, y);
        ELL_UNROLL for (int p = 0; p < WINOGRAD_TILE; p++) half[p][x] = y[p];
    }
    vec start = vec_load(bias);
    ELL_UNROLL for (int row = 0; row < WINOGRAD_TILE; row++) {
        vec y[WINOGRAD_TILE];
        winograd_output_1d(half[row], y);
        if (row < rows) {
            ELL_UNROLL for (int column = 0; column < WINOGRAD_TILE; column++) {
                if (column < columns)
                    ell_finish_partial(y[column] + start,
                                       RESIDUAL ? residual + row * (ptrdiff_t)RESIDUAL_ROW_STRIDE +
                                                      column * (ptrdiff_t)RESIDUAL_PIXEL_STRIDE
                                                : 0,
                                       output + row * (ptrdiff_t)OUT_ROW_STRIDE + column * (ptrdiff_t)OUT_PIXEL_STRIDE,
                                       lanes);
            }
        }
    }
}

static __attribute__((noinline)) void winograd_output_inner(const float *products, const float *bias,
                                                            const float *residual, float *output, int vectors) {
    for (int v = 0; v < vectors; v++)
        winograd_output_vector(products + v * VECTOR_WIDTH, bias + v * VECTOR_WIDTH,
                               RESIDUAL ? residual + v * VECTOR_WIDTH : 0, output + v * VECTOR_WIDTH, WINOGRAD_TILE,
                               WINOGRAD_TILE, VECTOR_WIDTH);
}

static __attribute__((noinline)) void winograd_output_edge(const float *products, const float *bias,
                                                           const float *residual, float *output, int rows, int columns,
                                                           int lanes) {
    winograd_output_vector(products, bias, residual, output, rows, columns, lanes);
}

/* Output tile (row, column), filter vectors [vector, vector + vectors); products of the first position. */
static void winograd_output_tile(const ell_conv_args *args, int row, int column, int vector, int vectors,
                                 const float *products) {
    int y = row * WINOGRAD_TILE, x = column * WINOGRAD_TILE, filter = vector * VECTOR_WIDTH;
    float *output = args->output + y * (ptrdiff_t)OUT_ROW_STRIDE + x * (ptrdiff_t)OUT_PIXEL_STRIDE + filter;
    const float *residual =
        RESIDUAL ? args->residual + y * (ptrdiff_t)RESIDUAL_ROW_STRIDE + x * (ptrdiff_t)RESIDUAL_PIXEL_STRIDE + filter : 0;
    const float *bias = args->bias + filter;
    int whole = FILTERS - filter < vectors * VECTOR_WIDTH ? vectors - 1 : vectors, v = 0;
    if (y + WINOGRAD_TILE <= OUT_ROWS && x + WINOGRAD_TILE <= OUT_COLUMNS) {
        winograd_output_inner(products, bias, residual, output, whole);
        v = whole;
    }
    for (; v < vectors; v++) {
        int rows = OUT_ROWS - y < WINOGRAD_TILE ? OUT_ROWS - y : WINOGRAD_TILE;
        int columns = OUT_COLUMNS - x < WINOGRAD_TILE ? OUT_COLUMNS - x : WINOGRAD_TILE;
        int offset = v * VECTOR_WIDTH;
        winograd_output_edge(products + offset, bias + offset, RESIDUAL ? residual + offset : 0, output + offset, rows,
                             columns, v < whole ? VECTOR_WIDTH : FILTERS - filter - offset);
    }
}

#endif
