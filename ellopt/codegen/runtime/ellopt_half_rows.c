/* Sums and products of two tensors or of each channel, and activations, where a tensor is float16: eight elements at a time,
 * in float32, but sums and products of float16 alone, which are rounded once in either. And copies of float32 to it. */
#include "ellopt_layers.h"

#if ELL_HALF
#include "half_elements.h"
#include "layer_rows.h"

static void half_elementwise_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const float *scale = s->weights == ELL_NONE ? 0 : a->weights + s->weights;
    const float *shift = s->shift == ELL_NONE ? 0 : a->weights + s->shift;
    const int columns = a->out->columns, all = a->out->channels;
    const int one = !scale && dense_pixels(a->in) && dense_pixels(a->out), pixels = one ? 1 : columns;
    const int channels = all * (one ? columns : 1);
    const float *alpha = s->alpha == ELL_NONE ? 0 : a->weights + s->alpha + (size_t)y * columns * all;
    ptrdiff_t in = (ptrdiff_t)y * a->in->row_stride, out = (ptrdiff_t)y * a->out->row_stride;
    for (int x = 0; x < pixels; x++, in += a->in->pixel_stride, out += a->out->pixel_stride)
        for (int c = 0; c < channels; c += HALF_WIDTH) {
            const int lanes = clamp(channels - c, 0, HALF_WIDTH);
            eight v = eight_load(a->input, in + c, a->half_input, lanes);
            if (scale) {
                const eight by = eight_load(scale, c, 0, lanes), more = eight_load(shift, c, 0, lanes);
                v.low = v.low * by.low + more.low;
                v.high = v.high * by.high + more.high;
            }
            if (alpha) {
                const eight by = eight_load(alpha, (ptrdiff_t)x * channels + c, 0, lanes);
                v.low = select_positive(v.low, v.low, v.low * by.low);
                v.high = select_positive(v.high, v.high, v.high * by.high);
            }
            v.low = activate(s, v.low);
            v.high = activate(s, v.high);
            eight_store(a->output, out + c, a->half_output, v, lanes);
        }
}

void ell_half_elementwise(ell_pool *pool, const ell_layer_args *a) {
    run_rows(pool, half_elementwise_row, a, a->out->rows, elements(a->out));
}

static vec combined(int mode, vec u, vec v) {
    return mode == ELL_ADD ? u + v : mode == ELL_SUBTRACT ? u - v : mode == ELL_MULTIPLY ? u * v : u / v;
}

/* `mode`, a sum or a product, and `relu` are constants. Returns where the rest begins. */
ELL_INLINE int halves_line(const ell_half *p, const ell_half *q, ell_half *out, int count, const int mode, const int relu) {
    int i = 0;
    for (; i + HALF_WIDTH <= count; i += HALF_WIDTH) {
        const half_vec u = half_load(p + i), v = half_load(q + i), w = mode == ELL_ADD ? u + v : u * v;
        half_store(out + i, relu ? __builtin_elementwise_maximum((half_vec){0}, w) : w);
    }
    return i;
}

static void half_binary_cells(const ell_layer_args *a, ptrdiff_t p, ptrdiff_t q, ptrdiff_t out, int count) {
    const ell_step *s = a->step;
    int i = 0;
    if (a->half_input && a->half_second && a->half_output) {
        const ell_half *first = (const ell_half *)a->input + p, *second = (const ell_half *)a->second + q;
        ell_half *to = (ell_half *)a->output + out;
        if (s->mode == ELL_ADD && s->activation == ELL_ACTIVATION_NONE)
            i = halves_line(first, second, to, count, ELL_ADD, 0);
        else if (s->mode == ELL_ADD && s->activation == ELL_ACTIVATION_RELU)
            i = halves_line(first, second, to, count, ELL_ADD, 1);
        else if (s->mode == ELL_MULTIPLY && s->activation == ELL_ACTIVATION_NONE)
            i = halves_line(first, second, to, count, ELL_MULTIPLY, 0);
    }
    for (; i < count; i += HALF_WIDTH) {
        const int lanes = clamp(count - i, 0, HALF_WIDTH);
        const eight u = eight_load(a->input, p + i, a->half_input, lanes);
        const eight v = eight_load(a->second, q + i, a->half_second, lanes);
        const eight w = {activate(s, combined(s->mode, u.low, v.low)), activate(s, combined(s->mode, u.high, v.high))};
        eight_store(a->output, out + i, a->half_output, w, lanes);
    }
}

static void half_binary_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    ptrdiff_t p = (ptrdiff_t)y * a->in->row_stride, q = (ptrdiff_t)y * a->in2->row_stride;
    ptrdiff_t out = (ptrdiff_t)y * a->out->row_stride;
    const int one = dense_pixels(a->in) && dense_pixels(a->in2) && dense_pixels(a->out), lines = one ? 1 : a->out->columns;
    const int count = a->out->channels * (one ? a->out->columns : 1);
    for (int x = 0; x < lines; x++, p += a->in->pixel_stride, q += a->in2->pixel_stride, out += a->out->pixel_stride)
        half_binary_cells(a, p, q, out, count);
}

void ell_half_binary(ell_pool *pool, const ell_layer_args *a) {
    run_rows(pool, half_binary_row, a, a->out->rows, elements(a->out));
}

static void half_copy_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_copy *k = a->step->copy;
    const float *in = a->input + k->in_offset + y * k->in_row;
    ell_half *out = (ell_half *)a->output + k->out_offset + y * k->out_row;
    if (k->in_channel == 1 && k->out_channel == 1 && k->in_column == k->channels && k->out_column == k->channels) {
        half_convert(out, in, k->columns * k->channels);
        return;
    }
    for (int x = 0; x < k->columns; x++)
        for (int c = 0; c < k->channels; c++)
            out[x * k->out_column + c * k->out_channel] = (ell_half)in[x * k->in_column + c * k->in_channel];
}

static void half_clear(const void *context, int index, int worker) {
    (void)index, (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_copy *k = a->step->copy;
    for (size_t i = 0; i < k->floats; i++) ((ell_half *)a->output)[i] = (ell_half)k->value;
}

void ell_half_copy_values(ell_pool *pool, const ell_layer_args *a) {
    const ell_copy *k = a->step->copy;
    if (k->clear) ell_pool_run_alone(pool, half_clear, a, 1);
    run_rows(pool, half_copy_row, a, k->rows, (size_t)k->rows * k->columns * k->channels);
}
#endif
