/* Steps over tensors of any rank, as loops over dense memory: those of model/general.py. Each reads what it is to do
 * from its numbers. */
#include <math.h>
#include <string.h>

#include "ellopt_layers.h"
#include "ellopt_remap.h"
#include "ellopt_softmax.h"
#include "layer_rows.h"
#include "parts.h"
#include "vector.h"

enum { BLOCK = 64 };

/* --- broadcast --------------------------------------------------------------------------------------------------
 * numbers: operands, axes, the tensors of the operands, the counts of the axes, the strides of each operand. */

enum {
    ELL_B_ADD, ELL_B_SUBTRACT, ELL_B_MULTIPLY, ELL_B_DIVIDE, ELL_B_MAXIMUM, ELL_B_MINIMUM, ELL_B_POWER, ELL_B_PRELU,
    ELL_B_EQUAL, ELL_B_GREATER, ELL_B_LESS, ELL_B_WHERE
};

/* One line: y[i] of p[i], q[i] with their strides; those that are most frequent are loops of their own. */
#define LINE(expression)                                                                                 \
    if (ps == 1 && qs == 1)                                                                              \
        for (int i = 0; i < n; i++) { const float u = p[i], v = q[i]; y[i] = (expression); }             \
    else if (ps == 1 && qs == 0)                                                                         \
        for (int i = 0; i < n; i++) { const float u = p[i], v = q[0]; y[i] = (expression); }             \
    else                                                                                                 \
        for (int i = 0; i < n; i++) { const float u = p[i * ps], v = q[i * qs]; y[i] = (expression); }   \
    break

/* Lines are often as short as a few vectors, for which the compiler's own loops have too much before and behind. */
static void add_lines(const float *p, const float *q, float *y, int n) {
    int i = 0;
    for (; i + VECTOR_WIDTH <= n; i += VECTOR_WIDTH) vec_store(y + i, vec_load(p + i) + vec_load(q + i));
    for (; i < n; i++) y[i] = p[i] + q[i];
}

static void multiply_lines(const float *p, const float *q, float *y, int n) {
    int i = 0;
    for (; i + VECTOR_WIDTH <= n; i += VECTOR_WIDTH) vec_store(y + i, vec_load(p + i) * vec_load(q + i));
    for (; i < n; i++) y[i] = p[i] * q[i];
}

/* y = u p + v q */
static void mix_lines(const float *p, float u, const float *q, float v, float *y, int n) {
    int i = 0;
    for (; i + VECTOR_WIDTH <= n; i += VECTOR_WIDTH)
        vec_store(y + i, vec_splat(u) * vec_load(p + i) + vec_splat(v) * vec_load(q + i));
    for (; i < n; i++) y[i] = u * p[i] + v * q[i];
}

static void broadcast_line(int mode, const float *restrict p, ptrdiff_t ps, const float *restrict q, ptrdiff_t qs,
                           float *y, int n) {
    switch (mode) {
    case ELL_B_ADD: LINE(u + v);
    case ELL_B_SUBTRACT: LINE(u - v);
    case ELL_B_MULTIPLY: LINE(u * v);
    case ELL_B_DIVIDE: LINE(u / v);
    case ELL_B_MAXIMUM: LINE(v > u || v != v ? v : u);
    case ELL_B_MINIMUM: LINE(v < u || v != v ? v : u);
    case ELL_B_POWER: LINE(powf(u, v));
    case ELL_B_PRELU: LINE(u > 0.0f ? u : u * v);
    case ELL_B_EQUAL: LINE(u == v ? 1.0f : 0.0f);
    case ELL_B_GREATER: LINE(u > v ? 1.0f : 0.0f);
    default: LINE(u < v ? 1.0f : 0.0f);
    }
}

