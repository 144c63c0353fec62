/* Two kinds of pipelines: in order, and out of order with a reorder buffer. */
#ifndef ELLOPT_SIMULATOR_PIPELINE_H
#define ELLOPT_SIMULATOR_PIPELINE_H

#include "memory.h"

/* Which cycles a port is taken in: a ring of words of 64 cycles, each with the number of the word that it stands for. */
enum { PORTS = 16, RING = 1024 };
static uint64_t taken[PORTS][RING], stands_for[PORTS][RING];

static uint64_t ready[REGISTERS];      /* when a register's value is there */
static uint8_t accumulated[REGISTERS]; /* whether a multiply-add made it */
static uint64_t now, places;           /* the cycle of issue or dispatch, and the places taken in it */
static uint64_t retired, retired_now;  /* the cycle of retirement, and how many retired in it */

static uint64_t port_word(int port, uint64_t word) {
    return stands_for[port][word % RING] == word ? taken[port][word % RING] : 0;
}

static int is_free(int port, uint64_t cycle) { return !(port_word(port, cycle >> 6) >> (cycle & 63) & 1); }

static void take(int port, uint64_t cycle) {
    const uint64_t word = cycle >> 6;
    if (stands_for[port][word % RING] != word) {
        stands_for[port][word % RING] = word;
        taken[port][word % RING] = 0;
    }
    taken[port][word % RING] |= 1ull << (cycle & 63);
}

/* Takes the first free cycle, from `from` on, of any of the ports. */
static uint64_t reserve(unsigned ports, uint64_t from, int cycles) {
    for (uint64_t word = from >> 6;; word++) {
        uint64_t first = 64;
        int best = -1;
        for (unsigned left = ports; left; left &= left - 1) {
            const int port = __builtin_ctz(left);
            uint64_t open = ~port_word(port, word);
            if (word == from >> 6) open &= ~0ull << (from & 63);
            if (open && (uint64_t)__builtin_ctzll(open) < first) {
                first = (uint64_t)__builtin_ctzll(open);
                best = port;
            }
        }
        if (best < 0) continue;
        const uint64_t cycle = (word << 6) + first;
        for (int i = 0; i < cycles; i++) take(best, cycle + (uint64_t)i);
        return cycle;
    }
}

static uint64_t operands(const row_t *row) {
    uint64_t latest = 0;
    for (int i = 0; i < row->sources; i++) {
        const int source = row->source[i];
        const uint64_t late = (uint64_t)core.accumulator_late;
        uint64_t when = ready[source];
        if (source >= row->accumulator && source < row->accumulator + row->accumulators && accumulated[source]) when = when > late ? when - late : 0;
        if (when > latest) latest = when;
    }
    return latest;
}

static void write_targets(const row_t *row, uint64_t done, uint64_t issued) {
    for (int i = 0; i < row->targets; i++) {
        ready[row->target[i]] = row->target[i] == row->writeback ? issued + 1 : done;
        accumulated[row->target[i]] = (row->flags & ACCUMULATES) != 0;
    }
}

/* Nobody waits for a store. */
static uint64_t fetch_all(const row_t *row, const uint64_t *lines, int count, uint64_t at) {
    uint64_t longest = 0;
    for (int i = 0; i < count; i++) {
        const uint64_t extra = fetch(lines[i], at, !(row->flags & LOAD));
        if (extra > longest) longest = extra;
    }
    return row->flags & LOAD ? longest : 0;
}

