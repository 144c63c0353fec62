/* The input of a convolution with the border around it, where the tensor has none. */
#include "ellopt_padding.h"

#include <string.h>

#include "ellopt_layers.h"

#if ELL_HALF
#include "half.h"
#endif

static void fill(float *to, size_t at, size_t count, float value, int half) {
#if ELL_HALF
    if (half) {
        for (size_t i = 0; i < count; i++) ((ell_half *)to)[at + i] = (ell_half)value;
        return;
    }
#else
    (void)half;
#endif
    for (size_t i = 0; i < count; i++) to[at + i] = value;
}

static void copy(float *to, size_t at, const float *from, size_t first, size_t count, int half_from, int half) {
#if ELL_HALF
    if (half_from) {
        memcpy((ell_half *)to + at, (const ell_half *)from + first, count * sizeof(ell_half));
        return;
    }
    if (half) {
        half_convert((ell_half *)to + at, from + first, (int)count);
        return;
    }
#else
    (void)half_from, (void)half;
#endif
    memcpy(to + at, from + first, count * sizeof(float));
}

static void put_row(const void *context, int row, int worker) {
    (void)worker;
    const ell_padding *p = (const ell_padding *)context;
    const ell_tensor *in = p->in;
    const size_t left = (size_t)p->step->left * (size_t)in->channels, right = (size_t)p->step->right * (size_t)in->channels;
    const size_t inside = (size_t)in->columns * (size_t)in->channels, at = (size_t)row * (left + inside + right);
    const int y = p->first + row;
    if (y < 0 || y >= in->rows) {
        fill(p->to, at, left + inside + right, p->step->outside, p->half);
        return;
    }
    fill(p->to, at, left, p->step->outside, p->half);
    /* Of a slice of another tensor pixel by pixel. */
    const size_t channels = (size_t)in->channels, from = (size_t)y * (size_t)in->row_stride;
    const size_t run = in->pixel_stride == in->channels ? inside : channels;
    for (size_t x = 0; x * run < inside; x++)
        copy(p->to, at + left + x * run, p->input, from + x * (size_t)in->pixel_stride, run, p->half_input, p->half);
    fill(p->to, at + left + inside, right, p->step->outside, p->half);
}

void ell_put_border(ell_pool *pool, const ell_padding *padding) {
    const ell_step *step = padding->step;
    const size_t elements = (size_t)step->padded;
    ell_share(pool, elements / 2, put_row, padding, (step->rows - 1) * step->stride + step->size);
}
