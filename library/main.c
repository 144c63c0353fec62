/* Runs tiny16 on a raw file of floats (16 x 16 x 3) or, without one, on zeros.
 *
 *   cmake -S . -B build && cmake --build build && build/tiny16_example [input.bin [passes [times.txt]]]
 *
 * With a number of passes it says what they took; their times go to a file, milliseconds, one a line.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tiny16.h"

static float input[TINY16_INPUT_SIZE];
static float output[TINY16_OUTPUT_SIZE];

static double milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc > 1) {
        FILE *file = fopen(argv[1], "rb");
        if (!file || fread(input, sizeof(float), TINY16_INPUT_SIZE, file) != TINY16_INPUT_SIZE) {
            fprintf(stderr, "cannot read %d floats from %s\n", TINY16_INPUT_SIZE, argv[1]);
            return 1;
        }
        fclose(file);
    }
    const int threads = 4;
    const size_t bytes = tiny16_memory_bytes(threads);
    void *memory = malloc(bytes);
    tiny16_pool *pool;
    int code = tiny16_pool_create(threads, &pool);
    const int passes = argc > 2 ? atoi(argv[2]) : 1;
    FILE *times = argc > 3 ? fopen(argv[3], "w") : 0;
    double first = 0, rest = 0;
    for (int pass = 0; code == TINY16_OK && pass < passes; pass++) {
        const double start = milliseconds();
        code = tiny16_predict_parallel(memory, bytes, pool, input, output);
        const double took = milliseconds() - start;
        if (times) fprintf(times, "%.6f\n", took);
        if (pass) rest += took;
        else first = took;
    }
    if (times && fclose(times)) fprintf(stderr, "cannot write %s\n", argv[3]);
    if (code == TINY16_OK && passes > 1)
        fprintf(stderr, "first pass %.3f ms, then %.3f ms on average of %d\n", first, rest / (passes - 1), passes - 1);
    tiny16_pool_destroy(pool);
    free(memory);
    if (code != TINY16_OK) {
        fprintf(stderr, "tiny16: %s\n", tiny16_error_text(code));
        return 1;
    }

    int best = 0;
    for (int i = 0; i < TINY16_OUTPUT_SIZE; i++) {
        if (output[i] > output[best]) best = i;
        printf("%.9g\n", (double)output[i]);
    }
    fprintf(stderr, "largest: output %d, %g\n", best, (double)output[best]);
    return 0;
}
