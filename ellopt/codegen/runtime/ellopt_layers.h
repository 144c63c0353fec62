/* The layers that are no convolutions. Each task computes one row, or one part, of the output. */
#ifndef ELLOPT_LAYERS_H
#define ELLOPT_LAYERS_H

#include "ellopt_network.h"

/* Whether `work`, elements that are read or written, is worth being shared by threads. */
static inline int ell_is_shared(const ell_pool *pool, size_t work) { return pool && work >= 1024; }

/* Tasks enough to even out cores of unequal speed; 1 where `work` is not shared. */
static inline int ell_tasks(const ell_pool *pool, size_t work) {
    return ell_is_shared(pool, work) ? 4 * ell_pool_threads(pool) : 1;
}

/* Shares tasks, or has all of them done by one thread. */
static inline void ell_share(ell_pool *pool, size_t work, ell_task task, const void *context, int count) {
    (ell_is_shared(pool, work) ? ell_pool_run : ell_pool_run_alone)(pool, task, context, count);
}

void ell_elementwise(ell_pool *pool, const ell_layer_args *args);
void ell_pooling(ell_pool *pool, const ell_layer_args *args);
void ell_fully_connected(ell_pool *pool, const ell_layer_args *args);
void ell_softmax(ell_pool *pool, const ell_layer_args *args);
void ell_binary(ell_pool *pool, const ell_layer_args *args);
void ell_copy_values(ell_pool *pool, const ell_layer_args *args);
void ell_general(ell_pool *pool, const ell_layer_args *args);
void ell_products(ell_pool *pool, const ell_layer_args *args);
void ell_fill_border(const ell_tensor *tensor, float *data, int part, int parts);
/* The same where the tensor, the input or the output is float16. Only where ELL_HALF is 1. */
void ell_half_elementwise(ell_pool *pool, const ell_layer_args *args);
void ell_half_pooling(ell_pool *pool, const ell_layer_args *args);
void ell_half_binary(ell_pool *pool, const ell_layer_args *args);
void ell_half_copy_values(ell_pool *pool, const ell_layer_args *args);
void ell_half_fill_border(const ell_tensor *tensor, float *data, int part, int parts);

#endif
