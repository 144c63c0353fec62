/* The layers that are no convolutions. Each task computes one row, or one part, of the output. */
#ifndef ELLOPT_LAYERS_H
#define ELLOPT_LAYERS_H

#include "ellopt_network.h"

/* The pool where `work`, elements that are read or written, is worth a meeting of its threads. */
static inline ell_pool *ell_shared(ell_pool *pool, size_t work) { return work >= 8192 ? pool : 0; }

/* Tasks enough to even out cores of unequal speed. */
static inline int ell_tasks(const ell_pool *pool) { return pool ? 4 * ell_pool_threads(pool) : 1; }

void ell_elementwise(ell_pool *pool, const ell_layer_args *args);
void ell_pooling(ell_pool *pool, const ell_layer_args *args);
void ell_fully_connected(ell_pool *pool, const ell_layer_args *args);
void ell_softmax(ell_pool *pool, const ell_layer_args *args);
void ell_binary(ell_pool *pool, const ell_layer_args *args);
void ell_copy_values(ell_pool *pool, const ell_layer_args *args);
void ell_general(ell_pool *pool, const ell_layer_args *args);
void ell_products(ell_pool *pool, const ell_layer_args *args);
void ell_fill_border(const ell_tensor *tensor, float *data);
/* The same where the tensor, the input or the output is float16. Only where ELL_HALF is 1. */
void ell_half_elementwise(ell_pool *pool, const ell_layer_args *args);
void ell_half_pooling(ell_pool *pool, const ell_layer_args *args);
void ell_half_binary(ell_pool *pool, const ell_layer_args *args);
void ell_half_copy_values(ell_pool *pool, const ell_layer_args *args);
void ell_half_fill_border(const ell_tensor *tensor, float *data);

#endif
