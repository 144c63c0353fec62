/* Loops that each lean on one part of a processor: loops RESULT
 *
 * The result has a line for each: its name and the nanoseconds that a run of it takes at the quickest. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "simulated.h"

typedef float vector __attribute__((vector_size(16)));
enum { SUMS = 12, NEAR_BYTES = 16 << 10, SECOND_BYTES = 192 << 10, FAR_BYTES = 8 << 20 };

static uint32_t *memory;
static volatile uint32_t counted;
static volatile float summed;

static int64_t now_ns(void) {
    struct timespec t;
    if (simulated_clock()) {
        simulate(SIMULATE_READ, 0, 0);
        return *simulated_clock();
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The compiler knows nothing of what is in it any more. */
#define UNKNOWN(x) __asm__ volatile("" : "+w"(x))

static void independent_sums(void) {
    vector sum[SUMS] = {{0}}, a = {1, 2, 3, 4}, b = {0.5f, 0.25f, 0.125f, 1};
    for (int i = 0; i < 20000; i++) {
        UNKNOWN(a);
        for (int k = 0; k < SUMS; k++) sum[k] += a * b;
    }
    float all = 0;
    for (int k = 0; k < SUMS; k++) all += sum[k][0];
    summed = all;
}

static void chained_sums(void) {
    float sum = 0, a = 0.5f;
    for (int i = 0; i < 60000; i++) {
        UNKNOWN(a);
        sum = sum * a + a;
    }
    summed = sum;
}

static void read_all(size_t bytes, int times) {
    uint32_t sum = 0;
    for (int t = 0; t < times; t++) {
        for (size_t i = 0; i < bytes / sizeof *memory; i++) sum += memory[i];
        __asm__ volatile("" : "+r"(sum) : : "memory");
    }
    counted = sum;
}
static void read_near(void) { read_all(NEAR_BYTES, 64); }
static void read_second(void) { read_all(SECOND_BYTES, 6); }
static void read_far(void) { read_all(FAR_BYTES, 1); }

static void jumps(void) {
    uint32_t state = 1, count = 0;
    for (int i = 0; i < 60000; i++) {
        state = state * 1664525u + 1013904223u;
        if (state >> 31) {
            __asm__ volatile("" : "+r"(count));
            count += state & 3;
        }
    }
    counted = count;
}

static const struct {
    const char *name;
    void (*run)(void);
} loops[] = {
    {"independent sums", independent_sums}, {"chained sums", chained_sums}, {"reading the first cache", read_near},
    {"reading the second cache", read_second}, {"reading memory", read_far}, {"unforeseeable jumps", jumps},
};

int main(int argc, char **argv) {
    const int runs = simulated_clock() ? 1 : 15;
    FILE *result = argc == 2 ? fopen(argv[1], "w") : 0;
    memory = (uint32_t *)calloc(1, FAR_BYTES);
    if (!result || !memory) return 3;
    for (size_t i = 0; i < FAR_BYTES / sizeof *memory; i++) memory[i] = (uint32_t)i;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        int64_t least = INT64_MAX;
        simulate(SIMULATE_WARM, 0, 0);
        loops[i].run();
        for (int run = 0; run < runs; run++) {
            simulate(SIMULATE_MEASURE, 0, 0);
            const int64_t start = now_ns();
            loops[i].run();
            const int64_t took = now_ns() - start;
            simulate(SIMULATE_OFF, 0, 0);
            if (took < least) least = took;
        }
        fprintf(result, "%lld %s\n", (long long)least, loops[i].name);
    }
    return fclose(result) ? 3 : 0;
}
