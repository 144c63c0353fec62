#include "ellopt_layers.h"

#include <math.h>
#include <string.h>

#include "functions.h"
#include "vector.h"

static vec select_positive(vec x, vec positive, vec other) {
#if VECTOR_WIDTH > 1
    vec_mask mask = x > vec_zero();
    return (vec)(((vec_mask)positive & mask) | ((vec_mask)other & ~mask));
#else
    return x > 0.0f ? positive : other;
#endif
}

static float activate_scalar(const ell_step *step, float x) {
    switch (step->activation) {
    case ELL_ACTIVATION_RELU: return ell_max(0.0f, x); /* NaN stays NaN, here as in all others */
    case ELL_ACTIVATION_LEAKY_RELU: return x > 0.0f ? x : x * step->leaky_factor;
    case ELL_ACTIVATION_SIGMOID: return 1.0f / (1.0f + expf(-x));
    case ELL_ACTIVATION_TANH: return tanhf(x);
    case ELL_ACTIVATION_HARD_SIGMOID: return ell_min(1.0f, ell_max(0.0f, 0.2f * x + 0.5f));
    case ELL_ACTIVATION_HARD_TANH: return ell_min(1.0f, ell_max(-1.0f, x));
    case ELL_ACTIVATION_NONE:
    case ELL_ACTIVATION_PARAMETRIC_RELU: return x;
    default: return ell_function(step->activation, x, step->leaky_factor, step->beta);
    }
}

static vec activate(const ell_step *step, vec x) {
    switch (step->activation) {
    case ELL_ACTIVATION_NONE:
    case ELL_ACTIVATION_PARAMETRIC_RELU: return x;
    case ELL_ACTIVATION_RELU: return vec_max(vec_zero(), x);
    case ELL_ACTIVATION_LEAKY_RELU: return select_positive(x, x, x * vec_splat(step->leaky_factor));
    case ELL_ACTIVATION_HARD_SIGMOID:
        return vec_min(vec_splat(1.0f), vec_max(vec_zero(), x * vec_splat(0.2f) + vec_splat(0.5f)));
    case ELL_ACTIVATION_HARD_TANH: return vec_min(vec_splat(1.0f), vec_max(vec_splat(-1.0f), x));
    default: return ell_vector_function(step->activation, x, step->leaky_factor, step->beta);
    }
}

/* Splits work over the pool only where it is worth waking threads for it. */
static void run_rows(ell_pool *pool, ell_task task, const ell_layer_args *args, int count, size_t work) {
    ell_pool_run(work >= 16384 ? pool : 0, task, args, count);
}

static size_t elements(const ell_tensor *t) { return (size_t)t->rows * t->columns * t->channels; }

void ell_fill_border(const ell_tensor *t, float *data) {
    if (!(t->top | t->left | t->bottom | t->right)) return;
    float *p = data - (ptrdiff_t)t->top * t->row_stride - (ptrdiff_t)t->left * t->channels;
    size_t inside = (size_t)t->columns * t->channels;
    size_t first = (size_t)t->top * t->row_stride + (size_t)t->left * t->channels;
    size_t between = (size_t)(t->left + t->right) * t->channels;
    size_t last = (size_t)t->bottom * t->row_stride + (size_t)t->right * t->channels;
    for (size_t i = 0; i < first; i++) p[i] = t->fill;
    p += first + inside;
    for (int y = 1; y < t->rows; y++) {
        for (size_t i = 0; i < between; i++) p[i] = t->fill;
        p += between + inside;
    }
    for (size_t i = 0; i < last; i++) p[i] = t->fill;
}

/* --- elementwise ------------------------------------------------------------------------------------------------ */

static void elementwise_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const float *scale = s->weights == ELL_NONE ? 0 : a->weights + s->weights;
    const float *shift = s->shift == ELL_NONE ? 0 : a->weights + s->shift;
    /* Without numbers of each channel a row is one pixel of many channels. */
    const int pixels = scale ? a->out->columns : 1;
    const int columns = a->out->columns, channels = a->out->channels * (scale ? 1 : columns);
    const float *in = a->input + (ptrdiff_t)y * a->in->row_stride;
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
    const float *alpha = s->alpha == ELL_NONE ? 0 : a->weights + s->alpha + (size_t)y * columns * a->out->channels;
    for (int x = 0; x < pixels; x++) {
        for (int c = 0; c < channels; c += VECTOR_WIDTH) {
            int lanes = channels - c < VECTOR_WIDTH ? channels - c : VECTOR_WIDTH;
            vec v = vec_load_partial(in + c, lanes);
            if (scale) v = v * vec_load_partial(scale + c, lanes) + vec_load_partial(shift + c, lanes);
            if (alpha) v = select_positive(v, v, v * vec_load_partial(alpha + c, lanes));
            vec_store_partial(out + c, activate(s, v), lanes);
        }
        in += channels;
        out += channels;
        if (alpha) alpha += channels;
    }
}

