/* A QEMU plugin that puts the instructions of a program through a model of a core, and keeps its clock.
 *
 *   -plugin simulator.so,table=FILE,clock=FILE,khz=N,cores=N
 *
 * The program says what is to be simulated by calls of getpriority(MARK, COMMAND, key, parallel), which do nothing
 * else; see codegen/program/simulated.h. The clock is a file of a page that both map: nanoseconds, and behind them the
 * instructions and floating-point operations that were simulated.
 *
 * A step that was measured once is not measured again: its cycles are known, and only caches and branch predictor see
 * it (functional warming: Wunderlich et al., SMARTS, 2003). A step that runs on several cores is simulated on one; it
 * is said to take its share of the cycles, but at least as long as its lines need from memory, and a meeting of cores. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pipeline.h"
#include "qemu.h"

#define MARK 0x454c4c
enum { OFF, WARM, MEASURE, STEP, READ };
enum { MEETING_CYCLES = 3000 };
enum { REFUSED = 97 }; /* the exit code, as simulator.py has it */

__attribute__((visibility("default"))) int qemu_plugin_version = QEMU_INTERFACE;

typedef struct {
    uint64_t address;
    size_t count;
    const char *refused; /* why it may not be simulated; null */
    const row_t *rows[];
} block_t;

static block_t *current; /* the block that runs: known how it went when the next one starts */
enum { MOST_ACCESSES = 65536 };
static struct { size_t instruction; uint64_t line; } accesses[MOST_ACCESSES];
static size_t access_count;

static int mode, stepping;
static unsigned simulated_cpu;
static uint64_t khz = 1000000, cores = 1;

/* --- the clock ----------------------------------------------------------------------------------------------------- */

static volatile int64_t *page;
static uint64_t total;                                       /* cycles on the clock */
static uint64_t step_key, step_parallel, step_start, step_lines; /* the step that is measured */
static int measuring;
static uint64_t instructions, operations;

enum { KNOWN = 1 << 16 };
static struct { uint64_t key, cycles; } known[KNOWN];

/* The place of a key; one that is full of others is nobody's: null. */
static uint64_t *remembered(uint64_t key, int make) {
    for (uint64_t i = key * 0x9e3779b97f4a7c15u >> 48, tries = 0; tries < 64; tries++, i = (i + 1) % KNOWN) {
        if (known[i].key == key) return &known[i].cycles;
        if (known[i].key) continue;
        if (!make) return 0;
        known[i].key = key;
        return &known[i].cycles;
    }
    return 0;
}

static uint64_t step_cycles(void) {
    const uint64_t alone = cycles_so_far() - step_start;
    if (!step_parallel || cores < 2) return alone;
    const uint64_t share = alone / cores, lines = (memory_lines - step_lines) * (uint64_t)core.dram_line;
    return (share > lines ? share : lines) + MEETING_CYCLES;
}

static void begin_step(uint64_t key, uint64_t parallel) {
    step_key = key;
    step_parallel = parallel;
    step_start = cycles_so_far();
    step_lines = memory_lines;
    measuring = 1;
}

static void end_step(void) {
    if (!measuring) return;
    const uint64_t took = step_cycles();
    total += took;
    measuring = 0;
    uint64_t *place = step_key ? remembered(step_key, 1) : 0;
    if (place) *place = took;
}

/* --- blocks -------------------------------------------------------------------------------------------------------- */

/* Ends the program: a figure that leaves something out would be no figure. */
static void refuse(const char *why) {
    fprintf(stderr, "simulator: %s\n", why);
    fflush(stderr);
    _exit(REFUSED);
}

/* `next`: the address of what runs after it. */
static void finish_block(uint64_t next) {
    const block_t *block = current;
    const uint64_t after = block->address + 4 * block->count;
    if (block->refused) refuse(block->refused);
    if (!measuring) {
        const row_t *last = block->rows[block->count - 1];
        if (last->flags & CONDITIONAL) mispredicted(after - 4, next != after);
        return;
    }
    size_t a = 0;
    for (size_t i = 0; i < block->count; i++) {
        uint64_t lines[16];
        int count = 0;
        for (; a < access_count && accesses[a].instruction == i; a++)
            if ((!count || lines[count - 1] != accesses[a].line) && count < 16) lines[count++] = accesses[a].line;
        execute(block->rows[i], lines, count);
        operations += block->rows[i]->flops;
        if (block->rows[i]->flags & BRANCH) branch(block->rows[i], block->address + 4 * i, next != after);
    }
    access_count = 0;
    instructions += block->count;
}

