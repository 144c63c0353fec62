/* Vectors of VECTOR_WIDTH float32 lanes by the compiler's vector extensions: one source for AVX-512, AVX2, SSE,
 * NEON and processors without vectors (VECTOR_WIDTH 1: plain floats). */
#ifndef ELLOPT_VECTOR_H
#define ELLOPT_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef VECTOR_WIDTH
#if defined(__AVX512F__)
#define VECTOR_WIDTH 16
#elif defined(__AVX__)
#define VECTOR_WIDTH 8
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__aarch64__)
#define VECTOR_WIDTH 4
#else
#define VECTOR_WIDTH 1
#endif
#endif

/* Whether caches hold what the layer before wrote: the table of processors says (ellopt/targets/cpus.py). */
#ifndef ELL_LARGE_CACHES
#define ELL_LARGE_CACHES 0
#endif

#define ELL_INLINE static inline __attribute__((always_inline))
#define ELL_UNROLL _Pragma("clang loop unroll(full)")
#define ELL_NO_VECTORIZE _Pragma("clang loop vectorize(disable) interleave(disable)")

/* How many steps of a matrix multiplication are one pass of its loop, which spares branches and pointers, and how many
 * floats ahead weights are fetched. Measured on x86-64, and only there: on 32-bit ARM the compiler moves loads away from
 * their use when steps are unrolled, and spills. */
#if defined(__AVX__)
#define ELL_STEPS 4
#define ELL_AHEAD 2048
#else
#define ELL_STEPS 1
#define ELL_AHEAD 0
#endif

/* Whether the processor has an instruction for the maximum of vectors that is NaN where either is. */
#if VECTOR_WIDTH == 4 && (defined(__ARM_NEON) || defined(__aarch64__))
#define ELL_IEEE_MAXIMUM 1
#else
#define ELL_IEEE_MAXIMUM 0
#endif

/* Whether inputs are multiplied by a lane, two channels at a time: 32-bit NEON has 16 registers, and its multiply-add by
 * lane takes the lane from a half of one of the first eight. It rounds twice; the compiler writes it where products are
 * not fused (-ffp-contract=on), else a copy of the lane to all four. */
#if defined(ELL_BY_LANE) && VECTOR_WIDTH == 4
#define ELL_PAIRS 1
#else
#define ELL_PAIRS 0
#endif

#if VECTOR_WIDTH > 1
typedef float vec __attribute__((vector_size(VECTOR_WIDTH * 4)));
typedef int32_t vec_mask __attribute__((vector_size(VECTOR_WIDTH * 4)));
typedef float vec_unaligned __attribute__((vector_size(VECTOR_WIDTH * 4), aligned(4), may_alias));
#define ELL_LANE(v, i) ((v)[i])
#else
typedef float vec;
typedef float vec_unaligned;
#define ELL_LANE(v, i) (v)
#endif

#if ELL_PAIRS
typedef float vec_pair __attribute__((vector_size(8)));
typedef float vec_pair_unaligned __attribute__((vector_size(8), aligned(4), may_alias));

ELL_INLINE vec_pair vec_load_pair(const float *p) { return *(const vec_pair_unaligned *)p; }

/* A lane, 0 or 1, in all lanes: no instruction of its own where it is multiplied with. */
ELL_INLINE vec vec_of_pair(vec_pair x, const int lane) {
    return lane ? __builtin_shufflevector(x, x, 1, 1, 1, 1) : __builtin_shufflevector(x, x, 0, 0, 0, 0);
}
#endif

ELL_INLINE vec vec_load(const float *p) { return *(const vec_unaligned *)p; }

ELL_INLINE void vec_store(float *p, vec v) { *(vec_unaligned *)p = v; }

ELL_INLINE vec vec_splat(float x) {
#if VECTOR_WIDTH > 1
    return x - (vec){0}; /* x - 0 is x for every x, so the compiler makes it a plain broadcast */
#else
    return x;
#endif
}

/* sum + factor * x. Compilers make x + x of 2 * x, and then two instructions where a processor has one. */
ELL_INLINE vec vec_add_product(vec sum, float factor, vec x) {
#if defined(__aarch64__)
    return __builtin_elementwise_fma(x, vec_splat(factor), sum);
#else
    return sum + factor * x;
#endif
}