static void broadcast_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int operands = numbers[0], axes = numbers[1];
    const int32_t *counts = numbers + 2 + operands;
    const float *source[3] = {0};
    for (int k = 0; k < operands; k++) source[k] = ell_tensor_data(a->network, a->memory, numbers[2 + k]);
    const int all = counts[axes - 1];
    for (int index = first_of(work, part); index < first_of(work, part + 1); index++) {
        const float *p[3] = {source[0], source[1], source[2]};
        const int row = work->pieces == 1 ? index : index / work->pieces, piece = index - row * work->pieces;
        const int begin = (int)((int64_t)all * piece / work->pieces), n = (int)((int64_t)all * (piece + 1) / work->pieces) - begin;
        int rest = row;
        for (int axis = axes - 2; axis >= 0; axis--) {
            int i = rest;
            if (axis > 0) { /* lines are often too short to divide for */
                i = rest % counts[axis];
                rest /= counts[axis];
            }
            for (int k = 0; k < operands; k++) p[k] += (ptrdiff_t)i * counts[axes * (k + 1) + axis];
        }
        ptrdiff_t s[3] = {0};
        for (int k = 0; k < operands; k++) {
            s[k] = counts[axes * (k + 1) + axes - 1];
            p[k] += begin * s[k];
        }
        float *y = a->output + (ptrdiff_t)row * all + begin;
        if (operands == 3)
            for (int i = 0; i < n; i++) y[i] = p[0][i * s[0]] != 0.0f ? p[1][i * s[1]] : p[2][i * s[2]];
        else if (s[0] == 1 && s[1] == 1 && a->step->mode == ELL_B_MULTIPLY)
            multiply_lines(p[0], p[1], y, n);
        else if (s[0] == 1 && s[1] == 1 && a->step->mode == ELL_B_ADD)
            add_lines(p[0], p[1], y, n);
        else
            broadcast_line(a->step->mode, p[0], s[0], p[1], s[1], y, n);
    }
}

/* Pixels times numbers of their channels (squeeze and excite): lines of a few vectors. */
static void scale_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers, *counts = numbers + 4;
    const float *p = ell_tensor_data(a->network, a->memory, numbers[2]);
    const float *q = ell_tensor_data(a->network, a->memory, numbers[3]);
    const int n = counts[1];
    const ptrdiff_t p_step = counts[2], q_step = counts[4];
    const ptrdiff_t y_step = dense_pixels(a->out) ? n : a->out->pixel_stride;
    const pixel_part own = pixels_of(a->out, work->rows, part, work->parts);
    for (int run = 0; run < own.runs; run++)
        for (ptrdiff_t row = own.first + run * a->out->columns, last = row + own.count; row < last; row++)
            multiply_lines(p + row * p_step, q + row * q_step, a->output + row * y_step, n);
}

static void broadcast(ell_pool *pool, const ell_layer_args *a) {
    const int32_t *numbers = a->step->numbers, *counts = numbers + 2 + numbers[0];
    int rows = 1;
    for (int axis = 0; axis < numbers[1] - 1; axis++) rows *= counts[axis];
    const int scales = a->step->mode == ELL_B_MULTIPLY && numbers[1] == 2 && counts[3] == 1 && counts[5] == 1;
    if (scales) {
        run_parts(pool, scale_part, a, rows);
        return;
    }
    /* A few long lines are cut. */
    const int n = counts[numbers[1] - 1], tasks = ell_tasks(pool, (size_t)-1);
    run_pieces(pool, broadcast_part, a, rows, rows < tasks && n >= 16 * tasks ? (tasks + rows - 1) / rows : 1);
}

/* --- reduction --------------------------------------------------------------------------------------------------
 * numbers: axes, how many of them are kept, counts, strides. The last that is kept, `lane`, is worked on in blocks. */

enum { ELL_R_MEAN, ELL_R_SUM, ELL_R_MAXIMUM, ELL_R_MINIMUM };

static void reduce_block(int mode, double *sums, const float *in, ptrdiff_t stride, int n) {
    switch (mode) {
    case ELL_R_MAXIMUM:
        for (int i = 0; i < n; i++) {
            const double x = in[i * stride];
            sums[i] = x > sums[i] || x != x ? x : sums[i];
        }
        break;
    case ELL_R_MINIMUM:
        for (int i = 0; i < n; i++) {
            const double x = in[i * stride];
            sums[i] = x < sums[i] || x != x ? x : sums[i];
        }
        break;
    default:
        if (stride == 1)
            for (int i = 0; i < n; i++) sums[i] += in[i];
        else
            for (int i = 0; i < n; i++) sums[i] += in[i * stride];
    }
}

/* Vectors that registers hold beside what is added. */
#if defined __aarch64__ || defined __AVX512F__
enum { REDUCED_AT_ONCE = BLOCK / VECTOR_WIDTH < 16 ? BLOCK / VECTOR_WIDTH : 16 };
#else
enum { REDUCED_AT_ONCE = 8 };
#endif
enum { SUMMED = 32 };

/* `lines` lines of `vectors` vectors of neighbours, `stride` apart, all of them at once. Few floats are summed before doubles
 * are. */