void ell_elementwise(ell_pool *pool, const ell_layer_args *a) {
    run_rows(pool, elementwise_row, a, a->out->rows, elements(a->out));
}

/* --- binary operations ------------------------------------------------------------------------------------------ */

ELL_INLINE vec combined(const int mode, vec u, vec v) {
    return mode == ELL_ADD ? u + v : mode == ELL_SUBTRACT ? u - v : mode == ELL_MULTIPLY ? u * v : u / v;
}

/* `mode` and `plain`, no activation, are constants. */
ELL_INLINE void binary_line(const ell_step *s, const float *p, const float *q, float *out, int count, const int mode,
                            const int plain) {
    int i = 0;
    for (; i + VECTOR_WIDTH <= count; i += VECTOR_WIDTH) {
        const vec v = combined(mode, vec_load(p + i), vec_load(q + i));
        vec_store(out + i, plain ? v : activate(s, v));
    }
    if (i < count) {
        const int lanes = count - i;
        const vec v = combined(mode, vec_load_partial(p + i, lanes), vec_load_partial(q + i, lanes));
        vec_store_partial(out + i, activate(s, v), lanes);
    }
}

static void binary_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_step *s = a->step;
    const int count = a->out->columns * a->out->channels;
    const float *p = a->input + (ptrdiff_t)y * a->in->row_stride;
    const float *q = a->second + (ptrdiff_t)y * a->in2->row_stride;
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
    const int plain = s->activation == ELL_ACTIVATION_NONE;
    switch (s->mode) {
    case ELL_ADD:
        if (plain)
            binary_line(s, p, q, out, count, ELL_ADD, 1);
        else
            binary_line(s, p, q, out, count, ELL_ADD, 0);
        break;
    case ELL_SUBTRACT: binary_line(s, p, q, out, count, ELL_SUBTRACT, 0); break;
    case ELL_MULTIPLY:
        if (plain)
            binary_line(s, p, q, out, count, ELL_MULTIPLY, 1);
        else
            binary_line(s, p, q, out, count, ELL_MULTIPLY, 0);
        break;
    default: binary_line(s, p, q, out, count, ELL_DIVIDE, 0); break;
    }
}

void ell_binary(ell_pool *pool, const ell_layer_args *a) {
    run_rows(pool, binary_row, a, a->out->rows, elements(a->out));
}

/* --- pooling ---------------------------------------------------------------------------------------------------- */

static int smaller(int a, int b) { return a < b ? a : b; }

static int clamp(int value, int low, int high) { return value < low ? low : smaller(value, high); }

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

/* Output pixels first .. last - 1 of a row whose windows are inside the tensor; as many channels as a vector
 * has, or more; no activation. `in` is the window of pixel `first`. */
