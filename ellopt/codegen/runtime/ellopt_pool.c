/* A pool of threads that spin for a short while before they sleep.
 *
 * `state` holds, in one word, the number of the job (upper half), whether it is open, and how many workers joined it.
 * A worker joins by adding one while the job is open; the caller closes the job once all its tasks are handed out, and
 * then waits only for those that joined. So a worker that sleeps, or that the system has put aside, holds up nobody. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif

#include "ellopt_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define OPEN 0x8000u
#define JOINED 0x7fffu
#define JOB_SHIFT 16
#define SPIN_NANOSECONDS 200000

typedef struct {
    struct ell_pool *pool;
    int worker;
    int cpu; /* the only one that it may use; -1: any */
    pthread_t thread;
} member;

/* The tasks that a worker does first; others take what is left of them when they have done their own. */
typedef struct {
    _Alignas(64) uint32_t next;
    uint32_t end;
} share;

struct ell_pool {
    /* Words that different threads write lie on different cache lines. */
    _Alignas(64) uint32_t state;
    _Alignas(64) uint32_t left; /* workers that have left the job again */
    _Alignas(64) ell_task task;
    const void *context;
    share *shares; /* one a worker */
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

/* Neighbouring tasks go to the same worker, job after job: what it reads is then likely in its own cache. */
static void work(ell_pool *pool, int worker) {
    for (int i = 0; i < pool->threads; i++) {
        share *tasks = &pool->shares[(worker + i) % pool->threads];
        while (__atomic_load_n(&tasks->next, __ATOMIC_RELAXED) < tasks->end) {
            uint32_t index = __atomic_fetch_add(&tasks->next, 1, __ATOMIC_RELAXED);
            if (index >= tasks->end) break;
            pool->task(pool->context, (int)index, worker);
        }
    }
}

/* Wait until a job other than `seen` is open, or the pool stops. Returns the state with that job, joined. */
static uint32_t join_next(ell_pool *pool, uint32_t seen) {
    int64_t until = nanoseconds() + SPIN_NANOSECONDS;
    for (int spins = 0;; spins++) {
        uint32_t state = __atomic_load_n(&pool->state, __ATOMIC_ACQUIRE);
        while ((state & OPEN) && state >> JOB_SHIFT != seen)
            if (__atomic_compare_exchange_n(&pool->state, &state, state + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
                return state;
        if (__atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE)) return 0;
        pause_briefly();
        if (spins % 64 != 63 || nanoseconds() < until) continue;
        pthread_mutex_lock(&pool->mutex);
        __atomic_add_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
        for (;;) {
            state = __atomic_load_n(&pool->state, __ATOMIC_SEQ_CST);
            if (((state & OPEN) && state >> JOB_SHIFT != seen) || pool->stop) break;
            pthread_cond_wait(&pool->wake, &pool->mutex);
        }
        __atomic_sub_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&pool->mutex);
        until = nanoseconds() + SPIN_NANOSECONDS;
    }
}

static void *serve(void *argument) {
    member *self = (member *)argument;
    ell_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        uint32_t state = join_next(pool, seen);
        if (!state) return 0;
        seen = state >> JOB_SHIFT;
        work(pool, self->worker);
        __atomic_add_fetch(&pool->left, 1, __ATOMIC_RELEASE);
    }
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
 * changes to the free one. */
static void make_room(ell_pool *pool) {
    if (pool->free_cpu < 0) return;
    int own = sched_getcpu();
    if (own == pool->free_cpu) return;
    for (int i = 1; i < pool->threads; i++)
        if (pool->members[i].cpu == own && bind_to(&pool->members[i], pool->free_cpu)) {
            pool->free_cpu = own;
            return;
        }
}
#else
static void spread(ell_pool *pool) { (void)pool; }
static void make_room(ell_pool *pool) { (void)pool; }
#endif

void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count) {
    if (!pool || count <= 1) {
        for (int i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    make_room(pool);
    pool->task = task;
    pool->context = context;
    for (int64_t i = 0; i < pool->threads; i++) {
        pool->shares[i].next = (uint32_t)(i * count / pool->threads);
        pool->shares[i].end = (uint32_t)((i + 1) * count / pool->threads);
    }
    __atomic_store_n(&pool->left, 0, __ATOMIC_RELAXED);
    /* Jobs are numbered from 1: 0 is what a new worker has seen. */
    uint32_t job = (__atomic_load_n(&pool->state, __ATOMIC_RELAXED) >> JOB_SHIFT) + 1;
    if (job > 0xffffu) job = 1;
    __atomic_store_n(&pool->state, job << JOB_SHIFT | OPEN, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
    work(pool, 0);
    uint32_t joined = __atomic_fetch_and(&pool->state, ~OPEN, __ATOMIC_ACQ_REL) & JOINED;
    for (int spins = 1; __atomic_load_n(&pool->left, __ATOMIC_ACQUIRE) != joined; spins++) {
        pause_briefly();
        if (spins % 4096 == 0) sched_yield();
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
    if (posix_memalign(&memory, 64, sizeof(ell_pool) + (size_t)threads * sizeof(share))) return 0;
    ell_pool *pool = (ell_pool *)memory;
    *pool = (ell_pool){0};
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
