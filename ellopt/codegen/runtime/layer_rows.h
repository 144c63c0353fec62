/* Layers that are no convolutions, row by row: the activation that a step has, and rows shared by threads. */
#ifndef ELLOPT_LAYER_ROWS_H
#define ELLOPT_LAYER_ROWS_H

#include <math.h>

#include "ellopt_layers.h"
#include "functions.h"
#include "vector.h"

static inline vec select_positive(vec x, vec positive, vec other) {
#if VECTOR_WIDTH > 1
    vec_mask mask = x > vec_zero();
    return (vec)(((vec_mask)positive & mask) | ((vec_mask)other & ~mask));
#else
    return x > 0.0f ? positive : other;
#endif
}

static inline float activate_scalar(const ell_step *step, float x) {
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

static inline vec activate(const ell_step *step, vec x) {
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

static inline void run_rows(ell_pool *pool, ell_task task, const ell_layer_args *args, int count, size_t work) {
    ell_share(pool, work, task, args, count);
}

/* Rows that are cut into chunks where they are fewer than tasks, or long: of `count` elements or pixels a chunk has whole
 * units. Of long rows the chunks that are columns of each other come one after the other. */
typedef struct {
    const ell_layer_args *args;
    int chunks, rows, by_columns;
} cut_rows;

static inline int row_of(const cut_rows *cut, int index) {
    return cut->by_columns ? index % cut->rows : index / cut->chunks;
}

static inline int chunk_of(const cut_rows *cut, int index) {
    return cut->by_columns ? index / cut->rows : index % cut->chunks;
}

static inline int chunk_begin(int count, int unit, int chunk, int chunks) {
    const int begin = (int)((int64_t)((count + unit - 1) / unit) * chunk / chunks) * unit;
    return begin < count ? begin : count;
}

static inline void run_cut_rows(ell_pool *pool, ell_task task, const ell_layer_args *args, int rows, size_t work) {
    const int tasks = ell_tasks(pool, work);
    const int by_columns = tasks > 1 && ELL_FEW_LONG_ROWS(args->out->rows, args->out->columns);
    const int most = by_columns ? ell_pool_threads(pool) : 1, needed = rows < tasks ? (tasks + rows - 1) / rows : 1;
    const cut_rows cut = {args, needed > most ? needed : most, rows, by_columns};
    ell_share(pool, work, task, &cut, rows * cut.chunks);
}

enum { LINE = 16 }; /* elements on a line of cache */

static inline size_t elements(const ell_tensor *t) { return (size_t)t->rows * t->columns * t->channels; }

/* Whether the pixels of a row lie one behind the other. */
static inline int dense_pixels(const ell_tensor *t) { return t->pixel_stride == t->channels; }

static inline int smaller(int a, int b) { return a < b ? a : b; }

static inline int clamp(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

#endif