ELL_INLINE void pool_inside(const ell_layer_args *a, const float *in, float *out, int pixels, const int size,
                            const int is_max) {
    const int channels = a->in->channels, step = a->step->stride * channels;
    const ptrdiff_t row_stride = a->in->row_stride, ahead = a->step->stride * row_stride;
    for (int x = 0; x < pixels; x++, in += step, out += channels) {
        for (int c = 0; c < channels; c += VECTOR_WIDTH) {
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
        float *first_out = out + (ptrdiff_t)inside_from * channels;
        if (s->size == 2 && is_max) pool_inside(a, window, first_out, behind - inside_from, 2, 1);
        if (s->size == 2 && !is_max) pool_inside(a, window, first_out, behind - inside_from, 2, 0);
        if (s->size == 3 && is_max) pool_inside(a, window, first_out, behind - inside_from, 3, 1);
        if (s->size == 3 && !is_max) pool_inside(a, window, first_out, behind - inside_from, 3, 0);
    }
    for (int x = 0; x < a->out->columns; x++, out += channels) {
        if (x >= inside_from && x < behind) continue;
        const int left = x * s->stride - s->left;
        const int first = clamp(left, 0, in->columns), last = clamp(left + s->size, 0, in->columns);
        const int all_columns = smaller(left + s->size, in->columns + s->right) - left;
        const int inside = (last_row - first_row) * (last - first);
        const int outside = all_rows * all_columns - inside;
        const float *window = a->input + (ptrdiff_t)first_row * in->row_stride + (ptrdiff_t)first * channels;
        /* The border's part; of a mean in double, as borders may hold the largest number there is. */
        const float start = is_max    ? (outside ? s->outside : -INFINITY)
                            : outside ? (float)((double)s->outside * outside / ((double)s->size * s->size))
                                      : 0.0f;
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
    run_rows(pool, pooling_row, a, a->out->rows, elements(a->in));
}

/* --- fully connected -------------------------------------------------------------------------------------------- */

enum { OUTPUTS_AT_ONCE = 4, VECTORS_AT_ONCE = 2 };

static float sum_lanes(vec v) {
    float lanes[VECTOR_WIDTH], sum = 0.0f;
    vec_store(lanes, v);
    for (int i = 0; i < VECTOR_WIDTH; i++) sum += lanes[i];
    return sum;
}

/* Task: OUTPUTS_AT_ONCE outputs. Both outputs and rows of the matrix are in the order (row, column, channel). */
static void fully_connected_part(const void *context, int part, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const int count = a->in->columns * a->in->channels, all = a->in->rows * count;
    const int in_row = a->out->columns * a->out->channels, outputs = a->out->rows * in_row;
    const int first = part * OUTPUTS_AT_ONCE;
    const float *row[OUTPUTS_AT_ONCE];
    vec sums[OUTPUTS_AT_ONCE][VECTORS_AT_ONCE];
    for (int o = 0; o < OUTPUTS_AT_ONCE; o++) {
        /* Beyond the last output the last one is computed again. */
        int output = first + o < outputs ? first + o : outputs - 1;
        row[o] = a->weights + a->step->weights + (size_t)output * all;
        for (int v = 0; v < VECTORS_AT_ONCE; v++) sums[o][v] = vec_zero();
    }
    for (int y = 0; y < a->in->rows; y++) {
        const float *x = a->input + (ptrdiff_t)y * a->in->row_stride;
        int i = 0;
        for (; i + VECTORS_AT_ONCE * VECTOR_WIDTH <= count; i += VECTORS_AT_ONCE * VECTOR_WIDTH)
            for (int v = 0; v < VECTORS_AT_ONCE; v++) {
                vec u = vec_load(x + i + v * VECTOR_WIDTH);
                for (int o = 0; o < OUTPUTS_AT_ONCE; o++) sums[o][v] += u * vec_load(row[o] + i + v * VECTOR_WIDTH);
            }
        for (; i < count; i += VECTOR_WIDTH) {
            int lanes = count - i < VECTOR_WIDTH ? count - i : VECTOR_WIDTH;
            vec u = vec_load_partial(x + i, lanes);
            for (int o = 0; o < OUTPUTS_AT_ONCE; o++) sums[o][0] += u * vec_load_partial(row[o] + i, lanes);
        }
        for (int o = 0; o < OUTPUTS_AT_ONCE; o++) row[o] += count;
    }
    for (int o = 0; o < OUTPUTS_AT_ONCE && first + o < outputs; o++) {
        int output = first + o;
        float sum = a->weights[a->step->shift + output] + sum_lanes(sums[o][0] + sums[o][1]);
        a->output[(ptrdiff_t)(output / in_row) * a->out->row_stride + output % in_row] = activate_scalar(a->step, sum);
    }
}

void ell_fully_connected(ell_pool *pool, const ell_layer_args *a) {
    size_t outputs = elements(a->out), parts = (outputs + OUTPUTS_AT_ONCE - 1) / OUTPUTS_AT_ONCE;
    run_rows(pool, fully_connected_part, a, (int)parts, elements(a->in) * outputs);
}

/* --- softmax ---------------------------------------------------------------------------------------------------- */

void ell_softmax(ell_pool *pool, const ell_layer_args *a) {
    (void)pool;
    const int count = a->in->columns * a->in->channels;
    float largest = -INFINITY; /* NaN is no maximum, but its exponential, and so the sum, is NaN */
    double sum = 0.0;
    for (int y = 0; y < a->in->rows; y++) {
        const float *in = a->input + (ptrdiff_t)y * a->in->row_stride;
        for (int i = 0; i < count; i++) largest = in[i] > largest ? in[i] : largest;
    }
    for (int y = 0; y < a->in->rows; y++) {
        const float *in = a->input + (ptrdiff_t)y * a->in->row_stride;
        float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
        for (int i = 0; i < count; i++) sum += out[i] = expf(in[i] - largest);
    }
    const float share = (float)(1.0 / sum);
    for (int y = 0; y < a->in->rows; y++) {
        float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
        for (int i = 0; i < count; i++) out[i] *= share;
    }
}

/* --- copies ----------------------------------------------------------------------------------------------------- */

static void copy_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_copy *k = a->step->copy;
    const float *in = a->input + k->in_offset + y * k->in_row;
    float *out = a->output + k->out_offset + y * k->out_row;
    if (k->in_channel == 1 && k->out_channel == 1 && k->in_column == k->channels && k->out_column == k->channels) {
        memcpy(out, in, sizeof(float) * (size_t)k->columns * (size_t)k->channels);
        return;
    }
    for (int x = 0; x < k->columns; x++)
        for (int c = 0; c < k->channels; c++)
            out[x * k->out_column + c * k->out_channel] = in[x * k->in_column + c * k->in_channel];
}

void ell_copy_values(ell_pool *pool, const ell_layer_args *a) {
    const ell_copy *k = a->step->copy;
    if (k->clear)
        for (size_t i = 0; i < k->floats; i++) a->output[i] = k->value;
    run_rows(pool, copy_row, a, k->rows, (size_t)k->rows * k->columns * k->channels);
}
