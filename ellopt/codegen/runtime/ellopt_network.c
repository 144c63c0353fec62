#include "ellopt_network.h"

#include <string.h>

#include "ellopt_layers.h"

float *ell_tensor_data(const ell_network *network, const ell_memory *memory, int tensor) {
    const ell_tensor *t = &network->tensor[tensor];
    switch (t->place) {
    case ELL_INPUT: return (float *)(uintptr_t)memory->input + t->offset;
    case ELL_OUTPUT: return memory->output + t->offset;
    case ELL_WEIGHTS: return (float *)(uintptr_t)memory->weights + t->offset;
    default: return memory->arena + t->offset;
    }
}

float *ell_tensor_data_of(const ell_network *network, const ell_memory *memory, int tensor, int half) {
    float *data = ell_tensor_data(network, memory, tensor);
    const size_t start = network->tensor[tensor].start;
    return half ? (float *)((uint16_t *)(data - start) + start) : data;
}

static const ell_variant *variant_of(const ell_network *network, const ell_choice *choice, int layer) {
    return &network->variant[network->layer[layer].first_variant + choice[layer].variant];
}

#if ELL_HALF
/* Of `output`, which a step that is no convolution makes of `input`; returns whether something changed. */
static int agree(const ell_network *network, unsigned char *half, int input, int output) {
    if (!half[input] && half[output]) return half[output] = 0, 1;
    const ell_tensor *in = &network->tensor[input], *out = &network->tensor[output];
    const int same_memory = in->place == out->place && in->offset == out->offset;
    if (same_memory && half[input] && !half[output]) return half[input] = 0, 1;
    return 0;
}
#endif

void ell_find_halves(const ell_network *network, const ell_choice *choice, unsigned char *half) {
    memset(half, 0, (size_t)network->tensors);
#if ELL_HALF
    for (int t = 0; t < network->tensors; t++) half[t] = (unsigned char)network->tensor[t].may_be_half;
    for (int i = 0; i < network->steps; i++) {
        const ell_step *step = &network->step[i];
        if (step->convolution < 0 || variant_of(network, choice, step->convolution)->half) continue;
        half[step->input] = half[step->output] = 0;
        if (step->second >= 0) half[step->second] = 0;
    }
    /* What other steps make of float32 is that, too: it is faster, and the convolution behind them rounds as it reads. But
     * a copy for float16 convolutions alone rounds as it copies. What is written over its input is of the same kind, and
     * so are all slices of a tensor. */
    for (int changed = 1; changed;) {
        changed = 0;
        for (int i = 0; i < network->steps; i++) {
            const ell_step *step = &network->step[i];
            if (step->convolution >= 0 || step->copy) continue;
            changed |= agree(network, half, step->input, step->output);
            if (step->second >= 0) changed |= agree(network, half, step->second, step->output);
        }
        for (int t = 0; t < network->tensors; t++) {
            const int whole = network->tensor[t].whole;
            if (whole < 0 || half[t] == half[whole]) continue;
            half[t] = half[whole] = 0;
            changed = 1;
        }
    }
#else
    (void)choice;
#endif
}

static void run_convolution(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                            const unsigned char *half, const ell_step *step) {
    const ell_layer *layer = &network->layer[step->convolution];
    const ell_variant *variant = variant_of(network, choice, step->convolution);
    choice += step->convolution;
    const ell_tensor *in = &network->tensor[step->input];
    ell_conv_args args;
    const ptrdiff_t before = (ptrdiff_t)step->top * in->row_stride + (ptrdiff_t)step->left * in->pixel_stride;
    args.half_input = half[step->input];
    args.half_output = half[step->output];
    args.half_residual = step->second >= 0 && half[step->second];
    args.input = ell_tensor_data_of(network, memory, step->input, args.half_input);
    args.input = args.half_input ? (const float *)((const uint16_t *)args.input - before) : args.input - before;
    args.output = ell_tensor_data_of(network, memory, step->output, args.half_output);
    args.residual = step->second < 0 ? 0 : ell_tensor_data_of(network, memory, step->second, args.half_residual);
    args.weights = memory->weights + variant->weights;
    args.bias = memory->weights + layer->bias;
    args.workspace = memory->workspace;
    args.pool = choice->parallel ? memory->pool : 0;
    args.separable_block_depth = choice->separable_block_depth;
    args.nonseparable_filter_block_depth = choice->nonseparable_filter_block_depth;
    args.nonseparable_channel_depth = choice->nonseparable_channel_depth;
    variant->function(&args);
}

void ell_run_step(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                  const unsigned char *half, ell_pool *pool, int index) {
    const ell_step *step = &network->step[index];
    if (!step->run) {
        run_convolution(network, memory, choice, half, step);
    } else {
        ell_layer_args args;
        args.step = step;
        args.in = &network->tensor[step->input];
        args.in2 = step->second < 0 ? 0 : &network->tensor[step->second];
        args.out = &network->tensor[step->output];
        args.half_input = half[step->input];
        args.half_second = step->second >= 0 && half[step->second];
        args.half_output = half[step->output];
        args.input = ell_tensor_data_of(network, memory, step->input, args.half_input);
        args.second = step->second < 0 ? 0 : ell_tensor_data_of(network, memory, step->second, args.half_second);
        args.output = ell_tensor_data_of(network, memory, step->output, args.half_output);
        args.weights = memory->weights;
        args.network = network;
        args.memory = memory;
        const int halves = args.half_input || args.half_second || args.half_output;
        (halves ? step->run_halves : step->run)(pool, &args);
    }
#if ELL_HALF
    if (half[step->output])
        ell_half_fill_border(&network->tensor[step->output], ell_tensor_data(network, memory, step->output));
    else
#endif
        ell_fill_border(&network->tensor[step->output], ell_tensor_data(network, memory, step->output));
}

ell_pool *ell_common_pool(const ell_network *network, const ell_memory *memory, const ell_choice *choice) {
    for (int i = 0; i < network->layers; i++)
        if (choice[i].parallel) return memory->pool;
    return 0;
}

void ell_run(const ell_network *network, const ell_memory *memory, const ell_choice *choice) {
    ell_pool *pool = ell_common_pool(network, memory, choice);
    unsigned char half[network->tensors];
    ell_find_halves(network, choice, half);
    for (int i = 0; i < network->steps; i++) ell_run_step(network, memory, choice, half, pool, i);
}

size_t ell_workspace_floats(const ell_network *network, const ell_choice *choice, int threads) {
    size_t most = 0;
    for (int i = 0; i < network->layers; i++) {
        const ell_variant *v = &network->variant[network->layer[i].first_variant + choice[i].variant];
        size_t floats = v->shared_workspace + (size_t)threads * v->thread_workspace;
        if (floats > most) most = floats;
    }
    return (most + 15) / 16 * 16;
}