ELL_INLINE void reduce_lines(const int mode, double *sums, const float *in, ptrdiff_t stride, int lines, const int vectors) {
    const int is_sum = mode != ELL_R_MAXIMUM && mode != ELL_R_MINIMUM;
    const vec sign = vec_splat(mode == ELL_R_MINIMUM ? -1.0f : 1.0f);
    for (int line = 0; line < lines; line += SUMMED) {
        const int behind = smaller(lines, line + SUMMED);
        float found[REDUCED_AT_ONCE * VECTOR_WIDTH];
        vec v[REDUCED_AT_ONCE];
        ELL_UNROLL for (int k = 0; k < vectors; k++) v[k] = is_sum ? vec_zero() : vec_splat(-INFINITY);
        for (int i = line; i < behind; i++, in += stride)
            ELL_UNROLL for (int k = 0; k < vectors; k++) {
                const vec u = vec_load(in + k * VECTOR_WIDTH);
                v[k] = is_sum ? v[k] + u : vec_maximum(v[k], u * sign);
            }
        ELL_UNROLL for (int k = 0; k < vectors; k++) vec_store(found + k * VECTOR_WIDTH, v[k] * sign);
        reduce_block(mode, sums, found, 1, vectors * VECTOR_WIDTH);
    }
}

/* Lines of `n` lanes; returns how many lanes of them, those that fill some vectors. */
ELL_INLINE int reduce_many(const int mode, double *sums, const float *in, ptrdiff_t stride, int lines, int n) {
    enum { MANY = REDUCED_AT_ONCE, FEW = (REDUCED_AT_ONCE + 3) / 4 };
    int lane = 0;
    for (; lane + MANY * VECTOR_WIDTH <= n; lane += MANY * VECTOR_WIDTH)
        reduce_lines(mode, sums + lane, in + lane, stride, lines, MANY);
    for (; lane + FEW * VECTOR_WIDTH <= n; lane += FEW * VECTOR_WIDTH)
        reduce_lines(mode, sums + lane, in + lane, stride, lines, FEW);
    return lane;
}

static int reduce_neighbours(int mode, double *sums, const float *in, ptrdiff_t stride, int lines, int n) {
    switch (mode) {
    case ELL_R_MAXIMUM: return reduce_many(ELL_R_MAXIMUM, sums, in, stride, lines, n);
    case ELL_R_MINIMUM: return reduce_many(ELL_R_MINIMUM, sums, in, stride, lines, n);
    default: return reduce_many(ELL_R_SUM, sums, in, stride, lines, n);
    }
}

/* The same of one line of neighbours, many of them at once. */
static void reduce_line(int mode, double *sum, const float *in, int n) {
    enum { AT_ONCE = 4 };
    int i = 0;
    if (mode == ELL_R_MAXIMUM || mode == ELL_R_MINIMUM) {
        const float sign = mode == ELL_R_MAXIMUM ? 1.0f : -1.0f;
        vec most[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) most[k] = vec_splat(-INFINITY);
        for (; i + AT_ONCE * VECTOR_WIDTH <= n; i += AT_ONCE * VECTOR_WIDTH)
            for (int k = 0; k < AT_ONCE; k++)
                most[k] = vec_maximum(most[k], vec_splat(sign) * vec_load(in + i + k * VECTOR_WIDTH));
        float lanes[AT_ONCE * VECTOR_WIDTH];
        for (int k = 0; k < AT_ONCE; k++) vec_store(lanes + k * VECTOR_WIDTH, vec_splat(sign) * most[k]);
        for (int k = 0; i && k < AT_ONCE * VECTOR_WIDTH; k++) reduce_block(mode, sum, lanes + k, 1, 1);
    } else {
        double sums[2 * AT_ONCE] = {0.0};
        for (; i + 2 * AT_ONCE <= n; i += 2 * AT_ONCE)
            for (int k = 0; k < 2 * AT_ONCE; k++) sums[k] += in[i + k];
        for (int k = 0; k < 2 * AT_ONCE; k++) sum[0] += sums[k];
    }
    for (; i < n; i++) reduce_block(mode, sum, in + i, 1, 1);
}

