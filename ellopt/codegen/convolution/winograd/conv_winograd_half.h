/* Method "winograd" with products in float16: as conv_winograd.h, with transformed input and weights rounded to float16
 * and twice as many of them in a vector. Products and their transform are float16, too; the transform of the input where it
 * is. Strides in the workspace are in float16: both take half as many floats of it. */
#define NEEDS_HALF
#define WINOGRAD_HALF
#include "ellopt_conv.h"
#include "half_epilogue.h"

typedef ell_half winograd_element, winograd_product;
#define WINOGRAD_LANES HALF_WIDTH

ELL_INLINE void winograd_store(winograd_element *p, vec v) {
    *(half_of_vec_unaligned *)p = __builtin_convertvector(v, half_of_vec);
}

#include "conv_winograd_half_output.h"
#include "conv_winograd.h"
