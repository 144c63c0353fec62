/* Runs a job on models that ELL compiled, all linked into this program: ell_runner JOB RESULT
 *
 * A plan of the job names a worker. Also: ell_runner report WORKER WARM_UP TIMED prints ELL's profile report. */
#include "runner.h"

#include "ell_worker.h"

static int *worker_of;  /* [plan] */
static int **slot_of;   /* [worker][node] -> slot, -1 if none; null for a worker without profiling */
/* The time of what no node of a model was made of: no clock reads that. */
#define NO_TIME (-1000000000LL)

static float *input, *output;

static job_t read_job(const char *name) {
    job_t job = read_job_head(name);
    if (job.layers != 1) fail("the job is for another kind of program");
    worker_of = (int *)allocate(sizeof(int) * (size_t)job.plans);
    for (int p = 0; p < job.plans; p++) {
        worker_of[p] = number(0, ell_worker_count - 1);
        for (int i = 0; i < 4; i++) number(0, 1 << 20);
    }
    expect("end");
    return job;
}

static void map_slots(int index) {
    const ell_worker *worker = ell_workers[index];
    if (!worker->nodes || slot_of[index]) return;
    int nodes = worker->nodes();
    slot_of[index] = (int *)allocate(sizeof(int) * (size_t)(nodes + 1));
    for (int n = 0; n < nodes; n++) {
        int *slot = &slot_of[index][n];
        for (*slot = ell_slot_count - 1; *slot >= 0 && strcmp(worker->ancestor(n), ell_slots[*slot]);) --*slot;
    }
}

static int64_t pass(const job_t *job, const void *context, int plan, int64_t *times) {
    const int index = worker_of[plan];
    const ell_worker *worker = ell_workers[index];
    (void)job;
    (void)context;
    if (!times) {
        worker->predict(input, output);
        return 0;
    }
    if (worker->reset) worker->reset();
    int64_t start = now_ns();
    worker->predict(input, output);
    int64_t total = now_ns() - start;
    memset(times, 0, sizeof *times * (size_t)ell_slot_count);
    if (!worker->nodes) return total;
    map_slots(index);
    for (int s = 0; s < ell_slot_count; s++) times[s] = NO_TIME;
    for (int n = 0; n < worker->nodes(); n++) {
        if (slot_of[index][n] < 0) continue;
        int64_t *time = &times[slot_of[index][n]];
        *time = (*time == NO_TIME ? 0 : *time) + llround(worker->node_ms(n, 0) * 1e6);
    }
    return total;
}

static void check_pass(const job_t *job, const void *context, int plan, int words) {
    (void)job;
    (void)context;
    (void)plan;
    (void)words;
    fail("ELL's models are checked by jobs of their own");
}

/* Every plan's output for every check input, as the bits of its values. */
static void check(const job_t *job, int inputs, int outputs) {
    size_t bytes;
    const float *values = (const float *)map_file("check_input.bin", 0, &bytes);
    const size_t count = bytes / sizeof(float) / (size_t)inputs;
    for (int p = 0; p < job->plans; p++)
        for (size_t i = 0; i < count; i++) {
            memcpy(input, values + i * (size_t)inputs, (size_t)inputs * sizeof(float));
            ell_workers[worker_of[p]]->predict(input, output);
            put(p);
            put((int64_t)i);
            for (int k = 0; k < outputs; k++) {
                uint32_t bits;
                memcpy(&bits, &output[k], sizeof bits);
                put(bits);
            }
            record_count++;
        }
}

static int argument(const char *text, int most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (!*text || *end || value < 0 || value > most) fail("bad argument: %s", text);
    return (int)value;
}

static int report(char **arguments) {
    const ell_worker *worker = ell_workers[argument(arguments[0], ell_worker_count - 1)];
    const int warm_up = argument(arguments[1], 1 << 30), timed = argument(arguments[2], 1 << 30);
    if (!worker->nodes) fail("that model was compiled without profiling");
    printf("Profiling model with %d warm-up iterations and %d timed iterations\nNode statistics\n", warm_up, timed);
    for (int i = 0; i < warm_up; i++) worker->predict(input, output);
    worker->reset();
    for (int i = 0; i < timed; i++) worker->predict(input, output);
    int count;
    for (int n = 0; n < worker->nodes(); n++) {
        double ms = worker->node_ms(n, &count);
        printf("Node[%s]:\ttype: %s\ttime: %.6f ms\tcount: %d\tancestor: %s\n", worker->name(n), worker->type(n), ms,
               count, worker->ancestor(n));
    }
    double ms = worker->model_ms(&count);
    printf("\nModel statistics\nTotal time: %.5f ms \tcount: %d\t time per run: %.5f ms\n", ms, count,
           count ? ms / count : 0.0);
    return 0;
}

int main(int argc, char **argv) {
    remember_directory(argv[0]);
    int inputs = ell_workers[0]->inputs(), outputs = ell_workers[0]->outputs();
    for (int i = 1; i < ell_worker_count; i++)
        if (ell_workers[i]->inputs() != inputs || ell_workers[i]->outputs() != outputs)
            fail("the compiled models differ in the size of their input or output");
    input = (float *)allocate((size_t)inputs * sizeof(float));
    output = (float *)allocate((size_t)outputs * sizeof(float));
    size_t bytes;
    const float *values = (const float *)map_file("check_input.bin", 0, &bytes);
    if (bytes == 0 || bytes % ((size_t)inputs * sizeof(float))) fail("the compiled model takes %d values", inputs);
    memcpy(input, values, (size_t)inputs * sizeof(float));
    slot_of = (int **)allocate(sizeof(int *) * (size_t)ell_worker_count);
    if (argc == 5 && !strcmp(argv[1], "report")) return report(argv + 2);
    if (argc != 3) fail("usage: ell_runner JOB RESULT, or ell_runner report WORKER WARM_UP TIMED");
    job_t job = read_job(argv[1]);
    int64_t start = now_ns();
    if (job.kind == CHECK)
        check(&job, inputs, outputs);
    else if (job.kind == PREDICT)
        fail("predict is no job for this program");
    else
        measure(&job, 0, ell_slot_count);
    write_result(argv[2], &job, ell_slot_count, now_ns() - start);
    return 0;
}
