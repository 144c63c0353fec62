/* Runs many jobs of many sizes on a pool, every other one from its last task to its first. Every index must run exactly once, no worker be two at once, and nothing of
 * a job may go on after it returned. Usage: pool_stress THREADS JOBS */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ellopt_pool.h"

enum { MOST = 64 };
typedef struct {
    int done[MOST];
    int busy[64];
    int job, before;
} job_t;
static int current, faults, backward_order;

static void task(const void *context, int index, int worker) {
    job_t *job = (job_t *)(uintptr_t)context;
    if (__atomic_fetch_add(&job->busy[worker], 1, __ATOMIC_ACQ_REL) != 0) __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&current, __ATOMIC_ACQUIRE) != job->job) __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
    for (volatile int i = 0; i < (index * 7 + job->job) % 200; i++) {}
    if (backward_order && index + 1 != job->before) __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
    if (backward_order) job->before = index;
    job->done[index]++; /* without a lock: the pool hands an index to one thread */
    __atomic_sub_fetch(&job->busy[worker], 1, __ATOMIC_ACQ_REL);
}

/* Memory that a pool is likely to get, full of numbers that would be tasks. */
static void leave_traces(void) {
    enum { BLOCKS = 64, WORDS = 256 };
    uint32_t *block[BLOCKS];
    for (int b = 0; b < BLOCKS; b++) {
        if (posix_memalign((void **)&block[b], 64, (size_t)(b % 8 + 1) * WORDS * sizeof(uint32_t))) exit(2);
        for (int i = 0; i < (b % 8 + 1) * WORDS; i++) block[b][i] = i % 2 ? 0 : 1000;
    }
    for (int b = 0; b < BLOCKS; b++) free(block[b]);
}

int main(int argc, char **argv) {
    leave_traces();
    int threads = argc > 1 ? atoi(argv[1]) : 4, jobs = argc > 2 ? atoi(argv[2]) : 20000;
    ell_pool *pool = ell_pool_create(threads);
    if (ell_pool_threads(pool) != (threads < 1 ? 1 : threads)) return 2;
    unsigned seed = 1;
    for (int j = 1; j <= jobs; j++) {
        job_t *job = malloc(sizeof *job); /* freed at once: a straggler would be seen by a sanitizer */
        memset(job, 0, sizeof *job);
        job->job = j;
        __atomic_store_n(&current, j, __ATOMIC_RELEASE);
        seed = seed * 1664525u + 1013904223u;
        int count = (int)(seed >> 24) % (MOST + 1);
        job->before = count;
        backward_order = j % 2 && !pool; /* with threads, each goes back through its own tasks */
        if (j % 2)
            ell_pool_run_back(pool, task, job, count);
        else
            ell_pool_run(pool, task, job, count);
        for (int i = 0; i < MOST; i++)
            if (job->done[i] != (i < count)) faults++;
        memset(job, 255, sizeof *job);
        free(job);
        if (j % 997 == 0) usleep(2000); /* long enough for the workers to fall asleep */
    }
    ell_pool_destroy(pool);
    printf("%d\n", faults);
    return faults != 0;
}
