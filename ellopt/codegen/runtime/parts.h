/* Loops that are cut into tasks: rows of neighbours, of which each thread has some. */
#ifndef ELLOPT_PARTS_H
#define ELLOPT_PARTS_H

#include "ellopt_layers.h"

typedef struct {
    const ell_layer_args *args;
    int rows, parts; /* what is shared out, and the tasks */
    int pieces;      /* of a line, each a row; 1 unless a loop says otherwise */
} general_work;

static inline int first_of(const general_work *work, int part) {
    return (int)((int64_t)work->rows * part / work->parts);
}

static inline void run_pieces(ell_pool *pool, ell_task task, const ell_layer_args *args, int rows, int pieces) {
    const size_t elements = (size_t)args->in->rows * (size_t)args->in->columns * (size_t)args->in->channels +
                            (size_t)args->out->rows * (size_t)args->out->columns * (size_t)args->out->channels;
    pool = ell_shared(pool, elements / 2);
    const general_work work = {args, rows * pieces, ell_tasks(pool), pieces};
    ell_pool_run(pool, task, &work, work.parts);
}

static inline void run_parts(ell_pool *pool, ell_task task, const ell_layer_args *args, int rows) {
    run_pieces(pool, task, args, rows, 1);
}

#endif
