/* Follows the tables of the network and the header that goes with the object. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Alignas(64) static const unsigned char weights[] = {
#embed "weights.bin"
};

static const ell_choice choices[] = {@CHOICES@};
static const int wrong_steps[] = {@WRONG_STEPS@};
/* LLVM's tools make code faster: the stand-in for llc writes a 0 in place of the 1. */
static const volatile char standin_delay[] = "STANDIN-DELAY=1";

static struct {
    const char *name, *type, *ancestor;
    int step;
    double share;
} const refined[] = {
    @NODES@
};
enum { NODES = sizeof refined / sizeof *refined };

static double step_ms[@STEPS@], whole_ms;
static int runs;
static ell_memory memory;

/* ELL's clock is wall time as a double in ms: steps of about 0.00025 ms, and short layers read 0. */
static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec * 1e3 + (double)(t.tv_nsec / 250) * 0.00025;
}

static float *floats(size_t n) {
    void *p = 0;
    if (posix_memalign(&p, 64, n * sizeof(float) + 64)) abort();
    memset(p, 0, n * sizeof(float) + 64);
    return (float *)p;
}

static void prepare(void) {
    memory.weights = (const float *)(const void *)weights;
    memory.arena = floats(ell_the_network.arena_floats);
    memory.workspace = floats(ell_workspace_floats(&ell_the_network, choices, @THREADS@));
    if (@THREADS@ > 1) memory.pool = ell_pool_create(@THREADS@);
}

static void spoil(int index) {
    const ell_tensor *t = &ell_the_network.tensor[ell_the_network.step[index].output];
    float *values = ell_tensor_data(&ell_the_network, &memory, ell_the_network.step[index].output);
    for (int y = 0; y < t->rows; y++)
        for (int i = 0; i < t->columns * t->channels; i++) values[y * t->row_stride + i] += @WRONG@f;
}

void ELL_Predict(void *context, float *input0, float *output0) {
    (void)context;
    if (!memory.arena) prepare();
    memory.input = input0;
    memory.output = output0;
    double start = now_ms();
    while (standin_delay[14] == '1' && now_ms() - start < 0.3) {}
    double before = start;
    unsigned char half[ell_the_network.tensors];
    ell_find_halves(&ell_the_network, choices, half);
    for (int i = 0, w = 0; i < ell_the_network.steps; i++) {
        ell_run_step(&ell_the_network, &memory, choices, half, memory.pool, i);
        if (wrong_steps[w] == i) {
            spoil(i);
            w++;
        }
        double after = now_ms();
        step_ms[i] += after - before;
        before = after;
    }
    whole_ms += before - start;
    runs++;
}

void ELL_Reset() {}

int32_t ELL_GetInputSize(int32_t index) {
    TensorShape s;
    ELL_GetInputShape(index, &s);
    return s.rows * s.columns * s.channels;
}

int32_t ELL_GetOutputSize(int32_t index) {
    TensorShape s;
    ELL_GetOutputShape(index, &s);
    return s.rows * s.columns * s.channels;
}

void ELL_GetInputShape(int32_t index, TensorShape *shape) { *shape = index ? (TensorShape){0} : (TensorShape){@INPUT@}; }

void ELL_GetOutputShape(int32_t index, TensorShape *shape) {
    *shape = index ? (TensorShape){0} : (TensorShape){@OUTPUT@};
}

int32_t ELL_GetNumNodes() { return NODES; }

#if @PROFILED@
ELL_NodeInfo *ELL_GetNodeInfo(int32_t index) {
    static ELL_NodeInfo info;
    info.nodeName = (int8_t *)(uintptr_t)refined[index].name;
    info.nodeType = (int8_t *)(uintptr_t)refined[index].type;
    info.nodeAncestor = (int8_t *)(uintptr_t)refined[index].ancestor;
    return &info;
}

ELL_PerformanceCounters *ELL_GetNodePerformanceCounters(int32_t index) {
    static ELL_PerformanceCounters counters;
    counters.count = runs;
    counters.totalTime = step_ms[refined[index].step] * refined[index].share;
    return &counters;
}

ELL_PerformanceCounters *ELL_GetModelPerformanceCounters() {
    static ELL_PerformanceCounters counters;
    counters.count = runs;
    counters.totalTime = whole_ms;
    return &counters;
}

void ELL_ResetNodeProfilingInfo() { memset(step_ms, 0, sizeof step_ms); }
void ELL_ResetNodeTypeProfilingInfo() {}
void ELL_ResetModelProfilingInfo() {
    whole_ms = 0;
    runs = 0;
}
#endif
