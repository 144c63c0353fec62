/* Layers that are no convolutions, on float16 tensors: what stands between convolutions that are computed in it. */
#include "ellopt_layers.h"

#if ELL_HALF
#include "half.h"
#include "layer_rows.h"

void ell_half_fill_border(const ell_tensor *t, float *data) {
    if (!(t->top | t->left | t->bottom | t->right)) return;
    const ell_half fill = (ell_half)t->fill;
    ell_half *p = (ell_half *)data - (ptrdiff_t)t->top * t->row_stride - (ptrdiff_t)t->left * t->channels;
    const size_t inside = (size_t)t->columns * t->channels;
    const size_t first = (size_t)t->top * t->row_stride + (size_t)t->left * t->channels;
    const size_t between = (size_t)(t->left + t->right) * t->channels;
    const size_t last = (size_t)t->bottom * t->row_stride + (size_t)t->right * t->channels;
    for (size_t i = 0; i < first; i++) p[i] = fill;
    p += first + inside;
    for (int y = 1; y < t->rows; y++) {
        for (size_t i = 0; i < between; i++) p[i] = fill;
        p += between + inside;
    }
    for (size_t i = 0; i < last; i++) p[i] = fill;
}

/* Eight elements, of which the first `lanes` are in memory. */
ELL_INLINE half_vec load(const float *data, ptrdiff_t at, int half, int lanes) {
    return half ? half_load_partial((const ell_half *)data + at, lanes) : half_of_floats(data + at, lanes);
}

ELL_INLINE void store(float *data, ptrdiff_t at, int half, vec low, vec high, int lanes) {
    if (half) {
        half_store_partial((ell_half *)data + at, half_of(low, high), lanes);
        return;
    }
    vec_store_partial(data + at, low, lanes);
    if (lanes > VECTOR_WIDTH) vec_store_partial(data + at + VECTOR_WIDTH, high, lanes - VECTOR_WIDTH);
}

/* The largest, or the mean, of rows x columns cells for one vector of channels; a mean is summed in float32. `start` and
 * `share` are what cells outside the tensor give, and the share of each cell in the mean. */
ELL_INLINE void window(const ell_layer_args *a, ptrdiff_t at, int rows, int columns, float start, float share,
                       const int is_max, const int lanes, vec *low, vec *high) {
    const ptrdiff_t row_stride = a->in->row_stride;
    const int channels = a->in->channels;
    if (is_max) {
        half_vec most = half_splat((ell_half)start);
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < columns; x++)
                most = __builtin_elementwise_maximum(most, load(a->input, at + y * row_stride + x * channels,
                                                                a->half_input, lanes));
        *low = half_low(most);
        *high = half_high(most);
        return;
    }
    *low = *high = vec_splat(start);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            const half_vec v = load(a->input, at + y * row_stride + x * channels, a->half_input, lanes);
            *low += half_low(v) * share;
            *high += half_high(v) * share;
        }
}

/* The maxima of `pixels` windows of size x size cells that lie inside the tensor, one behind the other; as many channels as
 * a vector has, or more. `in` is the first window. */
ELL_INLINE void maxima_inside(const ell_layer_args *a, const ell_half *in, ptrdiff_t to, int pixels, const int size,
                              const int half_output) {
    const int channels = a->in->channels;
    const ptrdiff_t row_stride = a->in->row_stride;
    for (int x = 0; x < pixels; x++, in += a->step->stride * channels, to += a->out->pixel_stride)
        for (int c = 0; c < channels; c += HALF_WIDTH) {
            const int at = c + HALF_WIDTH > channels ? channels - HALF_WIDTH : c; /* some channels once more */
            half_vec most = half_load(in + at);
            ELL_UNROLL for (int i = 1; i < size * size; i++)
                most = __builtin_elementwise_maximum(most, half_load(in + at + i / size * row_stride + i % size * channels));
            if (half_output)
                half_store((ell_half *)a->output + to + at, most);
            else
                store(a->output, to + at, 0, half_low(most), half_high(most), HALF_WIDTH);
        }
}

/* As pooling_row of ellopt_pooling.c. */
static void half_pooling_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const ell_tensor *in = a->in;
    const int channels = in->channels, is_max = s->mode == ELL_POOL_MAX;
    const int top = y * s->stride - s->top;
    const int first_row = clamp(top, 0, in->rows), rows = clamp(top + s->size, 0, in->rows) - first_row;
    const int all_rows = clamp(top + s->size, top, in->rows + s->bottom) - top;
    const float share = 1.0f / ((float)s->size * (float)s->size);
    /* Output pixels inside_from .. behind - 1 have windows inside the tensor and a loop of their own. */
    int inside_from = 0, behind = 0;
    if (is_max && a->half_input && channels >= HALF_WIDTH && rows == s->size && s->size <= in->columns &&
        (s->size == 2 || s->size == 3)) {
        inside_from = clamp((s->left + s->stride - 1) / s->stride, 0, a->out->columns);
        behind = clamp((in->columns + s->left - s->size) / s->stride + 1, inside_from, a->out->columns);
        const ell_half *first_window = (const ell_half *)a->input + top * (ptrdiff_t)in->row_stride +
                                       ((ptrdiff_t)inside_from * s->stride - s->left) * channels;
        const ptrdiff_t to = y * (ptrdiff_t)a->out->row_stride + (ptrdiff_t)inside_from * a->out->pixel_stride;
        const int pixels = behind - inside_from;
        if (s->size == 2 && a->half_output) maxima_inside(a, first_window, to, pixels, 2, 1);
        if (s->size == 2 && !a->half_output) maxima_inside(a, first_window, to, pixels, 2, 0);
        if (s->size == 3 && a->half_output) maxima_inside(a, first_window, to, pixels, 3, 1);
        if (s->size == 3 && !a->half_output) maxima_inside(a, first_window, to, pixels, 3, 0);
    }
    for (int x = 0; x < a->out->columns; x++) {
        if (x == inside_from && behind > inside_from) x = behind;
        if (x >= a->out->columns) break;
        const int left = x * s->stride - s->left;
        const int first = clamp(left, 0, in->columns), columns = clamp(left + s->size, 0, in->columns) - first;
        const int all_columns = clamp(left + s->size, left, in->columns + s->right) - left;
        const int outside = all_rows * all_columns - rows * columns;
        const float start = pooling_start(s, outside);
        const ptrdiff_t at = first_row * (ptrdiff_t)in->row_stride + (ptrdiff_t)first * channels;
        const ptrdiff_t to = y * (ptrdiff_t)a->out->row_stride + (ptrdiff_t)x * a->out->pixel_stride;
        for (int c = 0; c < channels; c += HALF_WIDTH) {
            vec low, high;
            if (channels - c >= HALF_WIDTH && is_max)
                window(a, at + c, rows, columns, start, share, 1, HALF_WIDTH, &low, &high);
            else if (channels - c >= HALF_WIDTH)
                window(a, at + c, rows, columns, start, share, 0, HALF_WIDTH, &low, &high);
            else
                window(a, at + c, rows, columns, start, share, is_max, channels - c, &low, &high);
            store(a->output, to + c, a->half_output, low, high, channels - c);
        }
    }
}

void ell_half_pooling(ell_pool *pool, const ell_layer_args *a) {
    run_rows(pool, half_pooling_row, a, a->out->rows, elements(a->in));
}
#endif