/* Dispatched in order while the reorder buffer has room; issued when operands and a port are there; retired in order. */
static void out_of_order(const row_t *row, const uint64_t *lines, int count) {
    static uint64_t leaves[1024], number; /* when the last instructions retire */
    if (places >= (uint64_t)core.width) {
        now++;
        places = 0;
    }
    const uint64_t room = leaves[number % (uint64_t)core.reorder];
    if (room > now) {
        now = room;
        places = 0;
    }
    places++;
    uint64_t at = operands(row);
    if (at < now + 1) at = now + 1;
    uint64_t issued = at, done = at;
    for (int u = 0; u < row->uops; u++) {
        const uint64_t cycle = reserve(row->uop[u].ports, at, row->uop[u].cycles);
        if (!u) issued = cycle;
        if (cycle + row->uop[u].latency > done) done = cycle + row->uop[u].latency;
    }
    if (count) done += fetch_all(row, lines, count, issued);
    write_targets(row, done, issued);
    if (done > retired) {
        retired = done;
        retired_now = 0;
    } else if (++retired_now >= (uint64_t)core.width) {
        retired++;
        retired_now = 0;
    }
    leaves[number++ % (uint64_t)core.reorder] = retired;
}

static uint64_t added_in[64]; /* cycles in which a multiply-add issued, by their last six bits */

static int clashes(const row_t *row) {
    for (int u = 0; u < row->uops; u++) {
        int any = 0;
        for (unsigned left = row->uop[u].ports; left && !any; left &= left - 1) any = is_free(__builtin_ctz(left), now);
        if (!any) return 1;
    }
    const uint64_t gap = now - (uint64_t)core.load_gap;
    return core.load_gap && row->flags & VECTOR_LOAD && added_in[gap & 63] == gap;
}

/* Issued once operands and all ports are there, at most `width` in a cycle; few misses may be under way. */
static void in_order(const row_t *row, const uint64_t *lines, int count) {
    static uint64_t missing[64], misses;
    if (places >= (uint64_t)core.width || (places && row->flags & ALONE)) {
        now++;
        places = 0;
    }
    const uint64_t at = operands(row);
    if (at > now) {
        now = at;
        places = 0;
    }
    while (clashes(row)) {
        now++;
        places = 0;
    }
    places = row->flags & ALONE ? (uint64_t)core.width : places + 1;
    uint64_t done = now;
    for (int u = 0; u < row->uops; u++) {
        reserve(row->uop[u].ports, now, row->uop[u].cycles);
        if (now + row->uop[u].latency > done) done = now + row->uop[u].latency;
    }
    if (row->flags & ACCUMULATES) added_in[now & 63] = now;
    const uint64_t issued = now;
    const uint64_t extra = count ? fetch_all(row, lines, count, now) : 0;
    if (extra) {
        done += extra;
        const uint64_t left = missing[misses % (uint64_t)core.misses];
        if (left > now) {
            now = left;
            places = 0;
        }
        missing[misses++ % (uint64_t)core.misses] = done;
    }
    write_targets(row, done, issued);
}

/* Two-bit counters by address and the directions of earlier branches. Returns whether it was predicted wrongly. */
static int mispredicted(uint64_t address, int is_taken) {
    static uint8_t counters[1 << 16];
    static uint64_t history;
    const uint64_t mask = (1u << core.history) - 1;
    uint8_t *counter = &counters[((address >> 2) ^ (history & mask)) & 0xffff];
    const int wrong = (*counter >= 2) != is_taken;
    if (is_taken && *counter < 3) ++*counter;
    if (!is_taken && *counter) --*counter;
    history = history << 1 | (unsigned)is_taken;
    return wrong;
}

static void branch(const row_t *row, uint64_t address, int is_taken) {
    if (row->flags & CONDITIONAL && mispredicted(address, is_taken)) {
        const uint64_t resolved = operands(row);
        if (resolved > now) now = resolved;
        now += (uint64_t)core.mispredict;
        places = 0;
    }
    if (is_taken && core.in_order) places = (uint64_t)core.width; /* nothing issues beside what is jumped to */
}

static void execute(const row_t *row, const uint64_t *lines, int count) {
    if (core.in_order) in_order(row, lines, count);
    else out_of_order(row, lines, count);
}

static uint64_t cycles_so_far(void) { return core.in_order ? now : retired; }

#endif
