/* Method "winograd" with products in float16: as conv_winograd.h, with transformed input and weights rounded to float16
 * and twice as many of them in a vector. Products are float32, and so are transforms but that of a float16 input.
 * Strides of the transformed input are in float16; it takes half as many floats of the workspace. */
#define NEEDS_HALF
#define WINOGRAD_HALF
#include "ellopt_conv.h"
#include "half.h"

typedef ell_half winograd_element;

ELL_INLINE void winograd_store(winograd_element *p, vec v) {
    *(half_of_vec_unaligned *)p = __builtin_convertvector(v, half_of_vec);
}

#include "conv_winograd.h"
