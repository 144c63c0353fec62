#ifndef ELLOPT_SOFTMAX_H
#define ELLOPT_SOFTMAX_H

#include "ellopt_layers.h"

void ell_axis_softmax(ell_pool *pool, const ell_layer_args *a);

#endif
