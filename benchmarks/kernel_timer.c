/* Times convolution kernels one after the other, as a network would run them, and the machine's peak. */
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