static void on_block(unsigned cpu, void *data) {
    if (mode == OFF || cpu != simulated_cpu) return;
    block_t *block = (block_t *)data;
    if (current) finish_block(block->address);
    current = block;
}

static void on_memory(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
    if (mode == OFF || cpu != simulated_cpu) return;
    const uint64_t bytes = 1u << qemu_plugin_mem_size_shift(info), first = address / (uint64_t)core.line;
    const uint64_t last = (address + bytes - 1) / (uint64_t)core.line;
    for (uint64_t line = first; line <= last; line++) {
        if (!measuring) {
            warm(line, qemu_plugin_mem_is_store(info));
        } else if (access_count < MOST_ACCESSES) {
            accesses[access_count].instruction = (size_t)(uintptr_t)data;
            accesses[access_count++].line = line;
        }
    }
}

static const char *not_decoded(uint32_t encoding, uint64_t address) {
    char *text = (char *)malloc(96);
    snprintf(text, 96, "the instruction 0x%08" PRIx32 " at 0x%" PRIx64 " is not known", encoding, address);
    return text;
}

static void on_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(tb);
    block_t *block = (block_t *)malloc(sizeof *block + count * sizeof *block->rows);
    block->address = qemu_plugin_tb_vaddr(tb);
    block->count = count;
    block->refused = 0;
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        uint32_t encoding = 0;
#if QEMU_INTERFACE >= 3
        qemu_plugin_insn_data(instruction, &encoding, sizeof encoding);
#else
        memcpy(&encoding, qemu_plugin_insn_data(instruction), sizeof encoding);
#endif
        block->rows[i] = find_row(encoding);
        if (core.knows_all && !block->refused) {
            if (qemu_plugin_insn_size(instruction) != sizeof encoding || block->address & 3)
                block->refused = "there is Thumb code in it, and only ARM code is simulated";
            else if (block->rows[i]->flags & NOT_DECODED)
                block->refused = not_decoded(encoding, block->address + 4 * i);
        }
        if (block->rows[i]->flags & (LOAD | STORE))
            qemu_plugin_register_vcpu_mem_cb(instruction, on_memory, NO_REGISTERS, READS_AND_WRITES,
                                             (void *)(uintptr_t)i);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, block);
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

static void leave_block(void) {
    if (current) finish_block(current->address + 4 * current->count);
    current = 0;
    access_count = 0;
}

static void on_syscall(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t mark, uint64_t command, uint64_t key,
                       uint64_t parallel, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)number, (void)a5, (void)a6, (void)a7, (void)a8;
    if (mark != MARK) return;
    simulated_cpu = cpu;
    leave_block();
    switch (command) {
    case OFF:
    case WARM:
    case MEASURE:
        end_step();
        mode = (int)command;
        stepping = 0;
        if (mode == MEASURE) begin_step(0, 0);
        break;
    case STEP:
        if (mode != MEASURE) break;
        end_step();
        stepping = 1;
        const uint64_t *cycles = key ? remembered(key, 0) : 0;
        if (cycles) total += *cycles;
        else begin_step(key, parallel);
        break;
    case READ:
        end_step();
        if (page) {
            page[1] = (int64_t)instructions;
            page[2] = (int64_t)operations;
            page[0] = (int64_t)((double)total * 1e6 / (double)khz);
        }
        if (mode == MEASURE && !stepping) begin_step(0, 0);
        break;
    default: break;
    }
}

static int map_clock(const char *path) {
    const int file = open(path, O_RDWR);
    if (file < 0) return 0;
    void *memory = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) return 0;
    page = (volatile int64_t *)memory;
    return 1;
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                               char **argv) {
    (void)info;
    int good = 0;
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        if (!value) return 1;
        const size_t length = (size_t)(value++ - argv[i]);
        if (length == 5 && !memcmp(argv[i], "table", length)) good = read_table(value);
        else if (length == 5 && !memcmp(argv[i], "clock", length) && !map_clock(value)) return 1;
        else if (length == 3 && !memcmp(argv[i], "khz", length)) khz = strtoull(value, 0, 10);
        else if (length == 5 && !memcmp(argv[i], "cores", length)) cores = strtoull(value, 0, 10);
    }
    if (!good || !khz) {
        fputs("simulator: no whole table\n", stderr);
        return 1;
    }
    make_memory();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
