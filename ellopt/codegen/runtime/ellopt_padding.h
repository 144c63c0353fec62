/* The input of a convolution with the border around it, where the tensor has none. */
#ifndef ELLOPT_PADDING_H
#define ELLOPT_PADDING_H

#include "ellopt_network.h"

typedef struct {
    const ell_step *step; /* the convolution */
    const ell_tensor *in;
    const float *input; /* its element (0, 0, 0) */
    float *to;          /* rows of the border's left, the columns and the border's right, dense */
    int first;          /* row of the input that is put first; above it if negative */
    int half_input, half; /* whether the input is float16, and what is put; float16 is not made float32 */
} ell_padding;

/* The rows of one band. */
void ell_put_border(ell_pool *pool, const ell_padding *padding);

#endif
