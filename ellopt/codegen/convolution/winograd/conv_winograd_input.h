/* The input of Winograd's tiles: from the tensor into the transformed domain, a vector of channels at a time. It is included
 * again for tensors of float16, with the macros of its vectors defined anew (conv_winograd_half_tensors.h). */
#ifndef ELLOPT_CONV_WINOGRAD_INPUT_H
#define ELLOPT_CONV_WINOGRAD_INPUT_H

#include "conv_winograd_transforms.h"

/* An element of the tensor, vectors that are transformed, and what works on them. */
#define INPUT_KIND
#define INPUT_NAME(name) WINOGRAD_NAMED(INPUT_KIND, name)
#define INPUT_ELEMENT float
#define INPUT_VEC vec
#define INPUT_LANES VECTOR_WIDTH
#define INPUT_LOAD vec_load_partial
#define INPUT_ZERO vec_zero()
#define INPUT_1D winograd_input_1d
#define INPUT_STORE winograd_store
#if WINOGRAD_DERIVES
#define INPUT_1D_ACROSS winograd_input_1d_derived
#else
#define INPUT_1D_ACROSS(d, v) INPUT_1D(WINOGRAD_ACROSS, d, v)
#endif
#define CHANNEL_TAIL (CHANNELS % INPUT_LANES)

/* Where the transformed input of a tile, of a channel and of a position lies. */
#if WINOGRAD_DERIVES
#define INPUT_TILE_STEP 1
#define INPUT_CHANNEL_STEP ((ptrdiff_t)WINOGRAD_SIZE_ACROSS * TILE_ROWS)
#define INPUT_POSITION(y, x) ((y) * WINOGRAD_SIZE_ACROSS * (ptrdiff_t)INPUT_STEP + (x) * TILE_ROWS)
#else
#define INPUT_TILE_STEP ((ptrdiff_t)INPUT_PITCH)
#define INPUT_CHANNEL_STEP 1
#define INPUT_POSITION(y, x) ((ptrdiff_t)((y) * WINOGRAD_SIZE_ACROSS + (x)) * INPUT_STEP)
#endif

/* What transformed inputs and weights are, and their products: float, or float16 where a kernel says so before. */
#ifndef WINOGRAD_HALF
typedef float winograd_element, winograd_product;
#define WINOGRAD_LANES VECTOR_WIDTH

ELL_INLINE void winograd_store(winograd_element *p, vec v) {
#if WINOGRAD_DERIVES
    ELL_UNROLL for (int channel = 0; channel < VECTOR_WIDTH; channel++) p[channel * INPUT_CHANNEL_STEP] = v[channel];
#else
    vec_store(p, v);
#endif
}
#endif

/* Rows of a transformed tile that share sums are computed together (0; 1 and 2; 3 and 4; ...; the last): that many
 * live values fit into registers. Input values are loaded again for each group instead of being spilt. */
#define INPUT_GROUPS (WINOGRAD_SIZE_DOWN / 2 + 1)
#define INPUT_GROUP_FIRST(group) ((group) == 0 ? 0 : 2 * (group)-1)
#define INPUT_GROUP_END(group) (2 * (group) + 1 < WINOGRAD_SIZE_DOWN ? 2 * (group) + 1 : WINOGRAD_SIZE_DOWN)

/* Whether columns are transformed before rows instead, for several tiles at a time. On x86-64 that pays where the groups are
 * many, or loads of parts of vectors. */
#if WINOGRAD_DERIVES
#define INPUT_COLUMNS_FIRST 0
#elif defined(__aarch64__)
#define INPUT_COLUMNS_FIRST 1
#else
#define INPUT_COLUMNS_FIRST (WINOGRAD_TILE == 6 || CHANNELS < VECTOR_WIDTH)
#endif

/* Then tiles beside each other share columns, which are transformed once, for a cache line of channels: so many vectors
 * and tiles at a time that what they become stays in the first level of cache. */
#define INPUT_VECTORS (VECTOR_WIDTH < 16 ? 16 / VECTOR_WIDTH : 1)
#define INPUT_RUN_BYTES 8192
#define INPUT_COLUMN_STEP (STRIDE * WINOGRAD_COLUMNS) /* columns from a tile to the next */
#define INPUT_FITTING (INPUT_RUN_BYTES / (WINOGRAD_INPUT_ROWS * INPUT_VECTORS * VECTOR_WIDTH * 4)) /* columns */
#define INPUT_RUN (1 + (INPUT_FITTING - WINOGRAD_INPUT_COLUMNS) / INPUT_COLUMN_STEP)
#define INPUT_RUN_COLUMNS ((INPUT_RUN - 1) * INPUT_COLUMN_STEP + WINOGRAD_SIZE_ACROSS)

#define INPUT_LINE_STEP ((ptrdiff_t)(FIELD == 1 ? IN_PIXEL_STRIDE : IN_ROW_STRIDE)) /* where WINOGRAD_LINE */
#endif

