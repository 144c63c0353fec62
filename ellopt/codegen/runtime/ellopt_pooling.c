/* The largest or the mean value of windows. */
#include "pooling_rows.h"

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

static void pooling_task(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const int channels = a->in->channels, is_max = s->mode == ELL_POOL_MAX;
    const pooling_row row = pooling_row_of(a, y, channels >= VECTOR_WIDTH && s->activation == ELL_ACTIVATION_NONE);
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
    if (row.behind > row.inside_from) {
        const float *window = a->input + pooling_first_window(a, row);
        float *first_out = out + (ptrdiff_t)row.inside_from * a->out->pixel_stride;
        const int pixels = row.behind - row.inside_from;
        if (s->size == 2 && is_max) pool_inside(a, window, first_out, pixels, 2, 1);
        if (s->size == 2 && !is_max) pool_inside(a, window, first_out, pixels, 2, 0);
        if (s->size == 3 && is_max) pool_inside(a, window, first_out, pixels, 3, 1);
        if (s->size == 3 && !is_max) pool_inside(a, window, first_out, pixels, 3, 0);
    }
    for (int x = 0; x < a->out->columns; x++, out += a->out->pixel_stride) {
        if (x >= row.inside_from && x < row.behind) continue;
        const pooling_window cells = pooling_window_of(a, row, x);
        for (int c = 0; c < channels; c += VECTOR_WIDTH) {
            int lanes = channels - c < VECTOR_WIDTH ? channels - c : VECTOR_WIDTH;
            vec v = vec_splat(cells.start);
            for (int r = 0; r < row.rows; r++) {
                const float *p = a->input + cells.at + (ptrdiff_t)r * a->in->row_stride + c;
                if (lanes == VECTOR_WIDTH) {
                    if (is_max)
                        for (int i = 0; i < cells.columns; i++, p += channels) v = vec_maximum(v, vec_load(p));
                    else
                        for (int i = 0; i < cells.columns; i++, p += channels) v += vec_load(p) * row.share;
                } else {
                    for (int i = 0; i < cells.columns; i++, p += channels) {
                        vec u = vec_load_partial(p, lanes);
                        v = is_max ? vec_maximum(v, u) : v + u * row.share;
                    }
                }
            }
            vec_store_partial(out + c, activate(s, v), lanes);
        }
    }
}

void ell_pooling(ell_pool *pool, const ell_layer_args *a) {
#if ELL_LARGE_CACHES
    run_rows(pool, pooling_task, a, a->out->rows, elements(a->in));
#else
    ell_pool_run_back(shared(pool, elements(a->in)), pooling_task, a, a->out->rows);
#endif
}
