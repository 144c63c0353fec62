/* The inner loop of matrix multiplications for processors that issue in order (Cortex-A53), in an order that compilers do
 * not find: 4 to 8 pixels times two vectors of filters, all sums in registers.
 *
 * There a vector load never issues beside a multiply-add, one of 128 bits takes two cycles, and none issues in the
 * fourth cycle after a multiply-add. So a vector comes in halves: the lower by a vector load, in whose cycle the half
 * before is inserted; the upper by an integer load, which issues beside a multiply-add. Three multiply-adds stand
 * between two vector loads, so that the fourth cycle before a load is another load's; where multiply-adds are left over,
 * a pause stands for it. (The rules are those that the authors of ncnn and of Arm's Compute Library found.) Loads are
 * two channels ahead of their use: registers v0..v3 and v8..v11 hold weights and inputs of the even pairs of channels,
 * v4..v7 and v12..v15 those of the odd ones.
 *
 * MULTIPLY_IN_ORDER is 1 where there is such a loop; what it leaves over, and all elsewhere, is the portable loop's. */
#ifndef ELLOPT_MULTIPLY_IN_ORDER_H
#define ELLOPT_MULTIPLY_IN_ORDER_H

#include "vector.h"

#if IN_ORDER && VECTOR_WIDTH == 4 && defined(__aarch64__)
#define MULTIPLY_IN_ORDER 1

/* Whether a tile has such a loop. */
ELL_INLINE int ell_in_order(const int pixels, const int vectors) { return pixels >= 4 && pixels <= 8 && vectors == 2; }

/* A load: (its vector load, its integer load, the insertion). Of weights; of a pair of pixels; of a single pixel. */
#define ELL_LW(reg, at) \
    ("ldr d" #reg ", [%[w], #" #at "]\n", "ldr %[t], [%[w], #" #at " + 8]\n", "ins v" #reg ".d[1], %[t]\n")
#define ELL_LP(reg, p, q) ("ldr d" #reg ", [%[" #p "]], #8\n", "ldr %[t], [%[" #q "]], #8\n", "ins v" #reg ".d[1], %[t]\n")
#define ELL_L1(reg, p) ("ldr d" #reg ", [%[" #p "]], #8\n", "", "")
#define ELL_NONE ("", "", "")
#define ELL_KEEP(load) load
#define ELL_DROP(load) ELL_NONE

#define ELL_PART_1(vector_load, integer_load, insertion) vector_load
#define ELL_PART_2(vector_load, integer_load, insertion) integer_load
#define ELL_PART_3(vector_load, integer_load, insertion) insertion
#define ELL_VECTOR_LOAD(load) ELL_PART_1 load
#define ELL_INTEGER_LOAD(load) ELL_PART_2 load
#define ELL_INSERTION(load) ELL_PART_3 load

/* A multiply-add: sum += weights * one lane of the inputs. A group: a load, the insertion of the load before it, and
 * multiply-adds, the first of which the integer load issues beside. */
#define ELL_M(sum, w, a, lane) "fmla %[" #sum "].4s, v" #w ".4s, v" #a ".s[" #lane "]\n"
#define ELL_G(load, before, first, others) \
    ELL_VECTOR_LOAD(load) ELL_INSERTION(before) first ELL_INTEGER_LOAD(load) others
#define ELL_BEGUN(p) "ldr %[t], [%[" #p "]], #8\n"

/* Two channels: weights in w0..w3 (channel, vector), inputs in a0..a3 (two pixels each), sums x (first vector) and y.
 * L says whether those of the next two channels are loaded: n0..n3, from `at` on, and b0..b3. `add` goes where weights are
 * loaded, `pause` where a pause is needed. With 4 and 5 pixels the last insertion is the next channels' first. */
#define ELL_CHANNELS_8(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, at, add, pause)              \
    ELL_G(L(ELL_LW(n0, at)), ELL_NONE, ELL_M(x0, w0, a0, 0), ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0))                \
    ELL_G(L(ELL_LW(n1, at + 16)), L(ELL_LW(n0, 0)), ELL_M(x3, w0, a1, 2), ELL_M(x4, w0, a2, 0) ELL_M(x5, w0, a2, 2))   \
    ELL_G(L(ELL_LW(n2, at + 32)), L(ELL_LW(n1, 0)), ELL_M(x6, w0, a3, 0), ELL_M(x7, w0, a3, 2) ELL_M(y0, w1, a0, 0))   \
    ELL_G(L(ELL_LW(n3, at + 48)), L(ELL_LW(n2, 0)), ELL_M(y1, w1, a0, 2), ELL_M(y2, w1, a1, 0) ELL_M(y3, w1, a1, 2))   \
    ELL_G(L(ELL_LP(b0, p0, p1)), L(ELL_LW(n3, 0)), ELL_M(y4, w1, a2, 0), ELL_M(y5, w1, a2, 2) ELL_M(y6, w1, a3, 0))    \
    ELL_G(L(ELL_LP(b1, p2, p3)), L(ELL_LP(b0, p, p)), ELL_M(y7, w1, a3, 2), ELL_M(x0, w2, a0, 1) ELL_M(x1, w2, a0, 3)) \
    ELL_G(L(ELL_LP(b2, p4, p5)), L(ELL_LP(b1, p, p)), ELL_M(x2, w2, a1, 1), ELL_M(x3, w2, a1, 3) ELL_M(x4, w2, a2, 1)) \
    ELL_G(L(ELL_LP(b3, p6, p7)), L(ELL_LP(b2, p, p)), ELL_M(x5, w2, a2, 3), ELL_M(x6, w2, a3, 1) ELL_M(x7, w2, a3, 3)) \
    ELL_M(y0, w3, a0, 1) add ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1) ELL_M(y3, w3, a1, 3) ELL_M(y4, w3, a2, 1)       \
    ELL_INSERTION(L(ELL_LP(b3, p, p))) pause ELL_M(y5, w3, a2, 3) ELL_M(y6, w3, a3, 1) ELL_M(y7, w3, a3, 3)