#if WINOGRAD_LINE
/* One vector of channels of a tile, of which the first `count` values exist. */
ELL_INLINE void INPUT_NAME(input_line)(const INPUT_ELEMENT *input, const int count, int lanes, winograd_element *transformed) {
    INPUT_VEC d[WINOGRAD_SIZE], v[WINOGRAD_SIZE];
    ELL_UNROLL for (int i = 0; i < WINOGRAD_SIZE; i++)
        d[i] = i < count ? INPUT_LOAD(input + i * INPUT_LINE_STEP, lanes) : INPUT_ZERO;
    INPUT_1D(WINOGRAD_TILE, d, v);
    ELL_UNROLL for (int i = 0; i < WINOGRAD_SIZE; i++) INPUT_STORE(transformed + (ptrdiff_t)i * INPUT_STEP, v[i]);
}

ELL_INLINE void INPUT_NAME(input_vector)(const INPUT_ELEMENT *input, const int lanes, winograd_element *transformed) {
    INPUT_NAME(input_line)(input, WINOGRAD_SIZE, lanes, transformed);
}
#elif !INPUT_COLUMNS_FIRST
/* One vector of channels of a tile inside the input; position p goes to transformed + p * INPUT_STEP. */
ELL_INLINE void INPUT_NAME(input_vector)(const INPUT_ELEMENT *input, const int lanes, winograd_element *transformed) {
    ELL_UNROLL for (int group = 0; group < INPUT_GROUPS; group++) {
        INPUT_VEC half[2][WINOGRAD_SIZE_ACROSS];
        ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++) {
            INPUT_VEC d[WINOGRAD_SIZE_DOWN], v[WINOGRAD_SIZE_DOWN];
            ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++)
                d[y] = INPUT_LOAD(input + y * (ptrdiff_t)IN_ROW_STRIDE + x * (ptrdiff_t)IN_PIXEL_STRIDE, lanes);
            INPUT_1D(WINOGRAD_DOWN, d, v);
            ELL_UNROLL for (int y = INPUT_GROUP_FIRST(group); y < INPUT_GROUP_END(group); y++)
                half[y - INPUT_GROUP_FIRST(group)][x] = v[y];
        }
        ELL_UNROLL for (int y = INPUT_GROUP_FIRST(group); y < INPUT_GROUP_END(group); y++) {
            INPUT_VEC v[WINOGRAD_SIZE_ACROSS];
            INPUT_1D_ACROSS(half[y - INPUT_GROUP_FIRST(group)], v);
            ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++)
                INPUT_STORE(transformed + INPUT_POSITION(y, x), v[x]);
        }
    }
}
#endif

#if WINOGRAD_LINE || !INPUT_COLUMNS_FIRST
/* `channels` channels of `tiles` tiles beside each other inside the input. */
static __attribute__((noinline)) void INPUT_NAME(input_inner)(const INPUT_ELEMENT *input, int tiles, int channels,
                                                           winograd_element *transformed) {
    for (int tile = 0; tile < tiles; tile++) {
        const INPUT_ELEMENT *from = input + tile * (ptrdiff_t)(INPUT_COLUMN_STEP * IN_PIXEL_STRIDE);
        winograd_element *to = transformed + tile * INPUT_TILE_STEP;
        int c = 0;
        for (; c + INPUT_LANES <= channels; c += INPUT_LANES)
            INPUT_NAME(input_vector)(from + c, INPUT_LANES, to + c * INPUT_CHANNEL_STEP);
#if CHANNEL_TAIL
        if (c < channels) INPUT_NAME(input_vector)(from + c, CHANNEL_TAIL, to + c * INPUT_CHANNEL_STEP);
#endif
    }
}
#else
/* A column of input, transformed: value y goes to column + y * INPUT_RUN_COLUMNS * INPUT_VECTORS. */
ELL_INLINE void INPUT_NAME(input_column)(const INPUT_ELEMENT *input, const int lanes, INPUT_VEC *column) {
    INPUT_VEC d[WINOGRAD_SIZE_DOWN], v[WINOGRAD_SIZE_DOWN];
    ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++) d[y] = INPUT_LOAD(input + y * (ptrdiff_t)IN_ROW_STRIDE, lanes);
    INPUT_1D(WINOGRAD_DOWN, d, v);
    ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++) column[y * INPUT_RUN_COLUMNS * INPUT_VECTORS] = v[y];
}

/* `channels` channels of up to INPUT_RUN tiles beside each other inside the input: columns, then rows. Position p of tile t
 * goes to transformed + t * INPUT_PITCH + p * INPUT_STEP. */
