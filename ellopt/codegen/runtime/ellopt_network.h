/* The tables of a generated network, and the function that computes it.
 *
 * Offsets and strides are in floats. Tables are constant and hold no weights: weights are one array of floats, in
 * which every section starts at a multiple of 64 bytes. */
#ifndef ELLOPT_NETWORK_H
#define ELLOPT_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "ellopt_conv.h"
#include "ellopt_pool.h"

enum { ELL_ARENA, ELL_INPUT, ELL_OUTPUT, ELL_WEIGHTS }; /* where a tensor lies */

/* rows x columns x channels, channels innermost; offset is that of element (0, 0, 0). Cells around it (top rows
 * above, ...) belong to the buffer: who writes the tensor sets them to fill. pixel_stride is channels, but where a
 * step that can writes a slice of another tensor. */
typedef struct {
    int place;
    size_t offset;
    int rows, columns, channels, row_stride, pixel_stride;
    int top, left, bottom, right;
    float fill;
    int may_be_half; /* whether all steps that write or read it can work on float16 */
    int whole;       /* of a slice: the tensor that it is a part of, and from which element on; else -1 */
    size_t start;
} ell_tensor;

enum { ELL_POOL_MAX, ELL_POOL_MEAN };
/* The loops of ellopt_general.c and ellopt_products.c. */
enum {
    ELL_REMAP,
    ELL_BROADCAST,
    ELL_REDUCTION,
    ELL_AXIS_WEIGHTS,
    ELL_AXIS_SOFTMAX,
    ELL_AXIS_EXTREME,
    ELL_MATRIX_PRODUCT,
    ELL_CONCATENATION,
    ELL_WINDOW_POOLING
};
enum { ELL_ADD, ELL_SUBTRACT, ELL_MULTIPLY, ELL_DIVIDE };
#define ELL_ACTIVATION_PARAMETRIC_RELU 7
#define ELL_NONE ((size_t)-1)

struct ell_layer_args;
typedef void (*ell_layer_fn)(ell_pool *pool, const struct ell_layer_args *args);

/* What a step has for float16. */
#if ELL_HALF
#define ELL_WITH_HALVES(function) function
#else
#define ELL_WITH_HALVES(function) 0
#endif

typedef struct {
    ell_layer_fn run;       /* null: a convolution, whose choice names the kernel */
    ell_layer_fn run_halves; /* the same where a tensor is float16; null where none can be */
    int activation, mode; /* mode: which pooling or operation */
    float leaky_factor, beta;
    int input, second, output; /* tensors; second: residual or second operand, -1 if none */
    size_t weights, shift, alpha; /* in the weights; ELL_NONE if none. shift: bias; weights: scale or matrix */
    int convolution;              /* which convolution layer, -1 if none */
    int size, stride;             /* pooling window; of convolutions its rows */
    int top, left, bottom, right; /* cells around the input, of value `outside`, that windows reach */
    float outside;
    int rows;                     /* convolution: rows of output of a band */
    size_t padded;                /* convolution: floats of workspace for a band's input with its border; 0: it has it */
    const struct ell_copy *copy;
    int loops;              /* which of the ELL_ loops below, of ell_general */
    const int32_t *numbers; /* what they are told */
} ell_step;

typedef struct ell_copy {
    int rows, columns, channels;
    ptrdiff_t in_row, in_column, in_channel, in_offset;
    ptrdiff_t out_row, out_column, out_channel, out_offset;
    int clear; /* fill the whole output buffer of `floats` with `value` first */
    size_t floats;
    float value;
} ell_copy;

/* What a step that is no convolution works on. */
typedef struct ell_layer_args {
    const ell_step *step;
    const ell_tensor *in, *in2, *out;
    const float *input, *second;
    float *output;
    const float *weights; /* all weights of the network */
    const struct ell_network *network;
    const struct ell_memory *memory;
    int half_input, half_second, half_output; /* whether these are float16 */
} ell_layer_args;

/* One way to compute a convolution layer: its function and its weights. */
typedef struct {
    ell_conv_fn function;
    size_t weights;
    size_t shared_workspace, thread_workspace; /* floats: shared + threads * thread */
    int half; /* whether it can read and write float16 tensors */
} ell_variant;

typedef struct {
    int first_variant, variants;
    size_t bias;
} ell_layer;

/* What is computed next: a band of a step, -1 for all. */
typedef struct {
    int step, band;
} ell_turn;

typedef struct ell_network {
    int steps, layers, tensors, variants, turns;
    const ell_step *step;
    const ell_layer *layer;
    const ell_tensor *tensor;
    const ell_variant *variant;
    const ell_turn *turn;
    size_t arena_floats, weight_floats;
    int input, output; /* tensors */
} ell_network;

/* How a convolution layer is computed: variant counts from its first. */
typedef struct {
    int variant, parallel;
    int separable_block_depth, nonseparable_filter_block_depth, nonseparable_channel_depth;
} ell_choice;

typedef struct ell_memory {
    const float *weights;
    float *arena, *workspace; /* 64-byte aligned */
    const float *input;
    float *output;
    ell_pool *pool; /* null: one thread */
} ell_memory;

/* Of each tensor whether it is kept in float16: where all layers that write or read it are computed in it. A tensor takes
 * half of its memory then; element (0, 0, 0) stays where it is, and distances are as many elements. `half` has room for
 * each tensor. */
void ell_find_halves(const ell_network *network, const ell_choice *choice, unsigned char *half);

/* Compute step `index`. `choice` has one entry for each convolution layer; `half` is what ell_find_halves found; `pool`
 * serves steps that are no convolutions, null for one thread. */
void ell_run_step(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                  const unsigned char *half, ell_pool *pool, int index);

/* A band of it, or all of it. Bands of a step come one after the other. */
void ell_run_turn(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                  const unsigned char *half, ell_pool *pool, const ell_turn *turn);

/* Compute the whole network. Other steps than convolutions use the pool if any convolution does. */
void ell_run(const ell_network *network, const ell_memory *memory, const ell_choice *choice);

/* The same step by step, no bands by turns: after(watch, step) is called by the calling thread behind each. */
void ell_run_steps(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                   const unsigned char *half, void (*after)(void *watch, int step), void *watch);

/* Floats of workspace that the choice needs with so many threads. */
size_t ell_workspace_floats(const ell_network *network, const ell_choice *choice, int threads);

ell_pool *ell_common_pool(const ell_network *network, const ell_memory *memory, const ell_choice *choice);
float *ell_tensor_data(const ell_network *network, const ell_memory *memory, int tensor);
/* The same of a tensor that is float16, if `half`. */
float *ell_tensor_data_of(const ell_network *network, const ell_memory *memory, int tensor, int half);

#endif
