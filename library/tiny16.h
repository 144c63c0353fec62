/* tiny16: a neural network as a C library, written by ellopt 0.1.0 for pi3 (Raspberry Pi 3, 32-bit (ARMv7 NEON)).
 *
 * Input:  16 x 16 x 3 floats: rows, columns, channels, channels innermost.
 * Output: 1 x 1 x 5 floats in the same order.
 *
 * Needs the C library and pthreads, allocates nothing but for a pool of threads, and has no state of its own: any
 * number of calls may run at once, each with memory of its own.
 *
 * Memory for intermediate results: TINY16_MEMORY_BYTES (8256 bytes) for a call on one thread,
 * 8256 bytes for one on 4 threads. Code and weights: 39488 + 3840 bytes, read-only.
 * Instructions: cortex_a53. */
#ifndef TINY16_H
#define TINY16_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TINY16_VERSION "1.0.0" /* of these functions; the first number changes when programs must */

#define TINY16_INPUT_ROWS 16
#define TINY16_INPUT_COLUMNS 16
#define TINY16_INPUT_CHANNELS 3
#define TINY16_INPUT_SIZE 768
#define TINY16_OUTPUT_ROWS 1
#define TINY16_OUTPUT_COLUMNS 1
#define TINY16_OUTPUT_CHANNELS 5
#define TINY16_OUTPUT_SIZE 5
#define TINY16_MOST_THREADS 1024

/* What functions return. When it is not TINY16_OK, nothing was done. */
enum {
    TINY16_OK = 0,
    TINY16_ERROR_POINTER = 1, /* a pointer is null, or not aligned for floats */
    TINY16_ERROR_MEMORY = 2,  /* the memory is too small for so many threads */
    TINY16_ERROR_THREADS = 3, /* the number of threads is not between 1 and TINY16_MOST_THREADS */
    TINY16_ERROR_POOL = 4,    /* the pool is none of this library */
    TINY16_ERROR_SYSTEM = 5,  /* the system gives no memory, or not so many threads */
    TINY16_ERROR_CPU = 6      /* this processor lacks instructions that the library was compiled for */
};

/* What a code means, in English. */
const char *tiny16_error_text(int code);

/* TINY16_VERSION of the library that is there when the program runs. */
const char *tiny16_version(void);

/* Bytes of memory for a call on one thread. */
#define TINY16_MEMORY_BYTES 8256

/* Bytes of memory for a call on so many threads; 0 if there cannot be so many, or if the processor is too old. */
size_t tiny16_memory_bytes(int threads);

/* Compute the network on the calling thread. `memory` has `bytes` bytes, TINY16_MEMORY_BYTES or more, with any
 * contents. Returns a code. */
int tiny16_predict(void *memory, size_t bytes, const float *input, float *output);

/* Threads that wait for work. The caller of a function that takes a pool is one of its threads. `*pool` becomes null
 * if `threads` is 1, and if a code other than TINY16_OK is returned; a null pool may be used like any other. In a
 * process that forked off, calls with the pool compute on their own thread alone: create another there. */
typedef struct tiny16_pool tiny16_pool;
int tiny16_pool_create(int threads, tiny16_pool **pool);
int tiny16_pool_destroy(tiny16_pool *pool);

/* Compute the network with a pool, which no other call uses meanwhile. `memory` has
 * tiny16_memory_bytes(threads of the pool) bytes or more. Returns a code. */
int tiny16_predict_parallel(void *memory, size_t bytes, tiny16_pool *pool, const float *input, float *output);

#ifdef __cplusplus
}
#endif
#endif
