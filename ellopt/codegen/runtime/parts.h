/* Loops that are cut into tasks: rows of neighbours, of which each thread has some. */
#ifndef ELLOPT_PARTS_H
#define ELLOPT_PARTS_H

#include "ellopt_layers.h"

typedef struct {
    const ell_layer_args *args;
    int rows, parts; /* what is shared out, and the tasks */
    int pieces;      /* of a line, each a row; 1 unless a loop says otherwise */
} general_work;

/* A part's pixels: runs of `count`, one behind `first` and one a row of the tensor further on. */
typedef struct {
    int first, count, runs;
} pixel_part;

/* Of a tensor's pixels, or of a row of `pixels` where it has another form: the same as of convolutions. */
static inline pixel_part pixels_of(const ell_tensor *t, int pixels, int part, int parts) {
    const int cut = t->rows * t->columns == pixels && ELL_FEW_LONG_ROWS(t->rows, t->columns);
    const int all = cut ? t->columns : pixels, first = (int)((int64_t)all * part / parts);
    return (pixel_part){first, (int)((int64_t)all * (part + 1) / parts) - first, cut ? t->rows : 1};
}

static inline int first_of(const general_work *work, int part) {
    return (int)((int64_t)work->rows * part / work->parts);
}

static inline void run_pieces(ell_pool *pool, ell_task task, const ell_layer_args *args, int rows, int pieces) {
    const size_t elements = (size_t)args->in->rows * (size_t)args->in->columns * (size_t)args->in->channels +
                            (size_t)args->out->rows * (size_t)args->out->columns * (size_t)args->out->channels;
    const general_work work = {args, rows * pieces, ell_tasks(pool, elements / 2), pieces};
    ell_pool_run(pool, task, &work, work.parts);
}

static inline void run_parts(ell_pool *pool, ell_task task, const ell_layer_args *args, int rows) {
    run_pieces(pool, task, args, rows, 1);
}

#endif