#define ELL_CHANNELS_7(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, at, add, pause)              \
    ELL_G(L(ELL_L1(b3, p6)), ELL_NONE, ELL_M(x0, w0, a0, 0), ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0))                \
    ELL_G(L(ELL_LW(n0, at)), ELL_NONE, ELL_M(x3, w0, a1, 2), ELL_M(x4, w0, a2, 0) ELL_M(x5, w0, a2, 2))                \
    ELL_G(L(ELL_LW(n1, at + 16)), L(ELL_LW(n0, 0)), ELL_M(x6, w0, a3, 0), ELL_M(y0, w1, a0, 0) ELL_M(y1, w1, a0, 2))   \
    ELL_G(L(ELL_LW(n2, at + 32)), L(ELL_LW(n1, 0)), ELL_M(y2, w1, a1, 0), ELL_M(y3, w1, a1, 2) ELL_M(y4, w1, a2, 0))   \
    ELL_G(L(ELL_LW(n3, at + 48)), L(ELL_LW(n2, 0)), ELL_M(y5, w1, a2, 2), ELL_M(y6, w1, a3, 0) ELL_M(x0, w2, a0, 1))   \
    ELL_G(L(ELL_LP(b0, p0, p1)), L(ELL_LW(n3, 0)), ELL_M(x1, w2, a0, 3), ELL_M(x2, w2, a1, 1) ELL_M(x3, w2, a1, 3))    \
    ELL_G(L(ELL_LP(b1, p2, p3)), L(ELL_LP(b0, p, p)), ELL_M(x4, w2, a2, 1), ELL_M(x5, w2, a2, 3) ELL_M(x6, w2, a3, 1)) \
    ELL_G(L(ELL_LP(b2, p4, p5)), L(ELL_LP(b1, p, p)), ELL_M(y0, w3, a0, 1), ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1)) \
    ELL_M(y3, w3, a1, 3) add                                                                                           \
    ELL_INSERTION(L(ELL_LP(b2, p, p))) pause ELL_M(y4, w3, a2, 1) ELL_M(y5, w3, a2, 3) ELL_M(y6, w3, a3, 1)

