/* What every runner does: reads a job, takes turns, writes a result. Included by the one file that has its main().
 *
 * The job is text; the result is binary and ends with a checksum and a mark, so that a part of it is never taken for
 * the whole. A runner exits with 3 when something around it is wrong (files, memory); stderr says what. */
#ifndef ELLOPT_RUNNER_H
#define ELLOPT_RUNNER_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "simulated.h"

enum { CHECK, PROFILE, BENCH, PREDICT };
static const char *const kinds[] = {"check", "profile", "bench", "predict"};

/* What a job says; what it says of each plan follows in the text. By plan, `turn_warm_up`: the untimed passes of a
 * turn; `unchecked`: whether the first of them has yet to be a check, made for that if there is none. */
typedef struct {
    int kind, threads, warm_up, rounds, turn_passes, plans, layers;
    int64_t limit_ns, interval_ns; /* `interval_ns`: timed passes begin so far apart, 0: at once */
    double slow_factor;
    char *unchecked;
    int *turn_warm_up;
    uint32_t checksum;
} job_t;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("runner: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(3);
}

static int64_t now_ns(void) {
    struct timespec t;
    if (simulated_clock()) {
        simulate(SIMULATE_READ, 0, 0);
        return *simulated_clock();
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *allocate(size_t bytes) {
    void *p = 0;
    if (posix_memalign(&p, 64, bytes + 64)) fail("out of memory: %zu bytes", bytes);
    memset(p, 0, bytes + 64);
    return p;
}

static uint32_t crc32(uint32_t crc, const void *data, size_t bytes) {
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            table[i] = c;
        }
    const unsigned char *p = (const unsigned char *)data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) crc = table[(crc ^ p[i]) & 255] ^ (crc >> 8);
    return ~crc;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static char program_directory[4096] = ".";

static void remember_directory(const char *program) {
    const char *slash = strrchr(program, '/');
    if (!slash || (size_t)(slash - program) >= sizeof program_directory) return;
    memcpy(program_directory, program, (size_t)(slash - program));
    program_directory[slash - program] = 0;
}

/* A file of exactly `bytes` (any number if 0), mapped; empty files are null. */
static const void *map_file(const char *name, size_t bytes, size_t *size) {
    char path[8192];
    int file = open(name, O_RDONLY);
    if (file < 0) {
        snprintf(path, sizeof path, "%s/%s", program_directory, name);
        file = open(path, O_RDONLY);
    }
    struct stat facts;
    if (file < 0 || fstat(file, &facts)) fail("cannot open %s: %s", name, strerror(errno));
    size_t found = (size_t)facts.st_size;
    if (bytes && found != bytes) fail("%s has %zu bytes instead of %zu", name, found, bytes);
    if (size) *size = found;
    if (!found) return 0;
    void *p = mmap(0, found, PROT_READ, MAP_PRIVATE, file, 0);
    if (p == MAP_FAILED) {
        p = allocate(found);
        for (size_t done = 0; done < found;) {
            ssize_t n = read(file, (char *)p + done, found - done);
            if (n <= 0) fail("cannot read %s", name);
            done += (size_t)n;
        }
    }
    close(file);
    return p;
}

/* --- the job ---------------------------------------------------------------------------------------------------- */

static const char *cursor, *job_end;

static const char *word(void) {
    static char text[64];
    size_t n = 0;
    while (cursor < job_end && (*cursor == ' ' || *cursor == '\n')) cursor++;
    while (cursor < job_end && *cursor != ' ' && *cursor != '\n' && n < sizeof text - 1) text[n++] = *cursor++;
    text[n] = 0;
    return text;
}

static void expect(const char *name) {
    const char *found = word();
    if (strcmp(found, name)) fail("the job has %s where %s belongs", found, name);
}

static int number(int least, int most) {
    char *end;
    const char *text = word();
    long value = strtol(text, &end, 10);
    if (!*text || *end || value < least || value > most) fail("bad number in the job: %s", text);
    return (int)value;
}

static int setting(const char *name, int least, int most) {
    expect(name);
    return number(least, most);
}

/* Reads the job up to its plans. */
static job_t read_job_head(const char *name) {
    job_t job = {0};
    size_t size;
    cursor = (const char *)map_file(name, 0, &size);
    job_end = cursor + size;
    job.checksum = crc32(0, cursor, size);
    expect("ellopt-job");
    number(2, 2);
    expect("kind");
    const char *kind = word();
    for (job.kind = 0; job.kind < 4 && strcmp(kind, kinds[job.kind]); job.kind++) {}
    if (job.kind == 4) fail("unknown kind of job: %s", kind);
    job.threads = setting("threads", 1, 1024);
    job.warm_up = setting("warm_up", 0, 1 << 30);
    job.rounds = setting("rounds", 0, 1 << 30);
    job.turn_passes = setting("turn_passes", 0, 1 << 30);
    job.limit_ns = (int64_t)setting("limit_ms", 0, 2147483647) * 1000000;
    expect("slow_factor");
    job.slow_factor = atof(word());
    const char *next = word();
    if (!strcmp(next, "interval_us")) {
        job.interval_ns = (int64_t)number(1, 2147483647) * 1000;
        next = word();
    }
    if (strcmp(next, "plans")) fail("the job has %s where plans belongs", next);
    job.plans = number(1, 1 << 20);
    job.layers = setting("layers", 0, 1 << 20);
    job.unchecked = (char *)allocate((size_t)job.plans);
    expect("unchecked");
    for (int p = 0; p < job.plans; p++) job.unchecked[p] = (char)number(0, 1);
    job.turn_warm_up = (int *)allocate((size_t)job.plans * sizeof *job.turn_warm_up);
    expect("turn_warm_up");
    for (int p = 0; p < job.plans; p++) job.turn_warm_up[p] = number(0, 1 << 30);
    return job;
}

/* --- the result ------------------------------------------------------------------------------------------------- */

static int64_t *records;
static size_t record_words, record_capacity, record_count;

static void put(int64_t value) {
    if (record_words == record_capacity) {
        record_capacity = record_capacity ? 2 * record_capacity : 4096;
        records = (int64_t *)realloc(records, record_capacity * sizeof *records);
        if (!records) fail("out of memory");
    }
    records[record_words++] = value;
}

/* The largest resident memory of this process. On Linux getrusage also counts who started it, before exec. */
static int64_t peak_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kib = -1;
    while (file && kib < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lld", &kib) != 1) kib = -1;
    if (file) fclose(file);
    if (kib >= 0) return (int64_t)kib * 1024;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return usage.ru_maxrss;
#else
    return (int64_t)usage.ru_maxrss * 1024;
#endif
}

static void write_result(const char *name, const job_t *job, int steps, int64_t elapsed) {
    int64_t peak = peak_bytes();
    const int64_t header[] = {
        2,          (int64_t)job->checksum, job->kind, job->plans, job->layers, steps, (int64_t)record_count,
        (int64_t)record_words, elapsed, peak,
    };
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.part", name);
    FILE *file = fopen(temporary, "wb");
    if (!file) fail("cannot write %s: %s", name, strerror(errno));
    uint32_t crc = crc32(0, "ELLRES01", 8);
    crc = crc32(crc, header, sizeof header);
    crc = crc32(crc, records, record_words * sizeof *records);
    const int64_t checksum = (int64_t)crc;
    fwrite("ELLRES01", 1, 8, file);
    fwrite(header, sizeof header, 1, file);
    fwrite(records, sizeof *records, record_words, file);
    fwrite(&checksum, sizeof checksum, 1, file);
    fwrite("ELLDONE1", 1, 8, file);
    int failed = ferror(file) | fflush(file);
    if (fclose(file) || failed || rename(temporary, name)) fail("cannot write %s: %s", name, strerror(errno));
}

/* --- turns ------------------------------------------------------------------------------------------------------ */

/* The including file's own: one pass of a plan; with `times`, the nanoseconds of each step, and returns their sum. */
static int64_t pass(const job_t *job, const void *context, int plan, int64_t *times);
/* ... and one that checks what it computes; it puts records of `words` words. */
static void check_pass(const job_t *job, const void *context, int plan, int words);

/* What is timed lasts at least so many steps of the clock: shorter passes are timed many at once. */
enum { ENOUGH_TICKS = 1000 };

/* The nanoseconds of the smallest step of the clock that can be seen. */
static int64_t clock_tick(void) {
    static int64_t tick;
    if (tick || simulated_clock()) return tick; /* a simulated clock has no steps */
    int64_t least = INT64_MAX;
    for (int i = 0; i < 1000; i++) {
        const int64_t before = now_ns();
        int64_t after;
        while ((after = now_ns()) == before) {}
        if (after - before < least) least = after - before;
    }
    return tick = least > 0 ? least : 1;
}

/* How plans are timed: `times` and `sums` have a place for each step, or are null where only whole passes are timed;
 * `quickest` has the nanoseconds of the quickest pass of each plan so far. */
typedef struct {
    int steps;
    int64_t *times, *sums, *quickest;
} stopwatch_t;

static void untimed_pass(const job_t *job, const void *context, int plan, const stopwatch_t *watch) {
    simulate(SIMULATE_WARM, 0, 0);
    const int64_t start = now_ns();
    pass(job, context, plan, 0);
    const int64_t took = now_ns() - start;
    simulate(SIMULATE_OFF, 0, 0);
    if (took < watch->quickest[plan]) watch->quickest[plan] = took;
}

/* How many passes of a plan are timed at once. */
static int64_t batch(int plan, const stopwatch_t *watch) {
    const int64_t needed = ENOUGH_TICKS * clock_tick(), quickest = watch->quickest[plan];
    return quickest >= needed ? 1 : needed / (quickest > 0 ? quickest : 1) + 1;
}

/* Times `passes` passes of a plan. Returns the picoseconds of one; `sums` has those of the steps of all, in nanoseconds. */
static int64_t timed(const job_t *job, const void *context, int plan, int64_t passes, const stopwatch_t *watch) {
    int64_t total = 0;
    simulate(SIMULATE_MEASURE, 0, 0);
    if (!watch->times) {
        const int64_t start = now_ns();
        for (int64_t i = 0; i < passes; i++) pass(job, context, plan, 0);
        total = now_ns() - start;
    } else {
        memset(watch->sums, 0, sizeof *watch->sums * (size_t)watch->steps);
        for (int64_t i = 0; i < passes; i++) {
            total += pass(job, context, plan, watch->times);
            for (int s = 0; s < watch->steps; s++) watch->sums[s] += watch->times[s];
        }
    }
    simulate(SIMULATE_OFF, 0, 0);
    if (total / passes < watch->quickest[plan]) watch->quickest[plan] = total / passes;
    return total * 1000 / passes;
}

static void wait_until(int64_t moment) {
    for (int64_t left; (left = moment - now_ns()) > 0;) {
        const struct timespec pause = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
        nanosleep(&pause, 0);
    }
}

/* A plan's turn in a round. Returns whether it takes further part: not if its first pass was too slow beside `fastest`,
 * the picoseconds of the fastest first pass so far. */
static int turn(const job_t *job, const void *context, int plan, int round, const stopwatch_t *watch, int64_t *fastest) {
    for (int i = 0; i < job->turn_warm_up[plan] || job->unchecked[plan]; i++) {
        if (job->unchecked[plan])
            check_pass(job, context, plan, watch->times ? 3 + watch->steps : 3);
        else
            untimed_pass(job, context, plan, watch);
        job->unchecked[plan] = 0;
    }
    const int paced = job->interval_ns && !simulated_clock();
    const int64_t begin = paced ? now_ns() : 0;
    for (int i = 0; i < job->turn_passes; i++) {
        if (paced) {
            wait_until(begin + i * job->interval_ns);
            put(plan);
            put(round);
            put(timed(job, context, plan, 1, watch));
            for (int s = 0; watch->times && s < watch->steps; s++) put(watch->sums[s] * 1000);
            record_count++;
            continue;
        }
        int64_t passes = watch->quickest[plan] == INT64_MAX ? 1 : batch(plan, watch);
        int64_t total = timed(job, context, plan, passes, watch);
        if (passes == 1 && batch(plan, watch) > 1) { /* not known before that it is so quick */
            passes = batch(plan, watch);
            total = timed(job, context, plan, passes, watch);
        }
        put(plan);
        put(round);
        put(total);
        for (int s = 0; watch->times && s < watch->steps; s++) put(watch->sums[s] * 1000 / passes);
        record_count++;
        if (round || i || job->slow_factor <= 0) continue;
        if (total < *fastest) *fastest = total;
        if ((double)total > job->slow_factor * (double)*fastest) return 0;
    }
    return 1;
}

/* Warms every plan up, then lets them take turns, round by round. */
static void measure(const job_t *job, const void *context, int steps) {
    int64_t begin = now_ns(), fastest = INT64_MAX;
    stopwatch_t watch = {steps, 0, 0, (int64_t *)allocate(sizeof(int64_t) * (size_t)job->plans)};
    if (job->kind == PROFILE) {
        watch.times = (int64_t *)allocate(sizeof(int64_t) * (size_t)steps);
        watch.sums = (int64_t *)allocate(sizeof(int64_t) * (size_t)steps);
    }
    char *out = (char *)allocate((size_t)job->plans);
    for (int p = 0; p < job->plans; p++) {
        watch.quickest[p] = INT64_MAX;
        for (int i = 0; i < job->warm_up; i++) untimed_pass(job, context, p, &watch);
    }
    for (int round = 0; round < job->rounds; round++) {
        for (int p = 0; p < job->plans; p++)
            if (!out[p]) out[p] = (char)!turn(job, context, p, round, &watch, &fastest);
        if (now_ns() - begin > job->limit_ns) break;
    }
}

#endif
