/* Winograd's minimal filtering F(t x t, 3 x 3) and F(t, 3): transforms of one row or column of a tile of t + 2 values.
 *
 * A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2015. Interpolation points: 0, 1, -1 and
 * infinity, for t >= 4 also 2 and -2, for t = 6 also 1/2 and -1/2, for t = 3 one more at 2, for t = 5 one at 1/2.
 * With stride 2 tiles have 2 t + 1 values.
 * The matrices are in matrices.py; here they are written out with their common sums. */
#ifndef ELLOPT_CONV_WINOGRAD_TRANSFORMS_H
#define ELLOPT_CONV_WINOGRAD_TRANSFORMS_H

#include "vector.h"

/* Functions that are there for several kinds of tensors have the kind in their names. */
#define WINOGRAD_NAMED_(kind, name) winograd_##kind##name
#define WINOGRAD_NAMED(kind, name) WINOGRAD_NAMED_(kind, name)

/* Rows and columns of output of a tile: two digits of WINOGRAD_TILE, or one for both. */
#define WINOGRAD_DOWN (WINOGRAD_TILE > 9 ? WINOGRAD_TILE / 10 : WINOGRAD_TILE)
#define WINOGRAD_ACROSS (WINOGRAD_TILE % 10)
/* Whether weights of two points across are computed from those of the others (matrices.py). */
#define WINOGRAD_DERIVES (WINOGRAD_TILE == 44)
#define WINOGRAD_SIZE_DOWN ((WINOGRAD_DOWN - 1) * STRIDE + 3)
#define WINOGRAD_SIZE_ACROSS ((WINOGRAD_ACROSS - 1) * STRIDE + 3)
/* Windows of 1x3 and 3x1 have tiles of one row, or one column: F(t, 3). */
#define WINOGRAD_LINE (FIELD == 1 || FIELD_COLUMNS == 1)
#define WINOGRAD_SIZE (WINOGRAD_TILE + 2) /* where WINOGRAD_LINE */
#define WINOGRAD_ROWS (FIELD == 1 ? 1 : WINOGRAD_DOWN)
#define WINOGRAD_COLUMNS (FIELD_COLUMNS == 1 ? 1 : WINOGRAD_ACROSS)
#define WINOGRAD_INPUT_ROWS ((WINOGRAD_ROWS - 1) * STRIDE + FIELD)
#define WINOGRAD_INPUT_COLUMNS ((WINOGRAD_COLUMNS - 1) * STRIDE + FIELD_COLUMNS)
#define WINOGRAD_POSITIONS (WINOGRAD_INPUT_ROWS * WINOGRAD_INPUT_COLUMNS)
#define TILES_DOWN ((OUT_ROWS + WINOGRAD_ROWS - 1) / WINOGRAD_ROWS)
#define TILES_ACROSS ((OUT_COLUMNS + WINOGRAD_COLUMNS - 1) / WINOGRAD_COLUMNS)
#define ELL_NO_UNROLL _Pragma("clang loop unroll(disable) vectorize(disable)")

ELL_INLINE void winograd_input_1d_2(const vec *d, vec *v) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
}

#if defined(__aarch64__)
/* 13 instructions: a multiply-add destroys what it adds to, so values that are still needed come from sums. */
ELL_INLINE void winograd_input_1d_4(const vec *d, vec *v) {
    vec even2 = d[4] - d[2], odd2 = d[3] - d[1];
    vec even1 = vec_add_product(d[4], -4.0f, d[2]), odd1 = vec_add_product(d[3], -4.0f, d[1]);
    vec twice = odd2 + odd2;
    v[0] = vec_add_product(even1 - d[2], 4.0f, d[0]);
    v[1] = even1 + odd1;
    v[2] = even1 - odd1;
    v[3] = even2 + twice;
    v[4] = even2 - twice;
    v[5] = vec_add_product(vec_add_product(d[5], -5.0f, d[3]), 4.0f, d[1]);
}
#else
ELL_INLINE void winograd_input_1d_4(const vec *d, vec *v) {
    vec even1 = d[4] - 4.0f * d[2], odd1 = d[3] - 4.0f * d[1];
    vec even2 = d[4] - d[2], odd2 = d[3] - d[1];
    v[0] = 4.0f * d[0] + (d[4] - 5.0f * d[2]);
    v[1] = even1 + odd1;
    v[2] = even1 - odd1;
    v[3] = even2 + 2.0f * odd2;
    v[4] = even2 - 2.0f * odd2;
    v[5] = 4.0f * d[1] + (d[5] - 5.0f * d[3]);
}
#endif

/* v = B^T d for tiles of `tile` outputs with stride 1. The transform for a further point p is that of the other points on
 * d[i + 1] - p d[i], and one more row. */
