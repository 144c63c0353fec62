/* Between the functions that a library offers and the network behind them, which may need newer instructions. */
#ifndef ELLOPT_LIBRARY_CORE_H
#define ELLOPT_LIBRARY_CORE_H

#include <stddef.h>

#include "ellopt_pool.h"
#include "library_cpu.h"

/* Floats that a call on so many threads needs, without room to align; 0 if that is more than an address can say. */
size_t ell_core_floats(int threads);
/* Compute the network; all arguments are right. */
void ell_core_run(void *memory, ell_pool *pool, const float *input, float *output);

#endif
