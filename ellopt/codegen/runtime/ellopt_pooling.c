/* The largest or the mean value of windows. */
#include <math.h>

#include "layer_rows.h"

static int smaller(int a, int b) { return a < b ? a : b; }

/* One vector of channels of a window of size x size cells, all inside the tensor. Of a mean each cell adds its share,
 * as the sum of cells may be more than a float can hold. */
ELL_INLINE vec pool_window(const float *p, ptrdiff_t row_stride, int channels, const int size, const int is_max) {
    vec cells[9];
    ELL_UNROLL for (int r = 0; r < size; r++) {
        ELL_UNROLL for (int i = 0; i < size; i++) cells[r * size + i] = vec_load(p + r * row_stride + i * channels);
    }
    if (is_max) return vec_maximum_of(cells, size * size);
    const vec share = vec_splat(1.0f / ((float)size * (float)size));
    vec v = cells[0] * share;
    ELL_UNROLL for (int i = 1; i < size * size; i++) v += cells[i] * share;
    return v;
}

#if defined(__aarch64__) && ELL_IEEE_MAXIMUM
/* The same of some vectors of channels next to each other, cell by cell in the order in which they lie in memory: small
 * processors follow a stream of equal steps, and cells of a window read by turns are none. */
ELL_INLINE void pool_vectors(const float *in, float *out, ptrdiff_t row_stride, int channels, const int size,
                             const int is_max, const int vectors) {
    vec v[16];
    const vec share = vec_splat(1.0f / ((float)size * (float)size));
    ELL_UNROLL for (int cell = 0; cell < size * size; cell++) {
        const float *p = in + cell / size * row_stride + cell % size * channels;
        ELL_UNROLL for (int i = 0; i < vectors; i++) {
            const vec u = vec_load(p + i * VECTOR_WIDTH);
            if (is_max)
                v[i] = cell ? vec_max(v[i], u) : u;
            else
                v[i] = cell ? v[i] + u * share : u * share;
        }
        __asm__ volatile("" : : : "memory"); /* compilers mix the cells' loads otherwise */
    }
    ELL_UNROLL for (int i = 0; i < vectors; i++) vec_store(out + i * VECTOR_WIDTH, v[i]);
}

/* As many channels at once as registers hold; returns where the rest begins. */
ELL_INLINE int pool_many(const float *in, float *out, ptrdiff_t row_stride, int channels, const int size,
                         const int is_max) {
    int c = 0;
    for (; c + 16 * VECTOR_WIDTH <= channels; c += 16 * VECTOR_WIDTH)
        pool_vectors(in + c, out + c, row_stride, channels, size, is_max, 16);
    for (; c + 8 * VECTOR_WIDTH <= channels; c += 8 * VECTOR_WIDTH)
        pool_vectors(in + c, out + c, row_stride, channels, size, is_max, 8);
    for (; c + 4 * VECTOR_WIDTH <= channels; c += 4 * VECTOR_WIDTH)
        pool_vectors(in + c, out + c, row_stride, channels, size, is_max, 4);
    return c;
}
#else
ELL_INLINE int pool_many(const float *in, float *out, ptrdiff_t row_stride, int channels, const int size,
                         const int is_max) {
    (void)in, (void)out, (void)row_stride, (void)channels, (void)size, (void)is_max;
    return 0;
}
#endif

/* Output pixels first .. last - 1 of a row whose windows are inside the tensor; as many channels as a vector
 * has, or more; no activation. `in` is the window of pixel `first`. */
ELL_INLINE void pool_inside(const ell_layer_args *a, const float *in, float *out, int pixels, const int size,
                            const int is_max) {
    const int channels = a->in->channels, step = a->step->stride * channels;
    const ptrdiff_t row_stride = a->in->row_stride, ahead = a->step->stride * row_stride;
    for (int x = 0; x < pixels; x++, in += step, out += a->out->pixel_stride) {
        for (int c = pool_many(in, out, row_stride, channels, size, is_max); c < channels; c += VECTOR_WIDTH) {
            if (c % 16 == 0) /* a cache line of the next row's windows */
                for (int r = 0; r < size; r++) __builtin_prefetch(in + ahead + r * row_stride + c, 0, 2);
            const int at = c + VECTOR_WIDTH > channels ? channels - VECTOR_WIDTH : c; /* some channels once more */
            vec_store(out + at, pool_window(in + at, row_stride, channels, size, is_max));
        }
    }
}

