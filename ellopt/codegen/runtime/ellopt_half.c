/* Layers that are no convolutions, on float16 tensors: what stands between convolutions that are computed in it. */
#include "ellopt_layers.h"

#if ELL_HALF
#include "half_elements.h"
#include "layer_rows.h"
#include "pooling_rows.h"

#define FILL_BORDER fill_border
#define FILL_ELEMENT ell_half
#include "fill_border.h"

void ell_half_fill_border(const ell_tensor *t, float *data, int part, int parts) { fill_border(t, data, part, parts); }

/* Eight elements, of which the first `lanes` are in memory. */
ELL_INLINE half_vec load(const float *data, ptrdiff_t at, int half, int lanes) {
    return half ? half_load_partial((const ell_half *)data + at, lanes) : half_of_floats(data + at, lanes);
}

/* The largest, or the mean, of rows x columns cells for one vector of channels; a mean is summed in float32. `start` and
 * `share` are what cells outside the tensor give, and the share of each cell in the mean. */
ELL_INLINE void window(const ell_layer_args *a, ptrdiff_t at, int rows, int columns, float start, float share,
                       const int is_max, const int lanes, vec *low, vec *high) {
    const ptrdiff_t row_stride = a->in->row_stride, pixel_stride = a->in->pixel_stride;
    if (is_max) {
        half_vec most = half_splat((ell_half)start);
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < columns; x++)
                most = __builtin_elementwise_maximum(most, load(a->input, at + y * row_stride + x * pixel_stride,
                                                                a->half_input, lanes));
        *low = half_low(most);
        *high = half_high(most);
        return;
    }
    *low = *high = vec_splat(start);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            const half_vec v = load(a->input, at + y * row_stride + x * pixel_stride, a->half_input, lanes);
            *low += half_low(v) * share;
            *high += half_high(v) * share;
        }
}

/* The maxima of `pixels` windows of size x size cells that lie inside the tensor, one behind the other; as many channels as
 * a vector has, or more. `in` is the first window. */
ELL_INLINE void maxima_inside(const ell_layer_args *a, const ell_half *in, ptrdiff_t to, int pixels, const int size,
                              const int half_output) {
    const int channels = a->in->channels;
    const ptrdiff_t row_stride = a->in->row_stride, pixel_stride = a->in->pixel_stride;
    for (int x = 0; x < pixels; x++, in += a->step->stride * pixel_stride, to += a->out->pixel_stride)
        for (int c = 0; c < channels; c += HALF_WIDTH) {
            const int at = c + HALF_WIDTH > channels ? channels - HALF_WIDTH : c; /* some channels once more */
            half_vec most = half_load(in + at);
            ELL_UNROLL for (int i = 1; i < size * size; i++)
                most = __builtin_elementwise_maximum(most, half_load(in + at + i / size * row_stride + i % size * pixel_stride));
            if (half_output)
                half_store((ell_half *)a->output + to + at, most);
            else
                eight_store(a->output, to + at, 0, (eight){half_low(most), half_high(most)}, HALF_WIDTH);
        }
}

static void half_pooling_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const int channels = a->in->channels, is_max = s->mode == ELL_POOL_MAX;
    const pooling_row row = pooling_row_of(a, y, is_max && a->half_input && channels >= HALF_WIDTH);
    if (row.behind > row.inside_from) {
        const ell_half *first_window = (const ell_half *)a->input + pooling_first_window(a, row);
        const ptrdiff_t to = y * (ptrdiff_t)a->out->row_stride + (ptrdiff_t)row.inside_from * a->out->pixel_stride;
        const int pixels = row.behind - row.inside_from;
        if (s->size == 2 && a->half_output) maxima_inside(a, first_window, to, pixels, 2, 1);
        if (s->size == 2 && !a->half_output) maxima_inside(a, first_window, to, pixels, 2, 0);
        if (s->size == 3 && a->half_output) maxima_inside(a, first_window, to, pixels, 3, 1);
        if (s->size == 3 && !a->half_output) maxima_inside(a, first_window, to, pixels, 3, 0);
    }
    for (int x = 0; x < a->out->columns; x++) {
        if (x >= row.inside_from && x < row.behind) continue;
        const pooling_window cells = pooling_window_of(a, row, x);
        const ptrdiff_t to = y * (ptrdiff_t)a->out->row_stride + (ptrdiff_t)x * a->out->pixel_stride;
        for (int c = 0; c < channels; c += HALF_WIDTH) {
            vec low, high;
            if (channels - c >= HALF_WIDTH && is_max)
                window(a, cells.at + c, row.rows, cells.columns, cells.start, row.share, 1, HALF_WIDTH, &low, &high);
            else if (channels - c >= HALF_WIDTH)
                window(a, cells.at + c, row.rows, cells.columns, cells.start, row.share, 0, HALF_WIDTH, &low, &high);
            else
                window(a, cells.at + c, row.rows, cells.columns, cells.start, row.share, is_max, channels - c, &low, &high);
            eight_store(a->output, to + c, a->half_output, (eight){low, high}, channels - c);
        }
    }
}

void ell_half_pooling(ell_pool *pool, const ell_layer_args *a) {
    run_rows(pool, half_pooling_row, a, a->out->rows, elements(a->in));
}
#endif
