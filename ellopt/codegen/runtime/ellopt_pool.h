/* A persistent pool of threads. The calling thread is worker 0 and takes part. */
#ifndef ELLOPT_POOL_H
#define ELLOPT_POOL_H

typedef struct ell_pool ell_pool;

/* Runs program(context, pool) on every thread, each with a pool of its own, and returns when it has ended on the calling
 * one. All of them call the functions below with the same tasks and numbers in the same order, with a context of their own
 * each; what they do between these calls must change nothing that they have in common. A thread may come too late: then
 * ell_pool_goes_on is 0 behind one of these calls, and it returns without reading `context` and what it points to. With
 * a null pool, program(context, 0) runs. */
typedef void (*ell_program)(const void *context, ell_pool *pool);
void ell_pool_together(ell_pool *pool, ell_program program, const void *context);
int ell_pool_goes_on(const ell_pool *pool);
int ell_pool_is_callers(const ell_pool *pool); /* whether it is the calling thread's; also a null pool */

/* task(context, index, worker): index runs over 0 .. count-1, each exactly once; worker is 0 .. threads-1 and
 * is never used by two tasks at once, so it can pick a slice of a workspace. Returns when all are done. With a
 * null pool the tasks run in order on the calling thread as worker 0. Outside of a program it is one by itself. */
typedef void (*ell_task)(const void *context, int index, int worker);
void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count);
/* The same, but each thread has its tasks from the last to the first: of a tensor that is larger than the cache, the rows
 * that were written last are still there, and by reading them first nothing of them is lost. */
void ell_pool_run_back(ell_pool *pool, ell_task task, const void *context, int count);
/* The same in order on one thread, whichever it is. */
void ell_pool_run_alone(ell_pool *pool, ell_task task, const void *context, int count);
/* In a program, task(context, 0 .. threads-1, worker) are more tasks of the next job, one for each thread's share. */
void ell_pool_beside(ell_pool *pool, ell_task task, const void *context);
int ell_pool_threads(const ell_pool *pool); /* 1 for a null pool */
/* Floats that all threads of a program have in common, on whole lines of cache; not for a null pool. */
#define ELL_SCRATCH_FLOATS 8192
float *ell_pool_scratch(ell_pool *pool);

#define ELL_MOST_THREADS 1024
ell_pool *ell_pool_create(int threads); /* null when threads <= 1, are too many or cannot all be started */
void ell_pool_destroy(ell_pool *pool);  /* also in a process that forked off, where it only gives back memory */

int ell_pool_is_ours(const ell_pool *pool);     /* whether this code made the pool; for another address: mostly no */
int ell_pool_has_threads(const ell_pool *pool); /* no in a process that forked off: it computes without the pool */

#endif