static __attribute__((noinline)) void INPUT_NAME(input_inner)(const INPUT_ELEMENT *input, int tiles, int channels,
                                                           winograd_element *transformed) {
    INPUT_VEC half[WINOGRAD_SIZE_DOWN][INPUT_RUN_COLUMNS][INPUT_VECTORS];
    const int columns = (tiles - 1) * INPUT_COLUMN_STEP + WINOGRAD_SIZE_ACROSS;
    for (int first = 0; first < channels; first += INPUT_VECTORS * INPUT_LANES) {
        const int left = channels - first;
        const int count = left < INPUT_VECTORS * INPUT_LANES ? left : INPUT_VECTORS * INPUT_LANES;
        ELL_NO_UNROLL for (int x = 0; x < columns; x++) {
            const INPUT_ELEMENT *pixel = input + first + x * (ptrdiff_t)IN_PIXEL_STRIDE;
            int c = 0;
            ELL_NO_UNROLL for (; c + INPUT_LANES <= count; c += INPUT_LANES)
                INPUT_NAME(input_column)(pixel + c, INPUT_LANES, half[0][x] + c / INPUT_LANES);
#if CHANNEL_TAIL
            if (c < count) INPUT_NAME(input_column)(pixel + c, CHANNEL_TAIL, half[0][x] + c / INPUT_LANES);
#endif
        }
        ELL_NO_UNROLL for (int tile = 0; tile < tiles; tile++) {
            ELL_NO_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++) {
                winograd_element *to = transformed + first + tile * (ptrdiff_t)INPUT_PITCH +
                                       (ptrdiff_t)(y * WINOGRAD_SIZE_ACROSS) * INPUT_STEP;
                ELL_NO_UNROLL for (int c = 0; c < count; c += INPUT_LANES) {
                    INPUT_VEC d[WINOGRAD_SIZE_ACROSS], v[WINOGRAD_SIZE_ACROSS];
                    ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++)
                        d[x] = half[y][tile * INPUT_COLUMN_STEP + x][c / INPUT_LANES];
                    INPUT_1D(WINOGRAD_ACROSS, d, v);
                    ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++)
                        INPUT_STORE(to + c + (ptrdiff_t)x * INPUT_STEP, v[x]);
                }
            }
        }
    }
}
#endif

/* A tile of which only rows x columns pixels of input exist; the others count as zeros. */
static __attribute__((noinline)) void INPUT_NAME(input_edge)(const INPUT_ELEMENT *input, int rows, int columns, int channels,
                                                          winograd_element *transformed) {
    for (int c = 0; c < channels; c += INPUT_LANES) {
        int lanes = channels - c < INPUT_LANES ? channels - c : INPUT_LANES;
#if WINOGRAD_LINE
        INPUT_NAME(input_line)(input + c, rows * columns, lanes, transformed + c);
#else
        INPUT_VEC half[WINOGRAD_SIZE_DOWN][WINOGRAD_SIZE_ACROSS];
        ELL_NO_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++) {
            INPUT_VEC d[WINOGRAD_SIZE_DOWN], v[WINOGRAD_SIZE_DOWN];
            ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++) d[y] = INPUT_ZERO;
            if (x < columns) {
                const INPUT_ELEMENT *pixel = input + x * (ptrdiff_t)IN_PIXEL_STRIDE + c;
                for (int y = 0; y < rows; y++) d[y] = INPUT_LOAD(pixel + y * (ptrdiff_t)IN_ROW_STRIDE, lanes);
            }
            INPUT_1D(WINOGRAD_DOWN, d, v);
            ELL_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++) half[y][x] = v[y];
        }
        ELL_NO_UNROLL for (int y = 0; y < WINOGRAD_SIZE_DOWN; y++) {
            INPUT_VEC v[WINOGRAD_SIZE_ACROSS];
            INPUT_1D_ACROSS(half[y], v);
            ELL_UNROLL for (int x = 0; x < WINOGRAD_SIZE_ACROSS; x++)
                INPUT_STORE(transformed + INPUT_POSITION(y, x) + c * INPUT_CHANNEL_STEP, v[x]);
        }
#endif
    }
}

/* Transforms `channels` channels of the input of up to `tiles` tiles of the output from (row, column) on, all of a row.
 * Returns how many. */
static int INPUT_NAME(input_tiles)(const INPUT_ELEMENT *input, int row, int column, int tiles, int channels,
                                   winograd_element *transformed) {
    int y = row * WINOGRAD_ROWS, x = column * WINOGRAD_COLUMNS;
    const INPUT_ELEMENT *first = input + STRIDE * (y * (ptrdiff_t)IN_ROW_STRIDE + x * (ptrdiff_t)IN_PIXEL_STRIDE);
    const int inside = y + WINOGRAD_ROWS <= OUT_ROWS ? OUT_COLUMNS / WINOGRAD_COLUMNS - column : 0;
    if (inside > 0) {
        if (tiles > INPUT_RUN) tiles = INPUT_RUN;
        if (tiles > inside) tiles = inside;
        INPUT_NAME(input_inner)(first, tiles, channels, transformed);
        return tiles;
    }
    const int below = (OUT_ROWS - 1 - y) * STRIDE + FIELD, right = (OUT_COLUMNS - 1 - x) * STRIDE + FIELD_COLUMNS;
    int rows = below < WINOGRAD_INPUT_ROWS ? below : WINOGRAD_INPUT_ROWS;
    int columns = right < WINOGRAD_INPUT_COLUMNS ? right : WINOGRAD_INPUT_COLUMNS;
    INPUT_NAME(input_edge)(first, rows, columns, channels, transformed);
    return 1;
}
