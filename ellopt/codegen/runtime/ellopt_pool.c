/* A pool of threads that spin for a short while before they sleep.
 *
 * All threads run one program, which is a row of jobs, each with its own copies of what it computes on the way (one
 * program, many data: Darema and others, 1988). So nothing is handed from one to the other but what they wrote.
 *
 * Of each job each thread has a share of the tasks. One word says how many of a share's tasks have been begun since the
 * program began: who adds one to it has a task to do, the share's thread first, others when they have waited for a while.
 * Each thread counts what it has done, and all wait until the sum is that of all tasks so far. So a thread that sleeps, or
 * that the system has put aside, holds up nobody: what it has not begun is done by others, and when it comes it passes by
 * what has been done. Only the caller is waited for by all others at a program's end, and one that is in a task. */
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

enum {
    SPIN_NANOSECONDS = 200000, /* before a worker sleeps */
    NAP_NANOSECONDS = 50000,   /* in a program, where it is needed again soon */
    /* How often others are looked at before tasks are taken from those who have many left, or any. To look costs them time,
     * and what is taken has its data in another core's cache, now and in the next job. */
    PATIENCE = 64,
    MOST_PATIENCE = 16 * PATIENCE,
    MANY_TASKS = 2,
};

/* What a worker does. In a program it is RUNNING, or WAITING for others, when it uses nothing of the caller's: then the
 * caller may end the program without it. */
enum { OUTSIDE, CALLED, RUNNING, WAITING };

/* Words that different threads write lie on different lines of cache. */
typedef struct {
    _Alignas(64) uint32_t begun; /* tasks of the share since the program began */
    _Alignas(64) uint32_t done;  /* tasks that its thread has done since then, of any share */
    _Alignas(64) uint32_t state;
} share;

typedef struct {
    ell_task task;
    const void *context;
    int count, backward; /* backward: each thread has its tasks from the last to the first */
} job;

/* What the threads have in common. */
typedef struct {
    _Alignas(64) float scratch[ELL_SCRATCH_FLOATS];
    ell_program program;
    const void *context;
    uint32_t sleepers, stop;
    int threads;
    int free_cpu; /* that of no worker; -1: workers are not bound to CPUs */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    share *shares; /* one a thread */
    char *threads_own; /* as many ell_pool, `apart` bytes apart */
    size_t apart;
    pid_t process; /* where the threads are: a process that forked off has none of them */
} common;