static void reduction_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int axes = numbers[0], kept = numbers[1], mode = a->step->mode;
    const int32_t *counts = numbers + 2, *strides = counts + axes;
    const int lanes = kept ? counts[kept - 1] : 1, lane_stride = kept ? strides[kept - 1] : 1;
    const int blocks = (lanes + BLOCK - 1) / BLOCK;
    int reduced = 1;
    for (int axis = kept; axis < axes; axis++) reduced *= counts[axis];
    const int inner = axes > kept ? counts[axes - 1] : 1, inner_stride = axes > kept ? strides[axes - 1] : 0;
    for (int row = first_of(work, part); row < first_of(work, part + 1); row++) {
        const int first = row % blocks * BLOCK, n = lanes - first < BLOCK ? lanes - first : BLOCK;
        int rest = row / blocks;
        const float *in = a->input + (ptrdiff_t)first * lane_stride;
        float *out = a->output + (ptrdiff_t)rest * lanes + first;
        for (int axis = kept - 2; axis >= 0; axis--) {
            in += (ptrdiff_t)(rest % counts[axis]) * strides[axis];
            rest /= counts[axis];
        }
        double sums[BLOCK];
        for (int i = 0; i < n; i++) sums[i] = mode == ELL_R_MAXIMUM ? -INFINITY : mode == ELL_R_MINIMUM ? INFINITY : 0.0;
        for (int r = 0; r < reduced / inner; r++) {
            const float *from = in;
            int left = r;
            for (int axis = axes - 2; axis >= kept; axis--) {
                from += (ptrdiff_t)(left % counts[axis]) * strides[axis];
                left /= counts[axis];
            }
            if (n == 1 && inner_stride == 1)
                reduce_line(mode, sums, from, inner);
            else {
                const int done = lane_stride == 1 ? reduce_neighbours(mode, sums, from, inner_stride, inner, n) : 0;
                for (int i = 0; i < inner && done < n; i++, from += inner_stride)
                    reduce_block(mode, sums + done, from + done * lane_stride, lane_stride, n - done);
            }
        }
        const double share = mode == ELL_R_MEAN ? 1.0 / reduced : 1.0;
        for (int i = 0; i < n; i++) out[i] = (float)(sums[i] * share);
    }
}

/* Sums of all pixels' channels: each part has pixels, which its thread has most likely written, and its own sums. */
typedef struct {
    const ell_layer_args *args;
    int pixels, parts, channels;
    double *sums; /* of each part on lines of its own */
} pixel_sums;

static double *sums_of(const pixel_sums *work, int part) {
    return work->sums + (ptrdiff_t)part * ((work->channels + 7) / 8 * 8);
}

static void sum_pixels(const void *context, int part, int worker) {
    (void)worker;
    const pixel_sums *work = (const pixel_sums *)context;
    const pixel_part own = pixels_of(work->args->in, work->pixels, part, work->parts);
    for (int c = 0; c < work->channels; c += BLOCK) {
        const int n = work->channels - c < BLOCK ? work->channels - c : BLOCK;
        double sums[BLOCK] = {0.0};
        for (int run = 0; run < own.runs; run++) {
            const float *in =
                work->args->input + (ptrdiff_t)(own.first + run * work->args->in->columns) * work->channels + c;
            for (int i = 0; i < own.count; i++, in += work->channels) reduce_block(ELL_R_SUM, sums, in, 1, n);
        }
        memcpy(sums_of(work, part) + c, sums, (size_t)n * sizeof(double));
    }
}

static void join_sums(const void *context, int index, int worker) {
    (void)index, (void)worker;
    const pixel_sums *work = (const pixel_sums *)context;
    const double share = work->args->step->mode == ELL_R_MEAN ? 1.0 / work->pixels : 1.0;
    double *sums = sums_of(work, 0);
    for (int part = 1; part < work->parts; part++) {
        const double *more = sums_of(work, part);
        for (int c = 0; c < work->channels; c++) sums[c] += more[c];
    }
    for (int c = 0; c < work->channels; c++) work->args->output[c] = (float)(sums[c] * share);
}

/* Returns whether it is of this kind. */
static int reduce_pixels(ell_pool *pool, const ell_layer_args *a) {
    const int32_t *numbers = a->step->numbers, *counts = numbers + 2, *strides = counts + 2;
    const int threads = ell_pool_threads(pool);
    if (numbers[0] != 2 || numbers[1] != 1 || strides[0] != 1 || strides[1] != counts[0]) return 0;
    if (a->step->mode != ELL_R_MEAN && a->step->mode != ELL_R_SUM) return 0;
    const pixel_sums work = {a, counts[1], threads, counts[0], pool ? (double *)ell_pool_scratch(pool) : 0};
    const size_t floats = 2 * (size_t)threads * (size_t)((counts[0] + 7) / 8 * 8);
    if (!ell_is_shared(pool, (size_t)counts[0] * (size_t)counts[1]) || floats > ELL_SCRATCH_FLOATS) return 0;
    ell_pool_run(pool, sum_pixels, &work, threads);
    ell_pool_run_alone(pool, join_sums, &work, 1);
    return 1;
}

