/* Elements moved: slices, transpositions, padding, repetition, nearest neighbours. */
#ifndef ELLOPT_REMAP_H
#define ELLOPT_REMAP_H

#include "ellopt_layers.h"

void ell_remap(ell_pool *pool, const ell_layer_args *a);

#endif
