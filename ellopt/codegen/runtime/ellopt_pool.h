/* A persistent pool of threads. The calling thread is worker 0 and takes part. */
#ifndef ELLOPT_POOL_H
#define ELLOPT_POOL_H

typedef struct ell_pool ell_pool;

/* task(context, index, worker): index runs over 0 .. count-1, each exactly once; worker is 0 .. threads-1 and
 * is never used by two tasks at once, so it can pick a slice of a workspace. Returns when all are done. With a
 * null pool the tasks run in order on the calling thread as worker 0. */
typedef void (*ell_task)(const void *context, int index, int worker);
void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count);
/* The same, but each thread has its tasks from the last to the first: of a tensor that is larger than the cache, the rows
 * that were written last are still there, and by reading them first nothing of them is lost. */
void ell_pool_run_back(ell_pool *pool, ell_task task, const void *context, int count);
int ell_pool_threads(const ell_pool *pool); /* 1 for a null pool */

#define ELL_MOST_THREADS 1024
ell_pool *ell_pool_create(int threads); /* null when threads <= 1, are too many or cannot all be started */
void ell_pool_destroy(ell_pool *pool);  /* also in a process that forked off, where it only gives back memory */

int ell_pool_is_ours(const ell_pool *pool);     /* whether this code made the pool; for another address: mostly no */
int ell_pool_has_threads(const ell_pool *pool); /* no in a process that forked off: it computes without the pool */

#endif