ELL_INLINE vec vec_zero(void) { return (vec){0}; }

/* The first `lanes` lanes from memory, zeros behind them. Reads nothing beyond. */
ELL_INLINE vec vec_load_partial(const float *p, int lanes) {
    if (lanes >= VECTOR_WIDTH) return vec_load(p);
    float buffer[VECTOR_WIDTH] = {0};
    if (__builtin_constant_p(lanes))
        memcpy(buffer, p, (size_t)lanes * sizeof(float));
    else
        for (int i = 0; i < lanes; i++) buffer[i] = p[i];
    return vec_load(buffer);
}

/* Stores the first `lanes` lanes and nothing beyond. */
ELL_INLINE void vec_store_partial(float *p, vec v, int lanes) {
    if (lanes >= VECTOR_WIDTH) {
        vec_store(p, v);
        return;
    }
    float buffer[VECTOR_WIDTH];
    vec_store(buffer, v);
    if (__builtin_constant_p(lanes))
        memcpy(p, buffer, (size_t)lanes * sizeof(float));
    else
        for (int i = 0; i < lanes; i++) p[i] = buffer[i];
}

/* Weights are read in order, and come from far away: called for each `floats` of them, this has those further on
 * fetched into the cache. (An address behind the last does no harm.) */
ELL_INLINE void ell_fetch_ahead(const float *weights, const int floats) {
#if ELL_AHEAD
    const int cache_line = 16;
    ELL_UNROLL for (int i = 0; i < floats; i += cache_line) __builtin_prefetch(weights + ELL_AHEAD + i, 0, 3);
#else
    (void)weights, (void)floats;
#endif
}

/* The larger of a and b, NaN where b is NaN. (Where only a is NaN, x86's maxps gives b, and ARM's fmax NaN.) */
ELL_INLINE vec vec_max(vec a, vec b) {
#if ELL_IEEE_MAXIMUM
    return __builtin_elementwise_maximum(a, b);
#elif VECTOR_WIDTH > 1
    vec_mask greater = a > b;
    return (vec)(((vec_mask)a & greater) | ((vec_mask)b & ~greater));
#else
    return a > b ? a : b;
#endif
}

ELL_INLINE vec vec_min(vec a, vec b) {
#if ELL_IEEE_MAXIMUM
    return __builtin_elementwise_minimum(a, b);
#elif VECTOR_WIDTH > 1
    vec_mask less = a < b;
    return (vec)(((vec_mask)a & less) | ((vec_mask)b & ~less));
#else
    return a < b ? a : b;
#endif
}

/* The same of single floats, for loops that the compiler makes vectors of. */
ELL_INLINE float ell_max(float a, float b) {
#if ELL_IEEE_MAXIMUM
    return __builtin_elementwise_maximum(a, b);
#else
    return a > b ? a : b;
#endif
}

ELL_INLINE float ell_min(float a, float b) {
#if ELL_IEEE_MAXIMUM
    return __builtin_elementwise_minimum(a, b);
#else
    return a < b ? a : b;
#endif
}

/* NaN where a lane of any of the vectors is NaN, else the largest of its lanes. */
ELL_INLINE vec vec_maximum_of(const vec *v, const int count) {
    vec most = v[0];
#if ELL_IEEE_MAXIMUM
    ELL_UNROLL for (int i = 1; i < count; i++) most = vec_max(most, v[i]);
    return most;
#elif VECTOR_WIDTH > 1
    vec_mask missing = vec_zero() != vec_zero();
    ELL_UNROLL for (int i = 1; i < count; i++) most = vec_max(v[i], most);
    /* In pairs, as one comparison tells whether either of two is NaN; all bits of a lane set make NaN. */
    ELL_UNROLL for (int i = 0; i < count; i += 2) {
        const vec pair = i + 1 < count ? v[i + 1] : v[i];
        missing |= (v[i] != v[i]) | (pair != pair);
    }
    return (vec)((vec_mask)most | missing);
#else
    ELL_UNROLL for (int i = 1; i < count; i++) most = v[i] > most || v[i] != v[i] ? v[i] : most;
    return most;
#endif
}

ELL_INLINE vec vec_maximum(vec a, vec b) {
    const vec both[2] = {a, b};
    return vec_maximum_of(both, 2);
}

#endif
