/* The largest or the mean value of windows. */
#include "pooling_rows.h"

/* One vector of channels of a window of size x size cells, all inside the tensor. Of a mean each cell adds its share,
 * as the sum of cells may be more than a float can hold. */
ELL_INLINE vec pool_window(const float *p, ptrdiff_t row_stride, int pixel_stride, const int size, const int is_max) {
    vec cells[9];
    ELL_UNROLL for (int r = 0; r < size; r++) {
        ELL_UNROLL for (int i = 0; i < size; i++) cells[r * size + i] = vec_load(p + r * row_stride + i * pixel_stride);
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
ELL_INLINE void pool_vectors(const float *in, float *out, ptrdiff_t row_stride, int pixel_stride, const int size,
                             const int is_max, const int vectors) {
    vec v[16];
    const vec share = vec_splat(1.0f / ((float)size * (float)size));
    ELL_UNROLL for (int cell = 0; cell < size * size; cell++) {
        const float *p = in + cell / size * row_stride + cell % size * pixel_stride;
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
ELL_INLINE int pool_many(const float *in, float *out, ptrdiff_t row_stride, int pixel_stride, int channels,
                         const int size, const int is_max) {
    int c = 0;
    for (; c + 16 * VECTOR_WIDTH <= channels; c += 16 * VECTOR_WIDTH)
        pool_vectors(in + c, out + c, row_stride, pixel_stride, size, is_max, 16);
    for (; c + 8 * VECTOR_WIDTH <= channels; c += 8 * VECTOR_WIDTH)
        pool_vectors(in + c, out + c, row_stride, pixel_stride, size, is_max, 8);
    for (; c + 4 * VECTOR_WIDTH <= channels; c += 4 * VECTOR_WIDTH)
        pool_vectors(in + c, out + c, row_stride, pixel_stride, size, is_max, 4);
    return c;
}
#else
ELL_INLINE int pool_many(const float *in, float *out, ptrdiff_t row_stride, int pixel_stride, int channels,
                         const int size, const int is_max) {
    (void)in, (void)out, (void)row_stride, (void)pixel_stride, (void)channels, (void)size, (void)is_max;
    return 0;
}
#endif

/* Output pixels first .. last - 1 of a row whose windows are inside the tensor; as many channels as a vector
 * has, or more; no activation. `in` is the window of pixel `first`. */
ELL_INLINE void pool_inside(const ell_layer_args *a, const float *in, float *out, int pixels, const int size,
                            const int is_max) {
    const int channels = a->in->channels, pixel_stride = a->in->pixel_stride, step = a->step->stride * pixel_stride;
    const ptrdiff_t row_stride = a->in->row_stride, ahead = a->step->stride * row_stride;
    for (int x = 0; x < pixels; x++, in += step, out += a->out->pixel_stride) {
        for (int c = pool_many(in, out, row_stride, pixel_stride, channels, size, is_max); c < channels; c += VECTOR_WIDTH) {
            if (c % 16 == 0) /* a cache line of the next row's windows */
                for (int r = 0; r < size; r++) __builtin_prefetch(in + ahead + r * row_stride + c, 0, 2);
            const int at = c + VECTOR_WIDTH > channels ? channels - VECTOR_WIDTH : c; /* some channels once more */
            vec_store(out + at, pool_window(in + at, row_stride, pixel_stride, size, is_max));
        }
    }
}

/* Four sums or maxima at once, as each waits for the one before it, and windows may be as large as the tensor. */
ELL_INLINE vec pool_cells(const float *window, ptrdiff_t row_stride, ptrdiff_t pixel_stride, int rows, int columns, vec start,
                          vec share, const int is_max) {
    vec found[4];
    ELL_UNROLL for (int k = 0; k < 4; k++) found[k] = is_max || !k ? start : vec_zero();
    for (int r = 0; r < rows; r++, window += row_stride) {
        const float *p = window;
        int i = 0;
        for (; i + 4 <= columns; i += 4, p += 4 * pixel_stride) {
            ELL_UNROLL for (int k = 0; k < 4; k++) {
                const vec cell = vec_load(p + k * pixel_stride);
                found[k] = is_max ? vec_maximum(found[k], cell) : found[k] + cell * share;
            }
        }
        for (; i < columns; i++, p += pixel_stride)
            found[0] = is_max ? vec_maximum(found[0], vec_load(p)) : found[0] + vec_load(p) * share;
    }
    return is_max ? vec_maximum(vec_maximum(found[0], found[1]), vec_maximum(found[2], found[3]))
                  : (found[0] + found[1]) + (found[2] + found[3]);
}

/* Vectors that registers hold beside a cell. */
#if defined __aarch64__ || defined __AVX512F__
enum { POOLED_AT_ONCE = 16 };
#else
enum { POOLED_AT_ONCE = 8 };
#endif

/* What `vectors` vectors of channels next to each other have found, with the cells of a window: memory is read in order. A
 * row has sums of its own, as one sum of all cells would round more than is allowed. */
ELL_INLINE void pool_next(vec *found, const float *window, ptrdiff_t row_stride, ptrdiff_t pixel_stride, int rows, int columns,
                          vec share, const int is_max, const int vectors) {
    for (int r = 0; r < rows; r++, window += row_stride) {
        const float *p = window;
        vec v[POOLED_AT_ONCE];
        ELL_UNROLL for (int i = 0; i < vectors; i++) v[i] = is_max ? vec_splat(-INFINITY) : vec_zero();
        for (int x = 0; x < columns; x++, p += pixel_stride) {
            ELL_UNROLL for (int i = 0; i < vectors; i++) {
                const vec cell = vec_load(p + i * VECTOR_WIDTH);
                v[i] = is_max ? vec_maximum(v[i], cell) : v[i] + cell * share;
            }
        }
        ELL_UNROLL for (int i = 0; i < vectors; i++) found[i] = is_max ? vec_maximum(found[i], v[i]) : found[i] + v[i];
    }
}

/* How many vectors of channels from c on are found at once: all that are there, but for few of them. */
ELL_INLINE int pooled_at_once(int c, int behind) {
    const int left = (behind - c) / VECTOR_WIDTH;
    return left >= POOLED_AT_ONCE ? POOLED_AT_ONCE : left >= 8 ? 8 : left >= 4 ? 4 : 1;
}

/* Of one window the channels that a count of vectors in pooled_at_once() can have, but 1. */
ELL_INLINE void pool_window_next(vec *found, const float *window, ptrdiff_t row_stride, ptrdiff_t pixel_stride, int rows,
                                 int columns, vec share, const int is_max, int vectors) {
    if (vectors == 4)
        pool_next(found, window, row_stride, pixel_stride, rows, columns, share, is_max, 4);
    else if (vectors == 8)
        pool_next(found, window, row_stride, pixel_stride, rows, columns, share, is_max, 8);
    else
        pool_next(found, window, row_stride, pixel_stride, rows, columns, share, is_max, POOLED_AT_ONCE);
}

/* The same, whichever of both it is. */
static void pool_both(vec *found, const float *window, ptrdiff_t row_stride, ptrdiff_t pixel_stride, int rows, int columns,
                      vec share, int is_max, int vectors) {
    if (is_max)
        pool_window_next(found, window, row_stride, pixel_stride, rows, columns, share, 1, vectors);
    else
        pool_window_next(found, window, row_stride, pixel_stride, rows, columns, share, 0, vectors);
}

/* Tasks are rows. `parts`: how many the channels of one are cut into; 1 where windows have a loop of their own. `cuts`: how
 * many its columns are cut into, those of all rows one after the other. */
typedef struct {
    const ell_layer_args *args;
    int parts, cuts;
} pooling_work;

static void pooling_task(const void *context, int index, int worker) {
    (void)worker;
    const pooling_work *work = (const pooling_work *)context;
    const ell_layer_args *a = work->args;
    const ell_step *s = a->step;
    const int channels = a->in->channels, is_max = s->mode == ELL_POOL_MAX;
    const int y = index / work->parts % a->out->rows, part = index % work->parts, lines = (channels + LINE - 1) / LINE;
    const int first = lines * part / work->parts * LINE;
    const int behind = smaller(channels, lines * (part + 1) / work->parts * LINE);
    const pooling_row row = pooling_row_of(a, y, channels >= VECTOR_WIDTH && s->activation == ELL_ACTIVATION_NONE);
    const int cut = index / work->parts / a->out->rows;
    const int begin = a->out->columns * cut / work->cuts, end = a->out->columns * (cut + 1) / work->cuts;
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride + (ptrdiff_t)begin * a->out->pixel_stride;
    const int inside = row.inside_from > begin ? row.inside_from : begin, pixels = smaller(row.behind, end) - inside;
    if (pixels > 0) {
        const ptrdiff_t step = (ptrdiff_t)s->stride * a->in->pixel_stride;
        const float *window = a->input + pooling_first_window(a, row) + (inside - row.inside_from) * step;
        float *first_out = out + (ptrdiff_t)(inside - begin) * a->out->pixel_stride;
        if (s->size == 2 && is_max) pool_inside(a, window, first_out, pixels, 2, 1);
        if (s->size == 2 && !is_max) pool_inside(a, window, first_out, pixels, 2, 0);
        if (s->size == 3 && is_max) pool_inside(a, window, first_out, pixels, 3, 1);
        if (s->size == 3 && !is_max) pool_inside(a, window, first_out, pixels, 3, 0);
    }
    for (int x = begin; x < end; x++, out += a->out->pixel_stride) {
        if (x >= row.inside_from && x < row.behind) continue;
        const pooling_window cells = pooling_window_of(a, row, x);
        for (int c = first, vectors; c < behind; c += vectors * VECTOR_WIDTH) {
            vectors = pooled_at_once(c, behind);
            const int lanes = channels - c < VECTOR_WIDTH ? channels - c : VECTOR_WIDTH;
            const float *window = a->input + cells.at + c;
            const vec start = vec_splat(cells.start), share = vec_splat(row.share);
            if (vectors > 1) {
                vec found[POOLED_AT_ONCE];
                for (int i = 0; i < vectors; i++) found[i] = start;
                pool_both(found, window, a->in->row_stride, a->in->pixel_stride, row.rows, cells.columns, share, is_max, vectors);
                for (int i = 0; i < vectors; i++) vec_store(out + c + i * VECTOR_WIDTH, activate(s, found[i]));
                continue;
            }
            vec v = start;
            if (lanes == VECTOR_WIDTH && is_max) {
                v = pool_cells(window, a->in->row_stride, a->in->pixel_stride, row.rows, cells.columns, start, share, 1);
            } else if (lanes == VECTOR_WIDTH) {
                v = pool_cells(window, a->in->row_stride, a->in->pixel_stride, row.rows, cells.columns, start, share, 0);
            } else {
                for (int r = 0; r < row.rows; r++, window += a->in->row_stride) {
                    for (int i = 0; i < cells.columns; i++) {
                        vec u = vec_load_partial(window + (ptrdiff_t)i * a->in->pixel_stride, lanes);
                        v = is_max ? vec_maximum(v, u) : v + u * share;
                    }
                }
            }
            vec_store_partial(out + c, activate(s, v), lanes);
        }
    }
}

/* One window of everything: each thread has pixels that lie next to each other, which it has most likely written, and
 * `found` a line of channels for each. */
typedef struct {
    const ell_layer_args *args;
    int bands, line;
    float *found;
} pooling_bands;

static void pooling_band(const void *context, int band, int worker) {
    (void)worker;
    const pooling_bands *work = (const pooling_bands *)context;
    const ell_layer_args *a = work->args;
    const int channels = a->in->channels, is_max = a->step->mode == ELL_POOL_MAX;
    const pooling_row row = pooling_row_of(a, 0, 0);
    const pooling_window cells = pooling_window_of(a, row, 0);
    const int pixels = row.rows * cells.columns;
    const int first = (int)((int64_t)pixels * band / work->bands), behind = (int)((int64_t)pixels * (band + 1) / work->bands);
    const vec start = vec_splat(is_max || !band ? cells.start : 0.0f), share = vec_splat(row.share);
    float *found = work->found + (ptrdiff_t)band * work->line;
    for (int c = 0, vectors; c < channels; c += vectors * VECTOR_WIDTH) {
        vectors = pooled_at_once(c, channels);
        const int at = c + VECTOR_WIDTH > channels ? channels - VECTOR_WIDTH : c; /* some channels once more */
        vec v[POOLED_AT_ONCE];
        for (int i = 0; i < vectors; i++) v[i] = start;
        for (int pixel = first; pixel < behind;) {
            const int x = pixel % cells.columns, count = smaller(cells.columns - x, behind - pixel);
            const float *window = a->input + cells.at + pixel / cells.columns * (ptrdiff_t)a->in->row_stride +
                                  (ptrdiff_t)x * a->in->pixel_stride + at;
            if (vectors > 1)
                pool_both(v, window, 0, a->in->pixel_stride, 1, count, share, is_max, vectors);
            else if (is_max)
                v[0] = pool_cells(window, 0, a->in->pixel_stride, 1, count, v[0], share, 1);
            else
                v[0] = pool_cells(window, 0, a->in->pixel_stride, 1, count, v[0], share, 0);
            pixel += count;
        }
        for (int i = 0; i < vectors; i++) vec_store(found + at + i * VECTOR_WIDTH, v[i]);
    }
}

/* Of what the bands have found. */
static void pooling_join(const void *context, int index, int worker) {
    (void)index, (void)worker;
    const pooling_bands *work = (const pooling_bands *)context;
    const ell_layer_args *a = work->args;
    const int channels = a->in->channels, is_max = a->step->mode == ELL_POOL_MAX;
    for (int c = 0; c < channels; c += VECTOR_WIDTH) {
        const int lanes = smaller(channels - c, VECTOR_WIDTH);
        vec v = vec_load_partial(work->found + c, lanes);
        for (int band = 1; band < work->bands; band++) {
            const vec u = vec_load_partial(work->found + (ptrdiff_t)band * work->line + c, lanes);
            v = is_max ? vec_maximum(v, u) : v + u;
        }
        vec_store_partial(a->output + c, activate(a->step, v), lanes);
    }
}

void ell_pooling(ell_pool *pool, const ell_layer_args *a) {
    pooling_work work = {a, 1, 1};
    const int rows = a->out->rows, lines = (a->out->channels + LINE - 1) / LINE;
    const size_t cells = elements(a->in);
    const int threads = ell_pool_threads(pool), shared = ell_is_shared(pool, cells);
    if (shared && rows * a->out->columns == 1 && a->step->size > 3 && a->in->channels >= VECTOR_WIDTH &&
        threads * lines * LINE <= ELL_SCRATCH_FLOATS) {
        const pooling_bands bands = {a, threads, lines * LINE, ell_pool_scratch(pool)};
        ell_pool_run(pool, pooling_band, &bands, threads);
        ell_pool_run_alone(pool, pooling_join, &bands, 1);
        return;
    }
    /* Few rows of large windows: threads share the channels. */
    const int wanted = ell_tasks(pool, cells);
    if (shared && ELL_FEW_LONG_ROWS(rows, a->out->columns)) work.cuts = smaller(wanted, a->out->columns);
    else if (shared && a->step->size > 3 && rows < wanted) work.parts = smaller((wanted + rows - 1) / rows, lines);
#if ELL_LARGE_CACHES
    ell_share(pool, cells, pooling_task, &work, rows * work.parts * work.cuts);
#else /* the last rows first, which are most likely still in the cache */
    (shared || !pool ? ell_pool_run_back : ell_pool_run_alone)(pool, pooling_task, &work, rows * work.parts * work.cuts);
#endif
}
