/* A pool of threads that spin for a short while before they sleep.
 *
 * Each thread has a share of a job's tasks. One word says which of them nobody has begun yet: who adds one to it has a task
 * to do, the share's thread first, the others when nothing is left of their own. Workers count what they have done, and the
 * caller waits until that is what it has not done itself. So a worker that sleeps, or that the system has put aside, holds
 * up nobody, and few lines of cache go from one thread to the other: the word with what it belongs to, and the count. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif

#include "ellopt_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define SPIN_NANOSECONDS 200000

typedef struct {
    struct ell_pool *pool;
    int worker;
    int cpu; /* the only one that it may use; -1: any */
    pthread_t thread;
} member;

/* Half of a word: tasks are counted in each. */
#define HALF (4 * sizeof(size_t))
#define LOWER (((size_t)1 << HALF) - 1)
#define MOST_TASKS (LOWER - ELL_MOST_THREADS) /* each thread may add one to `tasks` when nothing is left */

/* What a worker does first. Words that different threads write lie on different lines of cache. */
typedef struct {
    _Alignas(64) size_t tasks; /* the next one, and in the lower half the end */
    ell_task task;
    const void *context;
    _Alignas(64) uint32_t done; /* how many tasks its worker has done in all jobs */
} share;

struct ell_pool {
    _Alignas(64) uint32_t by_others; /* what all workers but the caller will have done when the job is done */
    _Alignas(64) share *shares;      /* one a worker */
    uint32_t sleepers, stop;
    int threads;
    int free_cpu; /* that of no worker; -1: workers are not bound to CPUs */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    member *members;
    const void *library; /* whose code made it */
    pid_t process;       /* where its threads are: a process that forked off has none of them */
};

/* Every library has one, at an address of its own. */
static char this_library;

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int has_tasks(size_t tasks) { return tasks >> HALF < (tasks & LOWER); }

/* Does what is left of a share; returns how many tasks that were. */
static uint32_t work_on(share *from, int worker) {
    uint32_t done = 0;
    while (has_tasks(__atomic_load_n(&from->tasks, __ATOMIC_RELAXED))) {
        /* In between it may have become the next job's: what is begun now is a task of that one. */
        const size_t tasks = __atomic_fetch_add(&from->tasks, LOWER + 1, __ATOMIC_ACQUIRE);
        if (!has_tasks(tasks)) break;
        from->task(from->context, (int)(tasks >> HALF), worker);
        done++;
    }
    return done;
}

/* Neighbouring tasks go to the same worker, job after job: what it reads is then likely in its own cache. Returns how many
 * it has done. Where that is counted in `count`, each share's are added when they are done. */
static uint32_t work(ell_pool *pool, int worker, uint32_t *count) {
    uint32_t all = 0;
    for (int i = 0; i < pool->threads; i++) {
        const uint32_t done = work_on(&pool->shares[(worker + i) % pool->threads], worker);
        if (count && done) __atomic_store_n(count, *count + done, __ATOMIC_RELEASE);
        all += done;
    }
    return all;
}

/* Wait until there is something to do. Returns whether there is: the pool stops otherwise. */
static int wait_for_tasks(ell_pool *pool, const share *own) {
    int64_t until = nanoseconds() + SPIN_NANOSECONDS;
    for (int spins = 0;; spins++) {
        if (has_tasks(__atomic_load_n(&own->tasks, __ATOMIC_ACQUIRE))) return 1;
        if (__atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE)) return 0;
        pause_briefly();
        if (spins % 64 != 63 || nanoseconds() < until) continue;
        pthread_mutex_lock(&pool->mutex);
        __atomic_add_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
        while (!has_tasks(__atomic_load_n(&own->tasks, __ATOMIC_SEQ_CST)) && !pool->stop)
            pthread_cond_wait(&pool->wake, &pool->mutex);
        __atomic_sub_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&pool->mutex);
        until = nanoseconds() + SPIN_NANOSECONDS;
    }
}

static void *serve(void *argument) {
    member *self = (member *)argument;
    ell_pool *pool = self->pool;
    share *own = &pool->shares[self->worker];
    while (wait_for_tasks(pool, own)) work(pool, self->worker, &own->done);
    return 0;
}

#if defined(__linux__)
static int bind_to(member *worker, int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (pthread_setaffinity_np(worker->thread, sizeof(one), &one)) return 0;
    worker->cpu = cpu;
    return 1;
}

/* Where a pool takes all CPUs that it may use, every worker gets one of its own, other than the caller's. Left to
 * themselves, a caller and a worker that it has just woken often share a CPU for milliseconds, and time is doubled.
 * With CPUs to spare the system chooses: other pools may be at work. */
static void spread(ell_pool *pool) {
    cpu_set_t allowed;
    int own = sched_getcpu(), cpu = -1;
    if (own < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) || CPU_COUNT(&allowed) != pool->threads) return;
    for (int i = 1; i < pool->threads; i++) {
        do cpu++;
        while (cpu < CPU_SETSIZE && (cpu == own || !CPU_ISSET(cpu, &allowed)));
        if (cpu >= CPU_SETSIZE || !bind_to(&pool->members[i], cpu)) return;
    }
    pool->free_cpu = own;
}