#define ELL_CHANNELS_6(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, at, add, pause)              \
    ELL_G(L(ELL_LW(n0, at)), ELL_NONE, ELL_M(x0, w0, a0, 0), ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0))                \
    ELL_G(L(ELL_LW(n1, at + 16)), L(ELL_LW(n0, 0)), ELL_M(x3, w0, a1, 2), ELL_M(x4, w0, a2, 0) ELL_M(x5, w0, a2, 2))   \
    ELL_G(L(ELL_LW(n2, at + 32)), L(ELL_LW(n1, 0)), ELL_M(y0, w1, a0, 0), ELL_M(y1, w1, a0, 2) ELL_M(y2, w1, a1, 0))   \
    ELL_G(L(ELL_LW(n3, at + 48)), L(ELL_LW(n2, 0)), ELL_M(y3, w1, a1, 2), ELL_M(y4, w1, a2, 0) ELL_M(y5, w1, a2, 2))   \
    ELL_G(L(ELL_LP(b0, p0, p1)), L(ELL_LW(n3, 0)), ELL_M(x0, w2, a0, 1), ELL_M(x1, w2, a0, 3) ELL_M(x2, w2, a1, 1))    \
    ELL_G(L(ELL_LP(b1, p2, p3)), L(ELL_LP(b0, p, p)), ELL_M(x3, w2, a1, 3), ELL_M(x4, w2, a2, 1) ELL_M(x5, w2, a2, 3)) \
    ELL_G(L(ELL_LP(b2, p4, p5)), L(ELL_LP(b1, p, p)), ELL_M(y0, w3, a0, 1), ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1)) \
    ELL_INSERTION(L(ELL_LP(b2, p, p))) pause add ELL_M(y3, w3, a1, 3) ELL_M(y4, w3, a2, 1) ELL_M(y5, w3, a2, 3)

#define ELL_CHANNELS_5(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, at, add, pause)                 \
    ELL_G(L(ELL_L1(b2, p4)), ELL_LP(a1, p, p), ELL_M(x0, w0, a0, 0), ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0))           \
    ELL_G(L(ELL_LW(n0, at)), ELL_NONE, ELL_M(x3, w0, a1, 2), ELL_M(x4, w0, a2, 0) ELL_M(y0, w1, a0, 0))                   \
    ELL_G(L(ELL_LW(n1, at + 16)), L(ELL_LW(n0, 0)), ELL_M(y1, w1, a0, 2), ELL_M(y2, w1, a1, 0) ELL_M(y3, w1, a1, 2))      \
    ELL_G(L(ELL_LW(n2, at + 32)), L(ELL_LW(n1, 0)), ELL_M(y4, w1, a2, 0), ELL_M(x0, w2, a0, 1) ELL_M(x1, w2, a0, 3))      \
    ELL_G(L(ELL_LW(n3, at + 48)), L(ELL_LW(n2, 0)), ELL_M(x2, w2, a1, 1), ELL_M(x3, w2, a1, 3) ELL_M(x4, w2, a2, 1) add)  \
    ELL_G(L(ELL_LP(b0, p0, p1)), L(ELL_LW(n3, 0)), ELL_M(y0, w3, a0, 1), ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1) pause) \
    ELL_G(L(ELL_LP(b1, p2, p3)), L(ELL_LP(b0, p, p)), ELL_M(y3, w3, a1, 3), ELL_M(y4, w3, a2, 1))

#define ELL_CHANNELS_4(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, at, add, pause)                \
    ELL_G(L(ELL_LW(n0, at)), ELL_LP(a1, p, p), ELL_M(x0, w0, a0, 0), ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0))          \
    ELL_G(L(ELL_LW(n1, at + 16)), L(ELL_LW(n0, 0)), ELL_M(x3, w0, a1, 2), ELL_M(y0, w1, a0, 0) ELL_M(y1, w1, a0, 2))     \
    ELL_G(L(ELL_LW(n2, at + 32)), L(ELL_LW(n1, 0)), ELL_M(y2, w1, a1, 0), ELL_M(y3, w1, a1, 2) ELL_M(x0, w2, a0, 1))     \
    ELL_G(L(ELL_LW(n3, at + 48)), L(ELL_LW(n2, 0)), ELL_M(x1, w2, a0, 3), ELL_M(x2, w2, a1, 1) ELL_M(x3, w2, a1, 3) add) \
    ELL_G(L(ELL_LP(b0, p0, p1)), L(ELL_LW(n3, 0)), ELL_M(y0, w3, a0, 1), ELL_M(y1, w3, a0, 3) pause)                     \
    ELL_G(L(ELL_LP(b1, p2, p3)), L(ELL_LP(b0, p, p)), ELL_M(y2, w3, a1, 1), ELL_M(y3, w3, a1, 3))

