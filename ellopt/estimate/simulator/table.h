/* The file that table.py writes: a core's numbers, and of each 32-bit encoding what it reads, writes and takes. */
#ifndef ELLOPT_SIMULATOR_TABLE_H
#define ELLOPT_SIMULATOR_TABLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REGISTERS = 36, MOST_UOPS = 16, REGISTERS = 66 };
enum {
    LOAD = 1, STORE = 2, BRANCH = 4, CONDITIONAL = 8, ACCUMULATES = 16, ALONE = 32, VECTOR_LOAD = 64, NOT_DECODED = 128
};

typedef struct {
    uint16_t ports; /* any one of these */
    uint8_t latency, cycles;
} uop_t;

typedef struct {
    uint32_t encoding;
    uint8_t flags, sources, targets, uops;
    uint8_t accumulator, writeback; /* registers; 255 is none */
    uint8_t flops, accumulators;    /* so many registers from the accumulator on */
    uint8_t source[MOST_REGISTERS], target[MOST_REGISTERS];
    uop_t uop[MOST_UOPS];
} row_t;

/* In the order of base.py's Pipeline and Memory. `knows_all`: what has no row or is not decoded may not be simulated,
 * elsewhere it takes a place and nothing else. */
static struct {
    int32_t in_order, width, reorder, mispredict, history, load_gap, accumulator_late, misses;
    int32_t l1_kb, l1_ways, l2_kb, l2_ways, l2_latency, l2_line, dram_latency, dram_line;
    int32_t tlb1, tlb1_penalty, tlb2, tlb2_penalty, l3_kb, l3_ways, l3_latency, l2_shared;
    int32_t line, prefetches, write_allocates, knows_all;
} core;

static row_t *table;
static size_t table_rows;

/* Returns whether the file is whole. */
static int read_table(const char *path) {
    char magic[8];
    int32_t numbers, rows;
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    int good = fread(magic, 8, 1, file) == 1 && !memcmp(magic, "ELLSIM03", 8) && fread(&numbers, 4, 1, file) == 1 &&
               (size_t)numbers * 4 == sizeof core && fread(&core, sizeof core, 1, file) == 1 &&
               fread(&rows, 4, 1, file) == 1 && rows >= 0;
    if (good) {
        table_rows = (size_t)rows;
        table = (row_t *)malloc((table_rows + 1) * sizeof *table);
        good = table && fread(table, sizeof *table, table_rows, file) == table_rows && fgetc(file) == EOF;
    }
    fclose(file);
    return good && core.reorder > 0 && core.reorder <= 1024 && core.misses > 0 && core.misses <= 64 &&
           core.line > 0 && core.line <= 1024 && !(core.line & (core.line - 1));
}

/* What is not in the table is code that was made while the program ran, or of another instruction set. */
static const row_t *find_row(uint32_t encoding) {
    static const row_t unknown = {.accumulator = 255, .writeback = 255, .flags = NOT_DECODED};
    size_t low = 0, high = table_rows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].encoding < encoding) low = middle + 1;
        else high = middle;
    }
    return low < table_rows && table[low].encoding == encoding ? &table[low] : &unknown;
}

#endif
