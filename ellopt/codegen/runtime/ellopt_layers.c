#include "ellopt_layers.h"

#include <math.h>
#include <string.h>

#include "layer_rows.h"

#define FILL_BORDER fill_border
#define FILL_ELEMENT float
#include "fill_border.h"

void ell_fill_border(const ell_tensor *t, float *data, int part, int parts) { fill_border(t, data, part, parts); }

/* --- elementwise ------------------------------------------------------------------------------------------------ */

static void elementwise_task(const void *context, int index, int worker) {
    (void)worker;
    const cut_rows *cut = (const cut_rows *)context;
    const ell_layer_args *a = cut->args;
    const ell_step *s = a->step;
    const int y = row_of(cut, index), chunk = chunk_of(cut, index);
    const float *scale = s->weights == ELL_NONE ? 0 : a->weights + s->weights;
    const float *shift = s->shift == ELL_NONE ? 0 : a->weights + s->shift;
    /* Without numbers of each channel a row of neighbours is one pixel of many channels. */
    const int one = !scale && dense_pixels(a->in) && dense_pixels(a->out);
    const int columns = a->out->columns, count = one ? columns * a->out->channels : columns, unit = one ? LINE : 1;
    const int first = chunk_begin(count, unit, chunk, cut->chunks), behind = chunk_begin(count, unit, chunk + 1, cut->chunks);
    const int pixels = one ? 1 : behind - first, channels = one ? behind - first : a->out->channels;
    const ptrdiff_t begin = first;
    const float *in = a->input + (ptrdiff_t)y * a->in->row_stride + begin * (one ? 1 : a->in->pixel_stride);
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride + begin * (one ? 1 : a->out->pixel_stride);
    const float *alpha = s->alpha == ELL_NONE ? 0 : a->weights + s->alpha + (size_t)y * columns * a->out->channels +
                                                        begin * (one ? 1 : a->out->channels);
    for (int x = 0; x < pixels; x++) {
        for (int c = 0; c < channels; c += VECTOR_WIDTH) {
            int lanes = channels - c < VECTOR_WIDTH ? channels - c : VECTOR_WIDTH;
            vec v = vec_load_partial(in + c, lanes);
            if (scale) v = v * vec_load_partial(scale + c, lanes) + vec_load_partial(shift + c, lanes);
            if (alpha) v = select_positive(v, v, v * vec_load_partial(alpha + c, lanes));
            vec_store_partial(out + c, activate(s, v), lanes);
        }
        in += a->in->pixel_stride;
        out += a->out->pixel_stride;
        if (alpha) alpha += channels;
    }
}

void ell_elementwise(ell_pool *pool, const ell_layer_args *a) {
    run_cut_rows(pool, elementwise_task, a, a->out->rows, elements(a->out));
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

static void binary_cells(const ell_step *s, const float *p, const float *q, float *out, int count) {
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

static void binary_task(const void *context, int index, int worker) {
    (void)worker;
    const cut_rows *cut = (const cut_rows *)context;
    const ell_layer_args *a = cut->args;
    const int y = row_of(cut, index), chunk = chunk_of(cut, index);
    const int one = dense_pixels(a->in) && dense_pixels(a->in2) && dense_pixels(a->out), channels = a->out->channels;
    const int all = one ? a->out->columns * channels : a->out->columns, unit = one ? LINE : 1;
    const int first = chunk_begin(all, unit, chunk, cut->chunks), behind = chunk_begin(all, unit, chunk + 1, cut->chunks);
    const ptrdiff_t begin = first;
    const float *p = a->input + (ptrdiff_t)y * a->in->row_stride + begin * (one ? 1 : a->in->pixel_stride);
    const float *q = a->second + (ptrdiff_t)y * a->in2->row_stride + begin * (one ? 1 : a->in2->pixel_stride);
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride + begin * (one ? 1 : a->out->pixel_stride);
    const int lines = one ? 1 : behind - first, count = one ? behind - first : channels;
    for (int x = 0; x < lines; x++, p += a->in->pixel_stride, q += a->in2->pixel_stride, out += a->out->pixel_stride)
        binary_cells(a->step, p, q, out, count);
}

void ell_binary(ell_pool *pool, const ell_layer_args *a) {
    run_cut_rows(pool, binary_task, a, a->out->rows, elements(a->out));
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

static void softmax_task(const void *context, int index, int worker) {
    (void)index, (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
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

void ell_softmax(ell_pool *pool, const ell_layer_args *a) { ell_pool_run_alone(pool, softmax_task, a, 1); }

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

static void clear(const void *context, int index, int worker) {
    (void)index, (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const ell_copy *k = a->step->copy;
    for (size_t i = 0; i < k->floats; i++) a->output[i] = k->value;
}

void ell_copy_values(ell_pool *pool, const ell_layer_args *a) {
    const ell_copy *k = a->step->copy;
    if (k->clear) ell_pool_run_alone(pool, clear, a, 1);
    run_rows(pool, copy_row, a, k->rows, (size_t)k->rows * k->columns * k->channels);
}