static void pooling_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const ell_tensor *in = a->in;
    const int channels = in->channels, is_max = s->mode == ELL_POOL_MAX;
    /* Cells of the window inside the tensor, and all of them inside the tensor and its border. */
    const int top = y * s->stride - s->top;
    const int first_row = clamp(top, 0, in->rows), last_row = clamp(top + s->size, 0, in->rows);
    const int all_rows = smaller(top + s->size, in->rows + s->bottom) - top;
    const float share = 1.0f / ((float)s->size * (float)s->size);
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
    /* Output pixels inside_from .. behind - 1 have windows inside the tensor and a loop of their own. */
    int inside_from = 0, behind = 0;
    if (top >= 0 && last_row == top + s->size && channels >= VECTOR_WIDTH && s->size <= in->columns &&
        s->activation == ELL_ACTIVATION_NONE && (s->size == 2 || s->size == 3)) {
        inside_from = smaller((s->left + s->stride - 1) / s->stride, a->out->columns);
        behind = clamp((in->columns + s->left - s->size) / s->stride + 1, inside_from, a->out->columns);
        const float *window = a->input + (ptrdiff_t)top * in->row_stride +
                              ((ptrdiff_t)inside_from * s->stride - s->left) * channels;
        float *first_out = out + (ptrdiff_t)inside_from * a->out->pixel_stride;
        if (s->size == 2 && is_max) pool_inside(a, window, first_out, behind - inside_from, 2, 1);
        if (s->size == 2 && !is_max) pool_inside(a, window, first_out, behind - inside_from, 2, 0);
        if (s->size == 3 && is_max) pool_inside(a, window, first_out, behind - inside_from, 3, 1);
        if (s->size == 3 && !is_max) pool_inside(a, window, first_out, behind - inside_from, 3, 0);
    }
    for (int x = 0; x < a->out->columns; x++, out += a->out->pixel_stride) {
        if (x >= inside_from && x < behind) continue;
        const int left = x * s->stride - s->left;
        const int first = clamp(left, 0, in->columns), last = clamp(left + s->size, 0, in->columns);
        const int all_columns = smaller(left + s->size, in->columns + s->right) - left;
        const int inside = (last_row - first_row) * (last - first);
        const int outside = all_rows * all_columns - inside;
        const float *window = a->input + (ptrdiff_t)first_row * in->row_stride + (ptrdiff_t)first * channels;
        const float start = pooling_start(s, outside);
        for (int c = 0; c < channels; c += VECTOR_WIDTH) {
            int lanes = channels - c < VECTOR_WIDTH ? channels - c : VECTOR_WIDTH;
            vec v = vec_splat(start);
            for (int r = 0; r < last_row - first_row; r++) {
                const float *p = window + (ptrdiff_t)r * in->row_stride + c;
                if (lanes == VECTOR_WIDTH) {
                    if (is_max)
                        for (int i = first; i < last; i++, p += channels) v = vec_maximum(v, vec_load(p));
                    else
                        for (int i = first; i < last; i++, p += channels) v += vec_load(p) * share;
                } else {
                    for (int i = first; i < last; i++, p += channels) {
                        vec u = vec_load_partial(p, lanes);
                        v = is_max ? vec_maximum(v, u) : v + u * share;
                    }
                }
            }
            vec_store_partial(out + c, activate(s, v), lanes);
        }
    }
}

void ell_pooling(ell_pool *pool, const ell_layer_args *a) {
#if defined(__x86_64__) /* its caches hold what the layer before wrote */
    run_rows(pool, pooling_row, a, a->out->rows, elements(a->in));
#else
    ell_pool_run_back(shared(pool, elements(a->in)), pooling_row, a, a->out->rows);
#endif
}