/* The system may move the caller, or another thread may be the caller now: a worker that is bound to the caller's CPU
 * changes to the free one. Returns whether each worker is bound to another CPU than the caller's. */
static int make_room(ell_pool *pool) {
    if (pool->free_cpu < 0) return 0;
    int own = sched_getcpu();
    if (own == pool->free_cpu) return 1;
    for (int i = 1; i < pool->threads; i++)
        if (pool->members[i].cpu == own && bind_to(&pool->members[i], pool->free_cpu)) {
            pool->free_cpu = own;
            return 1;
        }
    return 0;
}
#else
static void spread(ell_pool *pool) { (void)pool; }
static int make_room(ell_pool *pool) {
    (void)pool;
    return 0;
}
#endif

static uint32_t done_by_others(const ell_pool *pool) {
    uint32_t sum = 0;
    for (int i = 1; i < pool->threads; i++) sum += __atomic_load_n(&pool->shares[i].done, __ATOMIC_ACQUIRE);
    return sum;
}

void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count) {
    if (!pool || count <= 1 || (size_t)count > MOST_TASKS) {
        for (int i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    make_room(pool);
    for (int64_t i = pool->threads - 1; i >= 0; i--) {
        share *own = &pool->shares[i];
        own->task = task;
        own->context = context;
        const size_t first = (size_t)(i * count / pool->threads), end = (size_t)((i + 1) * count / pool->threads);
        __atomic_store_n(&own->tasks, first << HALF | end, __ATOMIC_SEQ_CST);
    }
    if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
    pool->by_others += (uint32_t)count - work(pool, 0, 0);
    for (int spins = 1; done_by_others(pool) != pool->by_others; spins++) {
        pause_briefly();
        /* A worker may need this very CPU. Where none does, another program would have it until the next tick: 4 ms. */
        if (spins % 4096 == 0 && !make_room(pool)) sched_yield();
    }
}

/* Tasks by their own count from the last to the first of the worker's share. */
typedef struct {
    ell_task task;
    const void *context;
    int count, shares;
} backward;

static void backward_task(const void *context, int index, int worker) {
    const backward *b = (const backward *)context;
    int64_t share = 0, first = 0, end;
    while ((end = (share + 1) * b->count / b->shares) <= index) {
        first = end;
        share++;
    }
    b->task(b->context, (int)(first + end - 1 - index), worker);
}

void ell_pool_run_back(ell_pool *pool, ell_task task, const void *context, int count) {
    if (!pool) {
        for (int i = count - 1; i >= 0; i--) task(context, i, 0);
        return;
    }
    const backward tasks = {task, context, count, pool->threads};
    ell_pool_run(pool, backward_task, &tasks, count);
}

int ell_pool_threads(const ell_pool *pool) { return pool ? pool->threads : 1; }

ell_pool *ell_pool_create(int threads) {
    if (threads <= 1 || threads > ELL_MOST_THREADS) return 0;
    void *memory = 0;
    const size_t bytes = sizeof(ell_pool) + (size_t)threads * sizeof(share);
    if (posix_memalign(&memory, 64, bytes)) return 0;
    memset(memory, 0, bytes);
    ell_pool *pool = (ell_pool *)memory;
    pool->shares = (share *)(pool + 1);
    pool->members = (member *)calloc((size_t)threads, sizeof(member));
    if (!pool->members || pthread_mutex_init(&pool->mutex, 0)) {
        free(pool->members);
        free(pool);
        return 0;
    }
    pthread_cond_init(&pool->wake, 0);
    pool->threads = 1;
    pool->free_cpu = -1;
    pool->library = &this_library;
    pool->process = getpid();
    for (int i = 1; i < threads; i++) {
        pool->members[i] = (member){pool, i, -1, 0};
        if (pthread_create(&pool->members[i].thread, 0, serve, &pool->members[i])) break;
        pool->threads++;
    }
    if (pool->threads < threads) {
        ell_pool_destroy(pool);
        return 0;
    }
    spread(pool);
    return pool;
}

int ell_pool_is_ours(const ell_pool *pool) {
    return ((uintptr_t)pool & 63) == 0 && pool->library == &this_library;
}

int ell_pool_has_threads(const ell_pool *pool) { return pool->process == getpid(); }

void ell_pool_destroy(ell_pool *pool) {
    if (!pool) return;
    pool->library = 0;
    /* In a process that forked off, the mutex may be locked by a thread that is not there. */
    if (ell_pool_has_threads(pool)) {
        pthread_mutex_lock(&pool->mutex);
        __atomic_store_n(&pool->stop, 1, __ATOMIC_SEQ_CST);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
        for (int i = 1; i < pool->threads; i++) pthread_join(pool->members[i].thread, 0);
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->mutex);
    }
    free(pool->members);
    free(pool);
}
