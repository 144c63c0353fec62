#include "ellopt_network.h"

#include <string.h>

#include "ellopt_layers.h"
#include "ellopt_padding.h"

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

/* `elements` behind `data`. */
static float *moved(const float *data, ptrdiff_t elements, int half) {
    return (float *)(uintptr_t)(half ? (const float *)((const uint16_t *)data + elements) : data + elements);
}

static int bands_of(const ell_network *network, const ell_step *step) {
    return step->rows ? (network->tensor[step->output].rows + step->rows - 1) / step->rows : 1;
}

/* What is computed, of one turn or more. */
typedef struct {
    const ell_network *network;
    const ell_memory *memory;
    const ell_choice *choice;
    const unsigned char *half;
    const ell_turn *turn;
    int turns;
    void (*after)(void *watch, int step); /* null: nobody looks on */
    void *watch;
} turns_work;

/* A band, by one thread or all of `pool`. The last one ends with the last row. */
static void run_convolution(const turns_work *work, const ell_step *step, int band, ell_pool *pool) {
    const ell_network *network = work->network;
    const ell_memory *memory = work->memory;
    const ell_choice *choice = work->choice;
    const unsigned char *half = work->half;
    const ell_layer *layer = &network->layer[step->convolution];
    const ell_variant *variant = variant_of(network, choice, step->convolution);
    choice += step->convolution;
    const ell_tensor *in = &network->tensor[step->input], *out = &network->tensor[step->output];
    const int first = (band + 1) * step->rows > out->rows ? out->rows - step->rows : band * step->rows;
    const int above = first * step->stride - step->top;
    ell_conv_args args;
    args.half_input = half[step->input];
    args.half_output = half[step->output];
    args.half_residual = step->second >= 0 && half[step->second];
    args.pool = pool;
    args.workspace = memory->workspace + step->padded;
    args.input = ell_tensor_data_of(network, memory, step->input, args.half_input);
    const ell_padding padding = {step, in, args.input, memory->workspace, above, args.half_input, variant->half};
    if (step->padded) {
        args.input = memory->workspace;
        args.half_input = variant->half;
    } else {
        const ptrdiff_t before = (ptrdiff_t)above * in->row_stride - (ptrdiff_t)step->left * in->pixel_stride;
        args.input = moved(args.input, before, args.half_input);
    }
    args.output = ell_tensor_data_of(network, memory, step->output, args.half_output);
    args.output = moved(args.output, (ptrdiff_t)first * out->row_stride, args.half_output);
    args.residual = 0;
    if (step->second >= 0) {
        args.residual = ell_tensor_data_of(network, memory, step->second, args.half_residual);
        const ptrdiff_t before = (ptrdiff_t)first * network->tensor[step->second].row_stride;
        args.residual = moved(args.residual, before, args.half_residual);
    }
    args.weights = memory->weights + variant->weights;
    args.bias = memory->weights + layer->bias;
    args.separable_block_depth = choice->separable_block_depth;
    args.nonseparable_filter_block_depth = choice->nonseparable_filter_block_depth;
    args.nonseparable_channel_depth = choice->nonseparable_channel_depth;
    if (step->padded) ell_put_border(pool, &padding);
    if (ell_pool_goes_on(pool)) variant->function(&args);
}

typedef struct {
    const turns_work *work;
    const ell_step *step;
    int band;
} one_convolution;

static void convolve_alone(const void *context, int index, int worker) {
    (void)index, (void)worker;
    const one_convolution *one = (const one_convolution *)context;
    run_convolution(one->work, one->step, one->band, 0);
}

static void run_layer(const ell_network *network, const ell_memory *memory, const unsigned char *half, ell_pool *pool,
                      const ell_step *step) {
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

typedef struct {
    const turns_work *work;
    int tensor, parts;
} border_work;

static void border_part(const void *context, int part, int worker) {
    (void)worker;
    const border_work *border = (const border_work *)context;
    const ell_tensor *tensor = &border->work->network->tensor[border->tensor];
    float *data = ell_tensor_data(border->work->network, border->work->memory, border->tensor);
#if ELL_HALF
    if (border->work->half[border->tensor]) {
        ell_half_fill_border(tensor, data, part, border->parts);
        return;
    }
#endif
    ell_fill_border(tensor, data, part, border->parts);
}

static void run_turn(const turns_work *work, const ell_turn *turn, ell_pool *pool) {
    const ell_network *network = work->network;
    const ell_step *step = &network->step[turn->step];
    const ell_tensor *out = &network->tensor[step->output];
    const border_work border = {work, step->output, ell_pool_threads(pool)};
    /* Who reads the first rows reads what is above them. */
    const int has_border = turn->band <= 0 && (out->top | out->left | out->bottom | out->right);
    const int beside = pool && has_border && !(step->copy && step->copy->clear);
    if (beside) ell_pool_beside(pool, border_part, &border);
    if (step->run) {
        run_layer(network, work->memory, work->half, pool, step);
    } else {
        const int last = turn->band < 0 ? bands_of(network, step) - 1 : turn->band;
        for (int band = turn->band < 0 ? 0 : turn->band; band <= last && ell_pool_goes_on(pool); band++) {
            const one_convolution one = {work, step, band};
            if (work->choice[step->convolution].parallel)
                run_convolution(work, step, band, pool);
            else
                ell_pool_run(pool, convolve_alone, &one, 1);
        }
    }
    if (has_border && !beside) ell_pool_run(pool, border_part, &border, border.parts);
}

static void run_turns(const void *context, ell_pool *pool) {
    const turns_work *work = (const turns_work *)context;
    const int turns = work->turns;
    for (int i = 0; i < turns && ell_pool_goes_on(pool); i++) {
        run_turn(work, &work->turn[i], pool);
        if (ell_pool_is_callers(pool) && work->after) work->after(work->watch, work->turn[i].step);
    }
}

void ell_run_turn(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                  const unsigned char *half, ell_pool *pool, const ell_turn *turn) {
    const turns_work work = {network, memory, choice, half, turn, 1, 0, 0};
    ell_pool_together(pool, run_turns, &work);
}

void ell_run_step(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                  const unsigned char *half, ell_pool *pool, int index) {
    const ell_turn turn = {index, -1};
    ell_run_turn(network, memory, choice, half, pool, &turn);
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
    const turns_work work = {network, memory, choice, half, network->turn, network->turns, 0, 0};
    ell_pool_together(pool, run_turns, &work);
}

void ell_run_steps(const ell_network *network, const ell_memory *memory, const ell_choice *choice,
                   const unsigned char *half, void (*after)(void *watch, int step), void *watch) {
    ell_turn turn[network->steps];
    for (int i = 0; i < network->steps; i++) turn[i] = (ell_turn){i, -1};
    const turns_work work = {network, memory, choice, half, turn, network->steps, after, watch};
    ell_pool_together(ell_common_pool(network, memory, choice), run_turns, &work);
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
