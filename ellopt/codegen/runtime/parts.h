/* Loops that are cut into PARTS tasks. */
#ifndef ELLOPT_PARTS_H
#define ELLOPT_PARTS_H

#include "ellopt_layers.h"

enum { PARTS = 32 };

typedef struct {
    const ell_layer_args *args;
    int rows; /* what is shared out */
} general_work;

static inline int first_of(int rows, int part) { return (int)((int64_t)rows * part / PARTS); }

static inline void run_parts(ell_pool *pool, ell_task task, const ell_layer_args *args, int rows) {
    const general_work work = {args, rows};
    const size_t elements = (size_t)args->in->rows * (size_t)args->in->columns * (size_t)args->in->channels +
                            (size_t)args->out->rows * (size_t)args->out->columns * (size_t)args->out->channels;
    ell_pool_run(elements >= 32768 ? pool : 0, task, &work, PARTS);
}

#endif
