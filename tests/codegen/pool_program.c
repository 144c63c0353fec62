/* Runs many programs of many jobs on a pool, with threads that come late, or stay away for a while. Every task must run
 * exactly once, behind all tasks of the jobs before, and nothing of a program may go on after it has ended. Prints the number
 * of faults. Usage: pool_program THREADS PROGRAMS */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ellopt_pool.h"

enum { JOBS = 12, MOST = 24, BESIDE = 16 };

/* What all threads of a program have in common. */
typedef struct {
    unsigned seed;
    int done[JOBS][MOST], beside[JOBS][BESIDE];
    int finished; /* tasks, of all jobs */
    int busy[BESIDE];
} program_t;

/* A thread's own. */
typedef struct {
    program_t *program;
    int job, before, last; /* tasks of the jobs before, and of this one too */
} job_t;

static int faults;

static void check(int right) {
    if (!right) __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
}

static unsigned next(unsigned *seed) { return (*seed = *seed * 1664525u + 1013904223u) >> 16; }

static void work_on(const job_t *job, int *cell, int worker, unsigned luck) {
    program_t *program = job->program;
    check(__atomic_fetch_add(&program->busy[worker], 1, __ATOMIC_ACQ_REL) == 0);
    const int finished = __atomic_load_n(&program->finished, __ATOMIC_RELAXED);
    check(finished >= job->before && finished < job->last);
    ++*cell; /* without a lock */
    if (luck % 509 == 0) usleep(luck % 3 ? 100 : 1500);
    for (volatile unsigned i = 0; i < luck % 150; i++) {}
    __atomic_add_fetch(&program->finished, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&program->busy[worker], 1, __ATOMIC_ACQ_REL);
}

static void task(const void *context, int index, int worker) {
    const job_t *job = (const job_t *)context;
    work_on(job, &job->program->done[job->job][index], worker, job->program->seed / 3 + (unsigned)(index * 31 + job->job * 7));
}

static void beside_task(const void *context, int part, int worker) {
    const job_t *job = (const job_t *)context;
    work_on(job, &job->program->beside[job->job][part], worker, job->program->seed / 5 + (unsigned)(part + job->job));
}

/* The numbers of tasks, and of those beside, that the jobs of a seed have. */
static void tasks_of(unsigned *seed, int threads, int *count, int *beside) {
    *count = (int)(next(seed) % (MOST + 1));
    *beside = next(seed) % 3 == 0 ? threads : 0;
}

static void run(const void *context, ell_pool *pool) {
    job_t job = {*(program_t *const *)context, 0, 0, 0};
    unsigned seed = job.program->seed;
    for (; job.job < JOBS && ell_pool_goes_on(pool); job.job++) {
        int count, beside;
        tasks_of(&seed, ell_pool_threads(pool), &count, &beside);
        if (!pool) beside = 0;
        job.before = job.last;
        job.last += count + beside;
        if (beside) ell_pool_beside(pool, beside_task, &job);
        const unsigned kind = next(&seed) % 3;
        (kind == 0 ? ell_pool_run_back : kind == 1 ? ell_pool_run : ell_pool_run_alone)(pool, task, &job, count);
    }
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 4, programs = argc > 2 ? atoi(argv[2]) : 2000;
    ell_pool *pool = ell_pool_create(threads);
    long all = 0;
    for (int i = 1; i <= programs; i++) {
        program_t **program = malloc(sizeof *program); /* both freed at once: a straggler would be seen by a sanitizer */
        *program = calloc(1, sizeof **program);
        unsigned seed = (*program)->seed = (unsigned)i * 7919u;
        ell_pool_together(pool, run, program);
        for (int j = 0; j < JOBS; j++) {
            int count, beside;
            tasks_of(&seed, ell_pool_threads(pool), &count, &beside);
            next(&seed);
            for (int k = 0; k < MOST; k++) check((*program)->done[j][k] == (k < count));
            for (int k = 0; k < BESIDE; k++) check((*program)->beside[j][k] == (pool && k < beside));
        }
        all += (*program)->finished;
        memset(*program, 255, sizeof **program);
        free(*program);
        memset(program, 255, sizeof *program);
        free(program);
        if (i % 97 == 0) usleep(2000); /* long enough for the workers to fall asleep */
    }
    ell_pool_destroy(pool);
    printf("%d\n", faults);
    return faults != 0 || all == 0;
}