ELL_INLINE void winograd_input_1d_plain(const int tile, const vec *d, vec *v) {
    if (tile == 2) {
        winograd_input_1d_2(d, v);
    } else if (tile == 3) {
        vec e[4];
        ELL_UNROLL for (int i = 0; i < 4; i++) e[i] = d[i + 1] - 2.0f * d[i];
        winograd_input_1d_2(e, v);
        v[4] = d[3] - d[1];
    } else if (tile == 4) {
        winograd_input_1d_4(d, v);
    } else if (tile == 5) {
        vec e[6];
        ELL_UNROLL for (int i = 0; i < 6; i++) e[i] = d[i + 1] - 0.5f * d[i];
        winograd_input_1d_4(e, v);
        v[6] = 4.0f * d[1] + (d[5] - 5.0f * d[3]);
    } else {
        vec even1 = (d[2] + d[6]) - 4.25f * d[4], odd1 = (d[1] + d[5]) - 4.25f * d[3];
        vec even2 = (d[6] + 0.25f * d[2]) - 1.25f * d[4], odd2 = (d[5] + 0.25f * d[1]) - 1.25f * d[3];
        vec even3 = (d[6] + 4.0f * d[2]) - 5.0f * d[4], odd3 = (d[5] + 4.0f * d[1]) - 5.0f * d[3];
        v[0] = (d[0] - d[6]) + 5.25f * (d[4] - d[2]);
        v[1] = even1 + odd1;
        v[2] = even1 - odd1;
        v[3] = even2 + 2.0f * odd2;
        v[4] = even2 - 2.0f * odd2;
        v[5] = even3 + 0.5f * odd3;
        v[6] = even3 - 0.5f * odd3;
        v[7] = (d[7] - d[1]) + 5.25f * (d[3] - d[5]);
    }
}

/* v = B^T d for tiles of `tile` outputs. With stride 2: the even inputs, transformed for a filter of two weights, which has
 * the points of a smaller tile of three; then the odd ones. */
ELL_INLINE void winograd_input_1d(const int tile, const vec *d, vec *v) {
#if STRIDE == 1
    winograd_input_1d_plain(tile, d, v);
#else
    vec even[5];
    ELL_UNROLL for (int i = 0; i <= tile; i++) even[i] = d[2 * i];
    if (tile == 2) {
        v[0] = even[0] - even[1];
        v[1] = even[1];
        v[2] = even[2] - even[1];
    } else {
        winograd_input_1d_plain(tile - 1, even, v);
    }
    ELL_UNROLL for (int i = 0; i < tile; i++) v[tile + 1 + i] = d[2 * i + 1];
#endif
}

#if WINOGRAD_DERIVES
/* The transform across, scaled for the weights that are stored and for those that are derived. */
ELL_INLINE void winograd_input_1d_derived(const vec *d, vec *v) {
    winograd_input_1d_plain(WINOGRAD_ACROSS, d, v);
    v[0] *= 1.5f;
    v[3] *= 0.25f;
    v[4] *= 0.25f;
    v[5] *= 1.5f;
}
#endif

#if STRIDE == 1
/* y = A^T m for tiles of `tile` outputs. */
ELL_INLINE void winograd_output_1d(const int tile, const vec *m, vec *y) {
    vec sum1 = m[1] + m[2], difference1 = m[1] - m[2];
    if (tile == 2) {
        y[0] = m[0] + sum1;
        y[1] = difference1 - m[3];
        return;
    }
    if (tile == 3) {
        y[0] = (m[0] + sum1) + m[4];
        y[1] = difference1 + 2.0f * m[4];
        y[2] = (sum1 - m[3]) + 4.0f * m[4];
        return;
    }
    vec sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    if (tile == 4) {
        y[0] = (m[0] + sum1) + sum2;
        y[1] = difference1 + 2.0f * difference2;
        y[2] = sum1 + 4.0f * sum2;
        y[3] = (difference1 + m[5]) + 8.0f * difference2;
    } else if (tile == 5) {
        y[0] = ((m[0] + sum1) + sum2) + 16.0f * m[6];
        y[1] = (difference1 + 2.0f * difference2) + 8.0f * m[6];
        y[2] = (sum1 + 4.0f * sum2) + 4.0f * m[6];
        y[3] = (difference1 + 8.0f * difference2) + 2.0f * m[6];
        y[4] = ((sum1 + m[5]) + 16.0f * sum2) + m[6];
    } else {
        vec sum3 = m[5] + m[6], difference3 = m[5] - m[6];
        y[0] = ((m[0] + sum1) + sum2) + 32.0f * sum3;
        y[1] = (difference1 + 2.0f * difference2) + 16.0f * difference3;
        y[2] = (sum1 + 4.0f * sum2) + 8.0f * sum3;
        y[3] = (difference1 + 8.0f * difference2) + 4.0f * difference3;
        y[4] = (sum1 + 16.0f * sum2) + 2.0f * sum3;
        y[5] = ((difference1 + m[7]) + 32.0f * difference2) + difference3;
    }
}
#else
/* The same with stride 2: m has the products of the points, then those of the odd inputs. */
ELL_INLINE void winograd_output_1d(const int tile, const vec *m, vec *y) {
    if (tile == 2) {
        y[0] = (m[0] + m[1]) + m[3];
        y[1] = (m[1] + m[2]) + m[4];
        return;
    }
    const vec *odd = m + tile + 1;
    const vec sum = m[1] + m[2], difference = m[1] - m[2];
    if (tile == 3) {
        y[0] = (m[0] + sum) + odd[0];
        y[1] = difference + odd[1];
        y[2] = (sum - m[3]) + odd[2];
    } else {
        y[0] = ((m[0] + sum) + m[4]) + odd[0];
        y[1] = vec_add_product(difference + odd[1], 2.0f, m[4]);
        y[2] = vec_add_product(sum + odd[2], 4.0f, m[4]);
        y[3] = vec_add_product((difference - m[3]) + odd[3], 8.0f, m[4]);
    }
}
#endif

#endif
