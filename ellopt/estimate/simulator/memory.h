/* Caches with the least recently used line replaced, TLBs, a stride prefetcher, and buses that are busy. */
#ifndef ELLOPT_SIMULATOR_MEMORY_H
#define ELLOPT_SIMULATOR_MEMORY_H

#include "table.h"

typedef struct {
    uint64_t *lines;
    uint64_t sets;
    int ways;
} cache_t;

enum { PAGE_BYTES = 4096 };
static cache_t l1, l2, l3, tlb1, tlb2;
static uint64_t memory_lines; /* lines that came from memory, or went there past all caches */
static uint64_t l2_free, memory_free; /* when the way from there is free */

static void make_cache(cache_t *cache, int lines, int ways) {
    cache->ways = ways;
    cache->sets = lines > 0 ? (uint64_t)(lines / ways) : 0;
    cache->lines = (uint64_t *)calloc(lines > 0 ? (size_t)lines : 1, sizeof *cache->lines);
}

static void make_memory(void) {
    const int lines = 1024 / core.line; /* of a KiB */
    make_cache(&l1, core.l1_kb * lines, core.l1_ways);
    make_cache(&l2, core.l2_kb * lines, core.l2_ways);
    make_cache(&l3, core.l3_kb * lines, core.l3_ways);
    make_cache(&tlb1, core.tlb1, core.tlb1);
    make_cache(&tlb2, core.tlb2, 4);
}

/* Whether the line was there. It is the most recent one then. */
static int touch(cache_t *cache, uint64_t line) {
    if (!cache->sets) return 0;
    uint64_t *set = cache->lines + line % cache->sets * (uint64_t)cache->ways;
    int way = 0;
    while (way < cache->ways && set[way] != line) way++;
    const int hit = way < cache->ways;
    if (!hit) way--;
    memmove(set + 1, set, (size_t)way * sizeof *set);
    set[0] = line;
    return hit;
}

/* Whether the line is there. */
static int holds(const cache_t *cache, uint64_t line) {
    const uint64_t *set = cache->lines + line % cache->sets * (uint64_t)cache->ways;
    for (int way = 0; way < cache->ways; way++)
        if (set[way] == line) return 1;
    return 0;
}

/* Whether a miss continues a stream of equal steps, which a prefetcher has asked for in time. */
static int in_stream(uint64_t line) {
    enum { STREAMS = 16, LONGEST_STEP = 8 };
    static struct { uint64_t last, used; int64_t step; int hits; } streams[STREAMS];
    static uint64_t clock;
    int oldest = 0;
    clock++;
    for (int i = 0; i < STREAMS; i++) {
        const int64_t step = (int64_t)(line - streams[i].last);
        if (step && step == streams[i].step) {
            streams[i].last = line;
            streams[i].used = clock;
            return ++streams[i].hits >= 2;
        }
    }
    for (int i = 0; i < STREAMS; i++) {
        const int64_t step = (int64_t)(line - streams[i].last);
        if (step && step >= -LONGEST_STEP && step <= LONGEST_STEP && streams[i].hits < 2) {
            streams[i].last = line;
            streams[i].step = step;
            streams[i].hits = 1;
            streams[i].used = clock;
            return 0;
        }
        if (streams[i].used < streams[oldest].used) oldest = i;
    }
    streams[oldest].last = line;
    streams[oldest].step = 1;
    streams[oldest].hits = 0;
    streams[oldest].used = clock;
    return 0;
}

/* A line that is written past the first level: writes to it are gathered, and it takes the way to memory once. */
static void write_past(uint64_t line, uint64_t now) {
    static uint64_t last;
    if (line == last) return;
    last = line;
    memory_free = (memory_free > now ? memory_free : now) + (uint64_t)core.dram_line;
    memory_lines++;
}

/* The cycles beyond a hit in the first level until a line that is asked for at `now`, or written then, is there. */
static uint64_t fetch(uint64_t line, uint64_t now, int is_store) {
    const uint64_t page = line * (uint64_t)core.line / PAGE_BYTES + 1;
    uint64_t extra = 0;
    if (core.tlb1 && !touch(&tlb1, page)) extra = (uint64_t)(touch(&tlb2, page) ? core.tlb1_penalty : core.tlb2_penalty);
    line++; /* an empty place holds 0 */
    if (is_store && !core.write_allocates && !holds(&l1, line)) {
        write_past(line, now);
        return extra;
    }
    if (touch(&l1, line)) return extra;
    const int stream = core.prefetches && in_stream(line);
    const int in_l2 = touch(&l2, line), in_l3 = !in_l2 && touch(&l3, line);
    if (in_l2 || in_l3) {
        const uint64_t start = l2_free > now ? l2_free : now;
        l2_free = start + (uint64_t)core.l2_line * (in_l3 ? 2 : 1);
        return extra + start - now + (uint64_t)(stream ? 0 : in_l2 ? core.l2_latency : core.l3_latency);
    }
    const uint64_t start = memory_free > now ? memory_free : now;
    memory_free = start + (uint64_t)core.dram_line;
    memory_lines++;
    return extra + start - now + (uint64_t)(stream ? core.dram_line : core.dram_latency);
}

/* The line as it was asked for at a time that is not simulated: nobody will wait for its way. */
static void warm(uint64_t line, int is_store) {
    const uint64_t l2_before = l2_free, memory_before = memory_free;
    fetch(line, 0, is_store);
    l2_free = l2_before;
    memory_free = memory_before;
}

#endif
