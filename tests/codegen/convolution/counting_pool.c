/* A pool that counts how often its threads would meet, and computes on one thread. */
#include "ellopt_pool.h"

#include <stdlib.h>

struct ell_pool {
    int threads;
};

int meetings;

ell_pool *ell_pool_create(int threads) {
    ell_pool *pool = malloc(sizeof *pool);
    if (pool) pool->threads = threads;
    return pool;
}

void ell_pool_destroy(ell_pool *pool) { free(pool); }

int ell_pool_threads(const ell_pool *pool) { return pool ? pool->threads : 1; }

/* Each worker in turn has tasks, as each has a workspace of its own. */
void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count) {
    meetings++;
    for (int i = 0; i < count; i++) task(context, i, i % ell_pool_threads(pool));
}
