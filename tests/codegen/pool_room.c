/* Calls a pool from one CPU after the other. Prints how often a worker had to share the caller's. */
#define _GNU_SOURCE
#include "ellopt_pool.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>

static int started, threads, shared;

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the other tasks, so that every worker does one. */
static void task(const void *context, int index, int worker) {
    (void)index;
    __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
    for (long until = milliseconds() + 2000; milliseconds() < until;)
        if (__atomic_load_n(&started, __ATOMIC_SEQ_CST) == threads) break;
    if (worker && sched_getcpu() == *(const int *)context) __atomic_add_fetch(&shared, 1, __ATOMIC_SEQ_CST);
}

int main(void) {
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    threads = CPU_COUNT(&allowed);
    ell_pool *pool = ell_pool_create(threads);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof(one), &one);
        started = 0;
        ell_pool_run(pool, task, &cpu, threads);
    }
    ell_pool_destroy(pool);
    printf("%d\n", shared);
    return 0;
}
