/* Times convolution kernels one after the other, as a network would run them, and the machine's peak. */
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "ellopt_conv.h"
#include "vector.h"

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* times[pass * count + i]: seconds of kernel i. */
void time_kernels(ell_conv_fn *kernels, ell_conv_args **args, int count, int passes, double *times) {
    for (int pass = 0; pass < passes; pass++) {
        for (int i = 0; i < count; i++) {
            double start = seconds_now();
            kernels[i](args[i]);
            times[pass * count + i] = seconds_now() - start;
        }
    }
}

/* Multiply-adds of 12 independent vectors; returns GFLOP/s of one core. */
double measure_peak(void) {
    double best = 0;
    for (int trial = 0; trial < 20; trial++) {
        vec sums[12];
        for (int i = 0; i < 12; i++) sums[i] = vec_splat((float)i);
        vec a = vec_splat(0.999f), b = vec_splat(0.001f);
        const int steps = 200000;
        double start = seconds_now();
        for (int step = 0; step < steps; step++) {
            ELL_UNROLL for (int i = 0; i < 12; i++) {
                sums[i] = sums[i] * a + b;
                __asm__ volatile("" : "+x"(sums[i]));
            }
        }
        double seconds = seconds_now() - start;
        vec total = sums[0];
        for (int i = 1; i < 12; i++) total += sums[i];
        volatile float sink = ELL_LANE(total, 0);
        (void)sink;
        double rate = 2.0 * 12 * VECTOR_WIDTH * steps / seconds * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

enum { TRIPS = 10000, ENDED = -1 };

/* Makes odd numbers even. */
static void *answer(void *place) {
    int *word = (int *)place, seen;
    while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != ENDED)
        if (seen & 1) __atomic_compare_exchange_n(word, &seen, seen + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    return 0;
}

/* Nanoseconds in which a line of cache goes to another thread and back: the lowest of some hundred times, as a thread may
 * have no processor for a moment. Negative where no thread can be started. */
double round_trip(void) {
    enum { BLOCKS = 100 };
    _Alignas(64) static int word;
    double lowest = 1e9;
    pthread_t other;
    word = 0;
    if (pthread_create(&other, 0, answer, &word)) return -1;
    const double limit = seconds_now() + 0.2;
    for (int block = 0; block < BLOCKS && seconds_now() < limit; block++) {
        const double start = seconds_now();
        for (int i = 0; i < TRIPS / BLOCKS; i++) {
            const int asked = __atomic_add_fetch(&word, 1, __ATOMIC_ACQ_REL);
            while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == asked) {}
        }
        const double took = (seconds_now() - start) * 1e9 / (TRIPS / BLOCKS);
        if (took < lowest) lowest = took;
    }
    __atomic_store_n(&word, ENDED, __ATOMIC_RELEASE);
    pthread_join(other, 0);
    return lowest;
}
