/* A model compiled by ELL, as the runner sees it. One for each plan and form of its code; all in one program. */
#ifndef ELLOPT_ELL_WORKER_H
#define ELLOPT_ELL_WORKER_H

typedef struct {
    int (*inputs)(void);
    int (*outputs)(void);
    void (*predict)(const float *input, float *output);
    /* Null where the model was compiled without profiling. Times are milliseconds since the last reset. */
    int (*nodes)(void);
    const char *(*name)(int node);
    const char *(*type)(int node);
    const char *(*ancestor)(int node);
    double (*node_ms)(int node, int *count);
    double (*model_ms)(int *count);
    void (*reset)(void);
} ell_worker;

extern const ell_worker *const ell_workers[];
extern const int ell_worker_count;
extern const char *const ell_slots[]; /* ids of the input model's nodes, to which times are added up */
extern const int ell_slot_count;

#endif
