/* A pool of threads as plain as can be, for tests of single kernels: starts threads for every run. */
#include "ellopt_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct ell_pool {
    int threads;
};

typedef struct {
    ell_task task;
    const void *context;
    atomic_int *next;
    int count, worker;
} work;

static void *run_worker(void *argument) {
    const work *w = argument;
    for (int i; (i = atomic_fetch_add(w->next, 1)) < w->count;) w->task(w->context, i, w->worker);
    return 0;
}

int ell_pool_threads(const ell_pool *pool) { return pool ? pool->threads : 1; }

void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count) {
    int threads = ell_pool_threads(pool);
    atomic_int next = 0;
    pthread_t *ids = malloc(sizeof *ids * (size_t)threads);
    work *works = malloc(sizeof *works * (size_t)threads);
    for (int t = 0; t < threads; t++) {
        works[t] = (work){task, context, &next, count, t};
        if (t > 0) pthread_create(&ids[t], 0, run_worker, &works[t]);
    }
    run_worker(&works[0]);
    for (int t = 1; t < threads; t++) pthread_join(ids[t], 0);
    free(works);
    free(ids);
}

ell_pool *ell_pool_create(int threads) {
    ell_pool *pool = threads > 1 ? malloc(sizeof *pool) : 0;
    if (pool) pool->threads = threads;
    return pool;
}

void ell_pool_destroy(ell_pool *pool) { free(pool); }