/* The loop over n groups of four channels; `start` loads the first two channels' inputs. */
#define ELL_EVEN(C) C(ELL_KEEP, 0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15, 0, "", "nop\n")
#define ELL_ODD(C, L, add, pause) C(L, 4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3, 8, 9, 10, 11, 64, add, pause)
#define ELL_LOOP(C, start)                                                                                   \
    "ldp q0, q1, [%[w]]\n" "ldp q2, q3, [%[w], #32]\n" start                                                \
    "add %[w], %[w], #64\n" "subs %[n], %[n], #1\n" "b.eq 2f\n" ".p2align 4\n" "1:\n"                        \
    ELL_EVEN(C) ELL_ODD(C, ELL_KEEP, "add %[w], %[w], #128\n", "subs %[n], %[n], #1\n") "b.ne 1b\n" "2:\n"   \
    ELL_EVEN(C) ELL_ODD(C, ELL_DROP, "", "")

/* The first inputs: lower halves, then upper ones. */
#define ELL_LOWER(reg, p) "ldr d" #reg ", [%[" #p "]], #8\n"
#define ELL_UPPER(reg, p) "ld1 {v" #reg ".d}[1], [%[" #p "]], #8\n"
#define ELL_START_4 ELL_LOWER(8, p0) ELL_LOWER(9, p2) ELL_UPPER(8, p1) ELL_BEGUN(p3)
#define ELL_START_5 ELL_LOWER(8, p0) ELL_LOWER(9, p2) ELL_LOWER(10, p4) ELL_UPPER(8, p1) ELL_BEGUN(p3)
#define ELL_START_6 \
    ELL_LOWER(8, p0) ELL_LOWER(9, p2) ELL_LOWER(10, p4) ELL_UPPER(8, p1) ELL_UPPER(9, p3) ELL_UPPER(10, p5)
#define ELL_START_7 ELL_LOWER(11, p6) ELL_START_6
#define ELL_START_8 ELL_START_7 ELL_UPPER(11, p7)
#define ELL_CLOBBERS \
    "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15"

#define ELL_SUM(i) [x##i] "+w"(s[i][0]), [y##i] "+w"(s[i][1]), [p##i] "+r"(p##i)
#define ELL_RUN(C, start, ...) \
    __asm__ volatile(ELL_LOOP(C, start) : __VA_ARGS__, [w] "+r"(w), [n] "+r"(n), [t] "=&r"(t) : : ELL_CLOBBERS)
#define ELL_SUMS_4 ELL_SUM(0), ELL_SUM(1), ELL_SUM(2), ELL_SUM(3)

/* s[pixel][vector] += input of the pixel * weights [channel][vector], over `channels` channels, a multiple of four, at least
 * that. `input[pixel]`: the pixel's first channel. Constants when it is inlined: `pixels` and `channels`. */
ELL_INLINE void ell_multiply_in_order(vec s[8][2], const float *const input[8], const float *w, const int pixels,
                                      const int channels) {
    const float *p0 = input[0], *p1 = input[1], *p2 = input[2], *p3 = input[3], *p4 = input[4], *p5 = input[5],
                *p6 = input[6], *p7 = input[7];
    long n = channels / 4, t;
    if (pixels == 8)
        ELL_RUN(ELL_CHANNELS_8, ELL_START_8, ELL_SUMS_4, ELL_SUM(4), ELL_SUM(5), ELL_SUM(6), ELL_SUM(7));
    else if (pixels == 7)
        ELL_RUN(ELL_CHANNELS_7, ELL_START_7, ELL_SUMS_4, ELL_SUM(4), ELL_SUM(5), ELL_SUM(6));
    else if (pixels == 6)
        ELL_RUN(ELL_CHANNELS_6, ELL_START_6, ELL_SUMS_4, ELL_SUM(4), ELL_SUM(5));
    else if (pixels == 5)
        ELL_RUN(ELL_CHANNELS_5, ELL_START_5, ELL_SUMS_4, ELL_SUM(4));
    else
        ELL_RUN(ELL_CHANNELS_4, ELL_START_4, ELL_SUMS_4);
}

#else
#define MULTIPLY_IN_ORDER 0
#endif

#endif
