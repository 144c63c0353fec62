/* Softmax along an axis: the step ELL_AXIS_SOFTMAX of ellopt_general.c.
 *
 * numbers: outer, length, inner, whether its logarithm is wanted. */
#include "ellopt_softmax.h"
#include "layer_rows.h"
#include "parts.h"

enum { BLOCK = 64 };

/* exp(x) of a line, in place. */
static void exponentials(float *x, int n) {
    int i = 0;
    for (; i + VECTOR_WIDTH <= n; i += VECTOR_WIDTH)
        vec_store(x + i, ell_vector_function(ELL_ACTIVATION_EXPONENTIAL, vec_load(x + i), 0.0f, 0.0f));
    for (; i < n; i++) x[i] = expf(x[i]);
}

/* The axis is innermost: one line. NaN is no maximum, but its exponential, and so the sum, is NaN. */
static void softmax_line(const float *in, float *out, int length, int logarithm) {
    vec largest = vec_splat(-INFINITY);
    int k = 0;
    for (; k + VECTOR_WIDTH <= length; k += VECTOR_WIDTH) largest = vec_max(vec_load(in + k), largest);
    float most = -INFINITY;
    for (int lane = 0; lane < VECTOR_WIDTH; lane++) most = ell_max(ELL_LANE(largest, lane), most);
    for (; k < length; k++) most = ell_max(in[k], most);
    double sum = 0.0;
    for (int first = 0; first < length; first += BLOCK) {
        const int n = smaller(BLOCK, length - first);
        float found[BLOCK];
        for (int i = 0; i < n; i++) found[i] = in[first + i] - most;
        if (logarithm) memcpy(out + first, found, (size_t)n * sizeof(float));
        exponentials(found, n);
        for (int i = 0; i < n; i++) sum += found[i];
        if (!logarithm) memcpy(out + first, found, (size_t)n * sizeof(float));
    }
    const float rest = (float)(logarithm ? log(sum) : 1.0 / sum);
    if (logarithm)
        for (int i = 0; i < length; i++) out[i] -= rest;
    else
        for (int i = 0; i < length; i++) out[i] *= rest;
}

/* Lines of `n` elements, `inner` apart, side by side. */
static void softmax_lines(const float *in, float *out, ptrdiff_t inner, int n, int length, int logarithm) {
    float most[BLOCK], found[BLOCK];
    double sums[BLOCK];
    for (int i = 0; i < n; i++) most[i] = -INFINITY, sums[i] = 0.0;
    for (int k = 0; k < length; k++)
        for (int i = 0; i < n; i++) most[i] = ell_max(in[k * inner + i], most[i]);
    for (int k = 0; k < length; k++) {
        float *y = out + k * inner;
        for (int i = 0; i < n; i++) found[i] = in[k * inner + i] - most[i];
        if (logarithm) memcpy(y, found, (size_t)n * sizeof(float));
        exponentials(found, n);
        for (int i = 0; i < n; i++) sums[i] += found[i];
        if (!logarithm) memcpy(y, found, (size_t)n * sizeof(float));
    }
    for (int i = 0; i < n; i++) found[i] = (float)(logarithm ? log(sums[i]) : 1.0 / sums[i]);
    for (int k = 0; k < length; k++) {
        float *y = out + k * inner;
        if (logarithm)
            for (int i = 0; i < n; i++) y[i] -= found[i];
        else
            for (int i = 0; i < n; i++) y[i] *= found[i];
    }
}

/* A row is a block of the inner axis. */
static void softmax_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int length = numbers[1], inner = numbers[2], logarithm = numbers[3], blocks = (inner + BLOCK - 1) / BLOCK;
    for (int row = first_of(work, part); row < first_of(work, part + 1); row++) {
        const int first = row % blocks * BLOCK, n = smaller(BLOCK, inner - first);
        const ptrdiff_t start = (ptrdiff_t)(row / blocks) * length * inner + first;
        if (inner == 1)
            softmax_line(a->input + start, a->output + start, length, logarithm);
        else
            softmax_lines(a->input + start, a->output + start, inner, n, length, logarithm);
    }
}

void ell_axis_softmax(ell_pool *pool, const ell_layer_args *a) {
    const int32_t *numbers = a->step->numbers;
    run_parts(pool, softmax_part, a, numbers[0] * ((numbers[2] + BLOCK - 1) / BLOCK));
}