static void reduction(ell_pool *pool, const ell_layer_args *a) {
    if (reduce_pixels(pool, a)) return;
    const int32_t *numbers = a->step->numbers;
    const int kept = numbers[1];
    int rows = kept ? (numbers[2 + kept - 1] + BLOCK - 1) / BLOCK : 1;
    for (int axis = 0; axis < kept - 1; axis++) rows *= numbers[2 + axis];
    run_parts(pool, reduction_part, a, rows);
}

/* --- weights along an axis --------------------------------------------------------------------------------------
 * numbers: outer, length, inner, outputs, taps, indices[outputs][taps]; the step's weights are as many. */

/* The sum of `taps` lines, `inner` elements apart: `count` elements of it. */
static void weighted_cells(const float *in, ptrdiff_t inner, const int32_t *index, const float *w, int taps, float *out, int count) {
    const float *p = in + index[0] * inner;
    if (taps == 2) {
        mix_lines(p, w[0], in + index[1] * inner, w[1], out, count);
        return;
    }
    for (int i = 0; i < count; i++) out[i] = w[0] * p[i];
    for (int t = 1; t < taps; t++) {
        p = in + index[t] * inner;
        for (int i = 0; i < count; i++) out[i] += w[t] * p[i];
    }
}

/* The same along a line, of outputs `first` to behind - 1. */
ELL_INLINE void weighted_line(const float *in, const int32_t *index, const float *w, int taps, float *out, int first, int behind) {
    for (int k = first; k < behind; k++) {
        float sum = w[k * taps] * in[index[k * taps]];
        for (int t = 1; t < taps; t++) sum += w[k * taps + t] * in[index[k * taps + t]];
        out[k] = sum;
    }
}

/* Where the axis is innermost and rows of the output lie one behind the other: lines of `outputs` from in and to out. */
static void weights_along(const general_work *work, int first, int behind) {
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int length = numbers[1], outputs = numbers[3], taps = numbers[4];
    const float *weights = a->weights + a->step->weights;
    for (int row = first; row < behind;) {
        const int line = row / outputs, from = row % outputs, to = smaller(outputs, from + behind - row);
        const float *in = a->input + (ptrdiff_t)line * length;
        float *out = a->output + (ptrdiff_t)line * outputs;
        if (taps == 2)
            weighted_line(in, numbers + 5, weights, 2, out, from, to);
        else
            weighted_line(in, numbers + 5, weights, taps, out, from, to);
        row += to - from;
    }
}

static void weights_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int length = numbers[1], inner = numbers[2], outputs = numbers[3], taps = numbers[4];
    const float *weights = a->weights + a->step->weights;
    const int first = first_of(work, part), behind = first_of(work, part + 1);
    /* Where rows of the output lie apart a line is one of them, or a pixel; of dense memory it is a line of one row. */
    const int row_elements = a->out->columns * a->out->channels, dense = a->out->row_stride == row_elements;
    if (inner == 1 && dense && dense_pixels(a->out)) {
        weights_along(work, first, behind);
        return;
    }
    const int in_row = dense ? work->rows : row_elements / inner;
    /* So it is of the input: pixels may lie apart, and a line is one of them, or a row of them. */
    const int dense_input = dense_pixels(a->in), pixel = inner == a->in->channels;
    const ptrdiff_t in_apart = dense_input ? inner : pixel ? a->in->pixel_stride : a->in->row_stride;
    const int whole = dense_pixels(a->out) && (dense_input || pixel);
    const int cells = whole ? inner : a->out->channels;
    const ptrdiff_t in_pixel = dense_input ? cells : a->in->pixel_stride, out_pixel = whole ? inner : a->out->pixel_stride;
    const ptrdiff_t apart = dense_pixels(a->out) ? inner : a->out->pixel_stride;
    float *out_row = a->output + (ptrdiff_t)(first / in_row) * a->out->row_stride;
    int column = first % in_row, output = first % outputs; /* lines are often too short to divide for each */
    const float *in = a->input + (first / outputs) * length * in_apart;
    for (int row = first; row < behind; row++, output++, column++) {
        if (column == in_row) {
            column = 0;
            out_row += a->out->row_stride;
        }
        if (output == outputs) {
            output = 0;
            in += length * in_apart;
        }
        const int32_t *index = numbers + 5 + output * taps;
        const float *w = weights + output * taps, *from = in;
        float *out = out_row + column * apart;
        for (int cell = 0; cell < inner; cell += cells, from += in_pixel, out += out_pixel)
            weighted_cells(from, in_apart, index, w, taps, out, cells);
    }
}

