/* Runs a job on the network it is linked with: runner JOB RESULT
 *
 * Weights and reference values are files beside the job or beside this program. */
#include "runner.h"

#include "ellopt_layers.h"
#include "ellopt_network.h"

extern const ell_network ell_the_network;
#define NET (&ell_the_network)

static ell_choice *choices; /* [plan][layer] */

static job_t read_job(const char *name) {
    job_t job = read_job_head(name);
    if (job.layers != NET->layers) fail("the job is for another network");
    choices = (ell_choice *)allocate(sizeof(ell_choice) * (size_t)job.plans * (size_t)(NET->layers + 1));
    for (int p = 0; p < job.plans; p++)
        for (int l = 0; l < NET->layers; l++) {
            ell_choice *c = &choices[(size_t)p * (size_t)NET->layers + (size_t)l];
            c->variant = number(0, NET->layer[l].variants - 1);
            c->parallel = number(0, 1);
            c->separable_block_depth = number(0, 1 << 20);
            c->nonseparable_filter_block_depth = number(0, 1 << 20);
            c->nonseparable_channel_depth = number(0, 1 << 20);
        }
    expect("end");
    return job;
}

static const ell_choice *plan_of(int plan) { return choices + (size_t)plan * (size_t)NET->layers; }

/* A step's key for a simulator: alike for all steps that do the same, which layers of one shape do. */
static uint64_t step_key(const ell_step *step, const ell_choice *choice, const unsigned char *half, int index,
                         int parallel) {
    const uint64_t halves = (uint64_t)(half[step->input] | half[step->output] << 1 |
                                       (step->second >= 0 ? half[step->second] << 2 : 0));
    uint64_t key = ((uint64_t)index << 3 | halves) << 1 | (uint64_t)parallel;
    if (step->convolution >= 0) {
        const ell_choice *c = &choice[step->convolution];
        const ell_variant *v = &NET->variant[NET->layer[step->convolution].first_variant + c->variant];
        const uint64_t facts[] = {
            (uint64_t)(uintptr_t)v->function, (uint64_t)parallel, (uint64_t)c->separable_block_depth,
            (uint64_t)c->nonseparable_filter_block_depth, (uint64_t)c->nonseparable_channel_depth, halves,
            (uint64_t)step->padded, (uint64_t)NET->tensor[step->output].rows,
        };
        key = (uint64_t)1 << 32;
        for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) key = key * 0x100000001b3u + facts[i];
    }
    return key + 1;
}

/* Tells a simulator which step comes. `again`: it is simulated though it was before. */
static void mark_step(const ell_choice *choice, const unsigned char *half, int index, int again) {
    const ell_step *step = &NET->step[index];
    int parallel = 0;
    for (int i = 0; i < NET->layers; i++)
        if (step->convolution < 0 || step->convolution == i) parallel |= choice[i].parallel;
    simulate(SIMULATE_STEP, again ? 0 : step_key(step, choice, half, index, parallel), parallel);
}

typedef struct {
    int64_t before, *times;
} step_times;

static void take_time(void *watch, int step) {
    step_times *own = (step_times *)watch;
    const int64_t now = now_ns();
    own->times[step] = now - own->before;
    own->before = now;
}

static int64_t pass(const job_t *job, const void *context, int plan, int64_t *times) {
    const ell_memory *memory = (const ell_memory *)context;
    const ell_choice *choice = plan_of(plan);
    (void)job;
    ell_pool *pool = ell_common_pool(NET, memory, choice);
    unsigned char half[NET->tensors];
    if (times || simulated_clock()) ell_find_halves(NET, choice, half);
    if (!times && simulated_clock()) {
        for (int i = 0; i < NET->turns; i++) {
            mark_step(choice, half, NET->turn[i].step, 1);
            ell_run_turn(NET, memory, choice, half, pool, &NET->turn[i]);
        }
        return 0;
    }
    if (!times) {
        ell_run(NET, memory, choice);
        return 0;
    }
    const int64_t start = now_ns();
    step_times watch = {start, times};
    if (!simulated_clock()) ell_run_steps(NET, memory, choice, half, take_time, &watch);
    for (int i = 0; simulated_clock() && i < NET->steps; i++) {
        mark_step(choice, half, i, 0);
        ell_run_step(NET, memory, choice, half, pool, i);
        take_time(&watch, i);
    }
    return watch.before - start;
}

