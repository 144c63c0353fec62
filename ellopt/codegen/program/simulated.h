/* The clock and the marks of a simulated processor: where the file SIMULATED_CLOCK lies in the working directory, time
 * is what a simulator says there, and it is told what to simulate. Elsewhere all of this does nothing.
 *
 * A mark is a system call that has no effect; the simulator sees it (estimate/simulator/simulator.c). */
#ifndef ELLOPT_SIMULATED_H
#define ELLOPT_SIMULATED_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIMULATED_CLOCK "simulated-clock"
/* Nothing; caches and branch predictor only; everything. A step of MEASURE: of one key, the first is simulated. READ
 * ends it and has the clock told. */
enum { SIMULATE_OFF, SIMULATE_WARM, SIMULATE_MEASURE, SIMULATE_STEP, SIMULATE_READ };

#ifdef __linux__
#include <sys/syscall.h>

/* Nanoseconds; null on a real processor. */
static const volatile int64_t *simulated_clock(void) {
    static const volatile int64_t *page;
    static int looked;
    if (looked) return page;
    looked = 1;
    const int file = open(SIMULATED_CLOCK, O_RDONLY);
    if (file < 0) return 0;
    void *memory = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) page = (const volatile int64_t *)memory;
    return page;
}

/* `key` names what is computed, 0 nothing that comes again; `parallel`: whether all cores compute it. */
static void simulate(int command, uint64_t key, int parallel) {
    if (simulated_clock()) syscall(SYS_getpriority, 0x454c4c, command, (unsigned long)key, parallel);
}
#else
static const volatile int64_t *simulated_clock(void) { return 0; }
static void simulate(int command, uint64_t key, int parallel) { (void)command, (void)key, (void)parallel; }
#endif

#endif