/* --- concatenation ----------------------------------------------------------------------------------------------
 * numbers: outer, elements of an outer part, inputs, and of each input its tensor, how many elements it has in each of
 * the outer parts, and where they begin there. Inputs that are not among them were written into their places. */

static void concatenation_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int inputs = numbers[2], first = first_of(work, part), behind = first_of(work, part + 1);
    /* Where pixels lie apart, what is joined are their channels. */
    const ptrdiff_t whole = dense_pixels(a->out) ? numbers[1] : a->out->pixel_stride;
    for (int k = 0; k < inputs; k++) {
        const int32_t *own = numbers + 3 + 3 * k;
        const float *in = ell_tensor_data(a->network, a->memory, own[0]);
        const ell_tensor *source = &a->network->tensor[own[0]];
        const int inner = own[1];
        const ptrdiff_t step = dense_pixels(source) ? inner : source->pixel_stride;
        float *out = a->output + own[2];
        for (int row = first; row < behind; row++)
            memcpy(out + row * whole, in + row * step, (size_t)inner * sizeof(float));
    }
}

/* --- pooling by windows of any form -----------------------------------------------------------------------------
 * numbers: window rows and columns, strides, dilations, padding above and to the left, for each output row and column
 * how many cells a mean counts. */

static void window_row(const void *context, int y, int worker) {
    (void)worker;
    const ell_layer_args *a = (const ell_layer_args *)context;
    const int32_t *m = a->step->numbers, *counted_rows = m + 8, *counted_columns = counted_rows + a->out->rows;
    const ell_tensor *in = a->in;
    const int channels = in->channels, is_max = a->step->mode == ELL_POOL_MAX;
    float *out = a->output + (ptrdiff_t)y * a->out->row_stride;
    for (int x = 0; x < a->out->columns; x++, out += a->out->pixel_stride) {
        const float share = is_max ? 1.0f : 1.0f / ((float)counted_rows[y] * (float)counted_columns[x]);
        for (int c = 0; c < channels; c += BLOCK) {
            const int n = channels - c < BLOCK ? channels - c : BLOCK;
            float sums[BLOCK];
            for (int i = 0; i < n; i++) sums[i] = is_max ? -INFINITY : 0.0f;
            for (int r = 0; r < m[0]; r++) {
                const int row = y * m[2] - m[6] + r * m[4];
                if (row < 0 || row >= in->rows) continue;
                for (int k = 0; k < m[1]; k++) {
                    const int column = x * m[3] - m[7] + k * m[5];
                    if (column < 0 || column >= in->columns) continue;
                    const float *p = a->input + (ptrdiff_t)row * in->row_stride + (ptrdiff_t)column * in->pixel_stride + c;
                    if (is_max)
                        for (int i = 0; i < n; i++) sums[i] = p[i] > sums[i] || p[i] != p[i] ? p[i] : sums[i];
                    else
                        for (int i = 0; i < n; i++) sums[i] += p[i] * share;
                }
            }
            memcpy(out + c, sums, (size_t)n * sizeof(float));
        }
    }
}

void ell_general(ell_pool *pool, const ell_layer_args *a) {
    const int32_t *numbers = a->step->numbers;
    switch (a->step->loops) {
    case ELL_REMAP: ell_remap(pool, a); break;
    case ELL_BROADCAST: broadcast(pool, a); break;
    case ELL_REDUCTION: reduction(pool, a); break;
    case ELL_AXIS_WEIGHTS: run_parts(pool, weights_part, a, numbers[0] * numbers[3]); break;
    case ELL_AXIS_SOFTMAX: ell_axis_softmax(pool, a); break;
    case ELL_CONCATENATION: run_parts(pool, concatenation_part, a, numbers[0]); break;
    default: ell_pool_run(pool, window_row, a, a->out->rows); break;
    }
}