/* |x| as an integer that orders as |x| does, NaN above infinity: maxima of these are vectorised, those of floats not. */
static uint32_t magnitude(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

static double value_of(uint32_t magnitude_bits) {
    float x;
    memcpy(&x, &magnitude_bits, sizeof x);
    return isnan(x) ? HUGE_VAL : (double)x;
}

/* Copies move values to where another step reads them; only the last may be one that is checked itself. */
static int is_checked(const ell_step *step) { return step->run != ell_copy_values || step->output == NET->output; }

#if ELL_HALF
/* The largest difference of each channel of a float16 tensor from the reference, which then takes its place. */
static void compare_halves(const ell_tensor *t, _Float16 *data, const float *reference, uint32_t *errors) {
    const size_t channels = (size_t)t->channels;
    for (int y = 0; y < t->rows; y++, data += t->row_stride)
        for (int x = 0; x < t->columns; x++, reference += channels)
            for (size_t c = 0; c < channels; c++) {
                _Float16 *value = &data[(size_t)x * (size_t)t->pixel_stride + c];
                const uint32_t difference = magnitude((float)*value - reference[c]);
                if (difference > errors[c]) errors[c] = difference;
                *value = (_Float16)reference[c];
            }
}
#endif

/* How much further a step that is no convolution may be off where it reads or writes float16: such numbers have 11 bits
 * instead of 24, and are multiples of 2^-24. */
static double coarser(double limit, float largest) { return 8192.0 * limit + 0x1p-10 * (double)largest + 0x1p-24; }

/* max |value - reference| / limit over the channels; then the reference takes the place of the values. Channels with
 * an infinite limit, where the model overflows, count as right. `errors` has room for each channel; `half`: whether the
 * tensor is float16; `coarse`: whether the step may be off by as much as that. */
static double compare(const ell_tensor *t, float *data, int half, int coarse, const float *reference,
                      const float *limits, uint32_t *errors) {
    const size_t channels = (size_t)t->channels, pixels = (size_t)t->rows * (size_t)t->columns;
    const float *first = reference;
    memset(errors, 0, channels * sizeof *errors);
#if ELL_HALF
    if (half)
        compare_halves(t, (_Float16 *)data, reference, errors);
    else
#else
    (void)half;
#endif
    for (int y = 0; y < t->rows; y++, data += t->row_stride) {
        float *pixel = data;
        for (int x = 0; x < t->columns; x++, pixel += t->pixel_stride, reference += channels)
            for (size_t c = 0; c < channels; c++) {
                const uint32_t difference = magnitude(pixel[c] - reference[c]);
                if (difference > errors[c]) errors[c] = difference;
                pixel[c] = reference[c];
            }
    }
    double worst = 0;
    for (size_t c = 0; c < channels; c++) {
        double limit = limits[c];
        uint32_t largest = 0;
        for (size_t i = 0; coarse && i < pixels; i++)
            if (magnitude(first[i * channels + c]) > largest) largest = magnitude(first[i * channels + c]);
        if (coarse) limit = coarser(limit, (float)value_of(largest));
        const double ratio = isinf(limit) ? 0 : value_of(errors[c]) / limit;
        if (ratio > worst) worst = ratio;
    }
    return worst;
}

/* What every checked step must put out for the check input, and how much each of its channels may be off. */
static const float *expected_values, *expected_limits;
static uint32_t *channel_errors;

static void map_expected(void) {
    size_t floats = 0, channels = 0, most = 0;
    if (expected_values) return;
    for (int i = 0; i < NET->steps; i++) {
        const ell_tensor *t = &NET->tensor[NET->step[i].output];
        if (!is_checked(&NET->step[i])) continue;
        floats += (size_t)t->rows * (size_t)t->columns * (size_t)t->channels;
        channels += (size_t)t->channels;
        if ((size_t)t->channels > most) most = (size_t)t->channels;
    }
    expected_values = (const float *)map_file("reference.bin", floats * sizeof(float), 0);
    expected_limits = (const float *)map_file("limits.bin", channels * sizeof(float), 0);
    channel_errors = (uint32_t *)allocate(most * sizeof *channel_errors);
}

/* A record: the plan, what was checked, the bits of the error in units of its limit. */
static void put_check(int plan, int what, double error, int words) {
    int64_t bits;
    memcpy(&bits, &error, sizeof bits);
    put(plan);
    put(what);
    put(bits);
    for (int w = 3; w < words; w++) put(0);
    record_count++;
}

/* A record for each layer, -1 less its number; and one for the worst of the other steps, -1 less the layers less the
 * number of the step. */
static void check_pass(const job_t *job, const void *context, int plan, int words) {
    const ell_memory *memory = (const ell_memory *)context;
    const ell_choice *choice = plan_of(plan);
    map_expected();
    const float *expected = expected_values, *limits = expected_limits;
    ell_pool *pool = ell_common_pool(NET, memory, choice);
    unsigned char half[NET->tensors];
    ell_find_halves(NET, choice, half);
    double worst = 0;
    int worst_step = 0;
    (void)job;
    for (int i = 0; i < NET->steps; i++) {
        const ell_step *step = &NET->step[i];
        ell_run_step(NET, memory, choice, half, pool, i);
        if (!is_checked(step)) continue;
        const ell_tensor *t = &NET->tensor[step->output];
        const int second = step->second >= 0 && half[step->second];
        const int coarse = step->convolution < 0 && (half[step->input] || second || half[step->output]);
        float *found = ell_tensor_data_of(NET, memory, step->output, half[step->output]);
        double error = compare(t, found, half[step->output], coarse, expected, limits,
                               channel_errors);
        if (step->convolution >= 0) {
            put_check(plan, -1 - step->convolution, error, words);
        } else if (error > worst) {
            worst = error;
            worst_step = i;
        }
        expected += (size_t)t->rows * (size_t)t->columns * (size_t)t->channels;
        limits += (size_t)t->channels;
    }
    put_check(plan, -1 - NET->layers - worst_step, worst, words);
}

/* The output of every plan for every input that there is. */
static void predict(const job_t *job, ell_memory *memory, size_t inputs, size_t outputs, const float *values,
                    size_t count) {
    for (int p = 0; p < job->plans; p++)
        for (size_t n = 0; n < count; n++) {
            memcpy((float *)(uintptr_t)memory->input, values + n * inputs, inputs * sizeof(float));
            ell_run(NET, memory, plan_of(p));
            for (size_t i = 0; i < outputs; i++) {
                uint32_t bits;
                memcpy(&bits, &memory->output[i], sizeof bits);
                put(bits);
            }
            record_count += outputs;
        }
}

int main(int argc, char **argv) {
    if (argc != 3) fail("usage: runner JOB RESULT");
    remember_directory(argv[0]);
    job_t job = read_job(argv[1]);
    const ell_tensor *in = &NET->tensor[NET->input], *out = &NET->tensor[NET->output];
    size_t inputs = (size_t)in->rows * (size_t)in->columns * (size_t)in->channels;
    size_t outputs = (size_t)out->rows * (size_t)out->columns * (size_t)out->channels;
    size_t workspace = 0;
    for (int p = 0; p < job.plans; p++) {
        size_t floats = ell_workspace_floats(NET, plan_of(p), job.threads);
        if (floats > workspace) workspace = floats;
    }
    ell_memory memory = {0};
    const char *input = job.kind == PREDICT ? "input.bin" : "check_input.bin";
    /* Copied to aligned memory of its own, as a caller would have it. */
    float *values = (float *)allocate(inputs * sizeof(float));
    size_t bytes;
    const float *given = (const float *)map_file(input, 0, &bytes);
    const size_t count = bytes / (inputs * sizeof(float));
    if (!count || bytes % (inputs * sizeof(float))) fail("%s has %zu bytes; an input has %zu floats", input, bytes, inputs);
    memcpy(values, given, inputs * sizeof(float));
    memory.input = values;
    memory.weights = (const float *)map_file("weights.bin", NET->weight_floats * sizeof(float), 0);
    memory.arena = (float *)allocate(NET->arena_floats * sizeof(float));
    memory.workspace = (float *)allocate(workspace * sizeof(float));
    memory.output = (float *)allocate(outputs * sizeof(float));
    memory.pool = ell_pool_create(job.threads);
    int64_t start = now_ns();
    if (job.kind == CHECK)
        for (int p = 0; p < job.plans; p++) check_pass(&job, &memory, p, 3);
    else if (job.kind == PREDICT)
        predict(&job, &memory, inputs, outputs, given, count);
    else
        measure(&job, &memory, NET->steps);
    write_result(argv[2], &job, NET->steps, now_ns() - start);
    ell_pool_destroy(memory.pool);
    return 0;
}
