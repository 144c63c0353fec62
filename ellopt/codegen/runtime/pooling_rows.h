/* Where the windows of a row of pooling lie, whatever the tensor's elements are. */
#ifndef ELLOPT_POOLING_ROWS_H
#define ELLOPT_POOLING_ROWS_H

#include "layer_rows.h"

/* The windows of one row of output, from `top` of the tensor on: rows first_row .. first_row + rows - 1 of them are in it,
 * all_rows in it and its border. A cell has `share` of a mean. Output pixels inside_from .. behind - 1 have windows inside
 * the tensor and a loop of their own, where there is one. */
typedef struct {
    int top, first_row, rows, all_rows, inside_from, behind;
    float share;
} pooling_row;

/* `unrolled`: whether there is a loop for windows inside the tensor, of 2 x 2 and 3 x 3 cells. */
ELL_INLINE pooling_row pooling_row_of(const ell_layer_args *a, int y, int unrolled) {
    const ell_step *s = a->step;
    const ell_tensor *in = a->in;
    pooling_row row = {.top = y * s->stride - s->top, .share = 1.0f / ((float)s->size * (float)s->size)};
    row.first_row = clamp(row.top, 0, in->rows);
    row.rows = clamp(row.top + s->size, 0, in->rows) - row.first_row;
    row.all_rows = smaller(row.top + s->size, in->rows + s->bottom) - row.top;
    if (unrolled && row.rows == s->size && s->size <= in->columns && (s->size == 2 || s->size == 3)) {
        row.inside_from = smaller((s->left + s->stride - 1) / s->stride, a->out->columns);
        row.behind = clamp((in->columns + s->left - s->size) / s->stride + 1, row.inside_from, a->out->columns);
    }
    return row;
}

/* The first element of the window of pixel inside_from. */
ELL_INLINE ptrdiff_t pooling_first_window(const ell_layer_args *a, const pooling_row row) {
    return (ptrdiff_t)row.top * a->in->row_stride +
           ((ptrdiff_t)row.inside_from * a->step->stride - a->step->left) * a->in->pixel_stride;
}

/* The window of one pixel: the element where what is in the tensor begins, its columns, and what it starts from. */
typedef struct {
    ptrdiff_t at;
    int columns;
    float start;
} pooling_window;

/* What a window starts from, of which `outside` cells lie in the tensor's border: in double, as borders may hold the
 * largest number there is. */
ELL_INLINE float pooling_start(const ell_step *s, int outside) {
    if (s->mode == ELL_POOL_MAX) return outside ? s->outside : -INFINITY;
    return outside ? (float)((double)s->outside * outside / ((double)s->size * s->size)) : 0.0f;
}

ELL_INLINE pooling_window pooling_window_of(const ell_layer_args *a, const pooling_row row, int x) {
    const ell_step *s = a->step;
    const ell_tensor *in = a->in;
    const int left = x * s->stride - s->left, first = clamp(left, 0, in->columns);
    const int columns = clamp(left + s->size, 0, in->columns) - first;
    const int all_columns = smaller(left + s->size, in->columns + s->right) - left;
    const ptrdiff_t at = (ptrdiff_t)row.first_row * in->row_stride + (ptrdiff_t)first * in->pixel_stride;
    return (pooling_window){at, columns, pooling_start(s, row.all_rows * all_columns - row.rows * columns)};
}

#endif