/* A thread's own. */
struct ell_pool {
    _Alignas(64) const void *library; /* whose code made it */
    common *all;
    int worker;
    int cpu;       /* the only one that it may use; -1: any */
    int inside;    /* a program */
    int left;      /* the program that it runs has ended without it */
    pthread_t thread;
    ell_task beside; /* one more task of each share of the next job, with its context; or null */
    const void *beside_context;
    uint32_t due;   /* tasks of all jobs since the program began, */
    uint32_t end[]; /* and those of each share */
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

static ell_pool *own_of(const common *all, int worker) { return (ell_pool *)(all->threads_own + (size_t)worker * all->apart); }

static inline uint32_t state_of(const share *own) { return __atomic_load_n(&own->state, __ATOMIC_ACQUIRE); }

/* Where the state is `from`; returns whether it was. */
static inline int change_state(share *own, uint32_t from, uint32_t to) {
    return __atomic_compare_exchange_n(&own->state, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* --- places ----------------------------------------------------------------------------------------------------- */

#if defined(__linux__)
static int bind_to(ell_pool *worker, int cpu) {
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
static void spread(common *all) {
    cpu_set_t allowed;
    int own = sched_getcpu(), cpu = -1;
    if (own < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) || CPU_COUNT(&allowed) != all->threads) return;
    for (int i = 1; i < all->threads; i++) {
        do cpu++;
        while (cpu < CPU_SETSIZE && (cpu == own || !CPU_ISSET(cpu, &allowed)));
        if (cpu >= CPU_SETSIZE || !bind_to(own_of(all, i), cpu)) return;
    }
    all->free_cpu = own;
}

/* The system may move the caller, or another thread may be the caller now: a worker that is bound to the caller's CPU
 * changes to the free one. Returns whether each worker is bound to another CPU than the caller's. */
static int make_room(common *all) {
    if (all->free_cpu < 0) return 0;
    int own = sched_getcpu();
    if (own == all->free_cpu) return 1;
    for (int i = 1; i < all->threads; i++) {
        ell_pool *worker = own_of(all, i);
        if (worker->cpu == own && bind_to(worker, all->free_cpu)) {
            all->free_cpu = own;
            return 1;
        }
    }
    return 0;
}
#else
static void spread(common *all) { (void)all; }
static int make_room(common *all) {
    (void)all;
    return 0;
}
#endif

/* A worker may need the caller's very CPU. Where none does, another program would have it until the next tick: 4 ms. */
static void let_others(common *all, unsigned spins) {
    if (spins % 4096 == 4095 && !make_room(all)) sched_yield();
}

/* --- jobs ------------------------------------------------------------------------------------------------------- */

static inline int is_done(const ell_pool *own) {
    uint32_t sum = 0;
    for (int i = 0; i < own->all->threads; i++) sum += __atomic_load_n(&own->all->shares[i].done, __ATOMIC_ACQUIRE);
    return (int32_t)(sum - own->due) >= 0;
}

/* Does what nobody has begun of a share, while that is `least` tasks or more: tasks `first` to `behind` - 1 of a job. */
static void work_on(ell_pool *own, const job *j, int of, int first, int behind, int least) {
    share *from = &own->all->shares[of], *me = &own->all->shares[own->worker];
    const uint32_t end = own->end[of];
    uint32_t next = __atomic_load_n(&from->begun, __ATOMIC_RELAXED), done = 0;
    while ((int32_t)(end - next) >= least) {
        if (!__atomic_compare_exchange_n(&from->begun, &next, next + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) continue;
        const int left = (int)(end - next) - (own->beside != 0);
        if (left)
            j->task(j->context, j->backward ? first + left - 1 : behind - left, own->worker);
        else
            own->beside(own->beside_context, of, own->worker);
        next++;
        done++;
    }
    if (done) __atomic_store_n(&me->done, me->done + done, __ATOMIC_RELEASE);
}

static void nap(void) {
    const struct timespec time = {0, NAP_NANOSECONDS};
    nanosleep(&time, 0);
}

/* Waits until all tasks of a job are done, and does those that others do not get to. */
static void finish(ell_pool *own, const job *j, int each, int more) {
    common *all = own->all;
    share *me = &all->shares[own->worker];
    int waiting = 0;
    int64_t until = 0;
    for (unsigned spins = 0; !is_done(own); spins++) {
        pause_briefly();
        if (spins % PATIENCE != PATIENCE - 1) continue;
        if (waiting && !change_state(me, WAITING, RUNNING)) {
            own->left = 1;
            return;
        }
        for (int i = 1; i < all->threads; i++) {
            const int of = (own->worker + i) % all->threads, first = of * each + (of < more ? of : more);
            work_on(own, j, of, first, first + each + (of < more), spins < MOST_PATIENCE ? MANY_TASKS : 1);
        }
        if (own->worker == 0) {
            let_others(all, spins);
            continue;
        }
        __atomic_store_n(&me->state, WAITING, __ATOMIC_RELEASE);
        waiting = 1;
        if (spins < MOST_PATIENCE) continue;
        if (!until) until = nanoseconds() + SPIN_NANOSECONDS;
        if (nanoseconds() >= until) nap();
    }
    if (waiting && !change_state(me, WAITING, RUNNING)) own->left = 1;
}

/* Neighbouring tasks go to the same thread, job after job: what it reads is then likely in its own cache. */
static void run_job(ell_pool *own, const job *j) {
    if (own->left) return;
    const int threads = own->all->threads, each = j->count / threads, more = j->count % threads, beside = own->beside != 0;
    for (int i = 0; i < threads; i++) own->end[i] += (uint32_t)(each + (i < more) + beside);
    own->due += (uint32_t)(j->count + beside * threads);
    const int first = own->worker * each + (own->worker < more ? own->worker : more);
    work_on(own, j, own->worker, first, first + each + (own->worker < more), 1);
    finish(own, j, each, more);
    own->beside = 0;
}

/* --- programs --------------------------------------------------------------------------------------------------- */

static void start(ell_pool *own) {
    own->inside = 1;
    own->left = 0;
    own->beside = 0;
    own->due = 0;
    memset(own->end, 0, sizeof(uint32_t) * (size_t)own->all->threads);
}

/* Wait until there is something to do. Returns whether there is: the pool stops otherwise. */
static int wait_for_program(common *all, const share *me) {
    int64_t until = nanoseconds() + SPIN_NANOSECONDS;
    for (int spins = 0;; spins++) {
        if (state_of(me) == CALLED) return 1;
        if (__atomic_load_n(&all->stop, __ATOMIC_ACQUIRE)) return 0;
        pause_briefly();
        if (spins % 64 != 63 || nanoseconds() < until) continue;
        pthread_mutex_lock(&all->mutex);
        __atomic_add_fetch(&all->sleepers, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&me->state, __ATOMIC_SEQ_CST) != CALLED && !all->stop)
            pthread_cond_wait(&all->wake, &all->mutex);
        __atomic_sub_fetch(&all->sleepers, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&all->mutex);
        until = nanoseconds() + SPIN_NANOSECONDS;
    }
}

static void *serve(void *argument) {
    ell_pool *own = (ell_pool *)argument;
    common *all = own->all;
    share *me = &all->shares[own->worker];
    while (wait_for_program(all, me)) {
        if (!change_state(me, CALLED, RUNNING)) continue;
        start(own);
        all->program(all->context, own);
        own->inside = 0;
        if (!own->left) __atomic_store_n(&me->state, OUTSIDE, __ATOMIC_RELEASE);
    }
    return 0;
}

void ell_pool_together(ell_pool *pool, ell_program program, const void *context) {
    if (!pool) {
        program(context, pool);
        return;
    }
    common *all = pool->all;
    make_room(all);
    all->program = program;
    all->context = context;
    for (int i = 0; i < all->threads; i++) {
        __atomic_store_n(&all->shares[i].begun, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&all->shares[i].done, 0, __ATOMIC_RELAXED);
    }
    for (int i = 1; i < all->threads; i++) __atomic_store_n(&all->shares[i].state, CALLED, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&all->sleepers, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&all->mutex);
        pthread_cond_broadcast(&all->wake);
        pthread_mutex_unlock(&all->mutex);
    }
    start(pool);
    program(context, pool);
    pool->inside = 0;
    for (int i = 1; i < all->threads; i++) {
        share *worker = &all->shares[i];
        for (unsigned spins = 0; state_of(worker) != OUTSIDE; spins++) {
            if (change_state(worker, WAITING, OUTSIDE) || change_state(worker, CALLED, OUTSIDE)) break;
            pause_briefly();
            let_others(all, spins);
        }
    }
}

int ell_pool_goes_on(const ell_pool *pool) { return !pool || !pool->left; }

int ell_pool_is_callers(const ell_pool *pool) { return !pool || pool->worker == 0; }

static void one_job(const void *context, ell_pool *pool) { run_job(pool, (const job *)context); }

static void run(ell_pool *pool, const job *j) {
    if (pool->inside)
        run_job(pool, j);
    else
        ell_pool_together(pool, one_job, j);
}

static void in_order(const void *context, int index, int worker) {
    (void)index;
    const job *j = (const job *)context;
    for (int i = 0; i < j->count; i++) {
        const int at = j->backward ? j->count - 1 - i : i;
        j->task(j->context, at, worker);
    }
}

void ell_pool_run_alone(ell_pool *pool, ell_task task, const void *context, int count) {
    const job all = {task, context, count, 0};
    if (!pool || !pool->inside) {
        in_order(&all, 0, 0);
        return;
    }
    const job alone = {in_order, &all, 1, 0};
    run_job(pool, &alone);
}

void ell_pool_run(ell_pool *pool, ell_task task, const void *context, int count) {
    const job j = {task, context, count, 0};
    if (!pool || (count <= 1 && !pool->inside))
        in_order(&j, 0, 0);
    else
        run(pool, &j);
}

void ell_pool_run_back(ell_pool *pool, ell_task task, const void *context, int count) {
    const job j = {task, context, count, 1};
    if (!pool || (count <= 1 && !pool->inside))
        in_order(&j, 0, 0);
    else
        run(pool, &j);
}

void ell_pool_beside(ell_pool *pool, ell_task task, const void *context) {
    pool->beside = task;
    pool->beside_context = context;
}

int ell_pool_threads(const ell_pool *pool) { return pool ? pool->all->threads : 1; }

float *ell_pool_scratch(ell_pool *pool) { return pool->all->scratch; }

/* --- life ------------------------------------------------------------------------------------------------------- */

static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

ell_pool *ell_pool_create(int threads) {
    if (threads <= 1 || threads > ELL_MOST_THREADS) return 0;
    void *memory = 0;
    const size_t apart = whole_lines(sizeof(ell_pool) + sizeof(uint32_t) * (size_t)threads);
    const size_t own = apart * (size_t)threads, shares = sizeof(share) * (size_t)threads;
    if (posix_memalign(&memory, 64, own + shares + sizeof(common))) return 0;
    memset(memory, 0, own + shares + sizeof(common));
    ell_pool *pool = (ell_pool *)memory;
    common *all = (common *)((char *)memory + own + shares);
    all->shares = (share *)((char *)memory + own);
    all->threads_own = (char *)memory;
    all->apart = apart;
    if (pthread_mutex_init(&all->mutex, 0)) {
        free(memory);
        return 0;
    }
    pthread_cond_init(&all->wake, 0);
    all->threads = 1;
    all->free_cpu = -1;
    all->process = getpid();
    pool->library = &this_library;
    pool->all = all;
    for (int i = 1; i < threads; i++) {
        ell_pool *worker = own_of(all, i);
        worker->all = all;
        worker->worker = i;
        worker->cpu = -1;
        if (pthread_create(&worker->thread, 0, serve, worker)) break;
        all->threads++;
    }
    if (all->threads < threads) {
        ell_pool_destroy(pool);
        return 0;
    }
    spread(all);
    return pool;
}

int ell_pool_is_ours(const ell_pool *pool) {
    return ((uintptr_t)pool & 63) == 0 && pool->library == &this_library;
}

int ell_pool_has_threads(const ell_pool *pool) { return pool->all->process == getpid(); }

void ell_pool_destroy(ell_pool *pool) {
    if (!pool) return;
    common *all = pool->all;
    pool->library = 0;
    /* In a process that forked off, the mutex may be locked by a thread that is not there. */
    if (ell_pool_has_threads(pool)) {
        pthread_mutex_lock(&all->mutex);
        __atomic_store_n(&all->stop, 1, __ATOMIC_SEQ_CST);
        pthread_cond_broadcast(&all->wake);
        pthread_mutex_unlock(&all->mutex);
        for (int i = 1; i < all->threads; i++) pthread_join(own_of(all, i)->thread, 0);
        pthread_cond_destroy(&all->wake);
        pthread_mutex_destroy(&all->mutex);
    }
    free(pool);
}
