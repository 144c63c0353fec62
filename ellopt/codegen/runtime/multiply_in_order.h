/* The inner loop of matrix multiplications for processors that issue in order (Cortex-A53), in an order that compilers do
 * not find: 4 to 8 pixels times two vectors of filters, all sums in registers.
 *
 * There a vector load never issues beside a multiply-add, one of 128 bits takes two cycles, and none issues in the
 * fourth cycle after a multiply-add. So a vector comes in halves: the lower by a vector load; the upper by an integer
 * load, which issues beside a multiply-add, and is inserted three loads later, in the cycle of that load: by then it has
 * come from the second level of cache, too. Three multiply-adds stand between two vector loads, so that the fourth cycle
 * before a load is another load's; where multiply-adds are left over, a pause stands for it. (The rules are those that
 * the authors of ncnn and of Arm's Compute Library found.) Loads are two channels ahead of their use: registers v0..v3
 * and v8..v11 hold weights and inputs of the even pairs of channels, v4..v7 and v12..v15 those of the odd ones.
 *
 * MULTIPLY_IN_ORDER is 1 where there is such a loop; what it leaves over, and all elsewhere, is the portable loop's. */
#ifndef ELLOPT_MULTIPLY_IN_ORDER_H
#define ELLOPT_MULTIPLY_IN_ORDER_H

#include "vector.h"

#if IN_ORDER && VECTOR_WIDTH == 4 && defined(__aarch64__)
#define MULTIPLY_IN_ORDER 1
#define IN_ORDER_VECTORS 2

/* Whether a tile has such a loop. */
ELL_INLINE int ell_in_order(const int pixels, const int vectors) { return pixels >= 4 && pixels <= 8 && vectors == 2; }

/* Loads of weights, and of two channels of a pixel: the lower half of a vector, and the upper one into a general register,
 * from which it is inserted. */
#define ELL_WD(reg, at) "ldr d" #reg ", [%[w], #" #at "]\n"
#define ELL_WX(t, at) "ldr " #t ", [%[w], #" #at " + 8]\n"
#define ELL_PD(reg, p) "ldr d" #reg ", [%[" #p "]], #8\n"
#define ELL_PX(t, p) "ldr " #t ", [%[" #p "]], #8\n"
#define ELL_INS(reg, t) "ins v" #reg ".d[1], " #t "\n"
/* A multiply-add: sum += weights * one lane of the inputs. */
#define ELL_M(sum, w, a, lane) "fmla %[" #sum "].4s, v" #w ".4s, v" #a ".s[" #lane "]\n"
#define ELL_KEEP(text) text
#define ELL_DROP(text)

/* Two channels: weights in w0..w3 (channel, vector), inputs in a0..a3 (two pixels each), sums x (first vector) and y. L says
 * whether those of the next two channels are loaded: b0..b3, and n0..n3 from `at` on. A line has a load, the insertion of
 * the one three lines before (the last ones' are the next channels' first) and the multiply-adds behind it. t0..t2 hold
 * what waits for insertion, s0..s2 what the channels before left. `add` goes where no weights are loaded any more,
 * `pause` where a pause is needed. */
#define ELL_CHANNELS_8(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, t0, t1, t2, s0, s1, s2, at, add, pause)   \
    L(ELL_PD(b0, p0)) ELL_INS(w2, s0) ELL_M(x0, w0, a0, 0) L(ELL_PX(t0, p1)) ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0)              \
    L(ELL_PD(b1, p2)) ELL_INS(w3, s1) ELL_M(x3, w0, a1, 2) L(ELL_PX(t1, p3)) ELL_M(x4, w0, a2, 0) ELL_M(x5, w0, a2, 2)              \
    L(ELL_PD(b2, p4)) ELL_M(x6, w0, a3, 0) L(ELL_PX(t2, p5)) ELL_M(x7, w0, a3, 2) ELL_M(y0, w1, a0, 0)                              \
    L(ELL_PD(b3, p6)) L(ELL_INS(b0, t0)) ELL_M(y1, w1, a0, 2) L(ELL_PX(t0, p7)) ELL_M(y2, w1, a1, 0) ELL_M(y3, w1, a1, 2)           \
    L(ELL_WD(n0, at)) L(ELL_INS(b1, t1)) ELL_M(y4, w1, a2, 0) L(ELL_WX(t1, at)) ELL_M(y5, w1, a2, 2) ELL_M(y6, w1, a3, 0)           \
    L(ELL_WD(n1, at + 16)) L(ELL_INS(b2, t2)) ELL_M(y7, w1, a3, 2) L(ELL_WX(t2, at + 16)) ELL_M(x0, w2, a0, 1) ELL_M(x1, w2, a0, 3) \
    L(ELL_WD(n2, at + 32)) L(ELL_INS(b3, t0)) ELL_M(x2, w2, a1, 1) L(ELL_WX(t0, at + 32)) ELL_M(x3, w2, a1, 3) ELL_M(x4, w2, a2, 1) \
    L(ELL_WD(n3, at + 48)) L(ELL_INS(n0, t1)) ELL_M(x5, w2, a2, 3) L(ELL_WX(t1, at + 48)) ELL_M(x6, w2, a3, 1) ELL_M(x7, w2, a3, 3) \
    ELL_M(y0, w3, a0, 1) add ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1) ELL_M(y3, w3, a1, 3) ELL_M(y4, w3, a2, 1)                    \
    L(ELL_INS(n1, t2)) pause ELL_M(y5, w3, a2, 3) ELL_M(y6, w3, a3, 1) ELL_M(y7, w3, a3, 3)

#define ELL_CHANNELS_7(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, t0, t1, t2, s0, s1, s2, at, add, pause)   \
    L(ELL_PD(b3, p6)) ELL_INS(w2, s0) ELL_M(x0, w0, a0, 0) ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0)                                \
    L(ELL_PD(b0, p0)) ELL_INS(w3, s1) ELL_M(x3, w0, a1, 2) L(ELL_PX(t1, p1)) ELL_M(x4, w0, a2, 0) ELL_M(x5, w0, a2, 2)              \
    L(ELL_PD(b1, p2)) ELL_M(x6, w0, a3, 0) L(ELL_PX(t2, p3)) ELL_M(y0, w1, a0, 0) ELL_M(y1, w1, a0, 2)                              \
    L(ELL_PD(b2, p4)) ELL_M(y2, w1, a1, 0) L(ELL_PX(t0, p5)) ELL_M(y3, w1, a1, 2) ELL_M(y4, w1, a2, 0)                              \
    L(ELL_WD(n0, at)) L(ELL_INS(b0, t1)) ELL_M(y5, w1, a2, 2) L(ELL_WX(t1, at)) ELL_M(y6, w1, a3, 0) ELL_M(x0, w2, a0, 1)           \
    L(ELL_WD(n1, at + 16)) L(ELL_INS(b1, t2)) ELL_M(x1, w2, a0, 3) L(ELL_WX(t2, at + 16)) ELL_M(x2, w2, a1, 1) ELL_M(x3, w2, a1, 3) \
    L(ELL_WD(n2, at + 32)) L(ELL_INS(b2, t0)) ELL_M(x4, w2, a2, 1) L(ELL_WX(t0, at + 32)) ELL_M(x5, w2, a2, 3) ELL_M(x6, w2, a3, 1) \
    L(ELL_WD(n3, at + 48)) L(ELL_INS(n0, t1)) ELL_M(y0, w3, a0, 1) L(ELL_WX(t1, at + 48)) ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1) \
    ELL_M(y3, w3, a1, 3) add                                                                                                        \
    L(ELL_INS(n1, t2)) pause ELL_M(y4, w3, a2, 1) ELL_M(y5, w3, a2, 3) ELL_M(y6, w3, a3, 1)

#define ELL_CHANNELS_6(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, t0, t1, t2, s0, s1, s2, at, add, pause)   \
    L(ELL_PD(b0, p0)) ELL_INS(w2, s2) ELL_M(x0, w0, a0, 0) L(ELL_PX(t0, p1)) ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0)              \
    L(ELL_PD(b1, p2)) ELL_INS(w3, s0) ELL_M(x3, w0, a1, 2) L(ELL_PX(t1, p3)) ELL_M(x4, w0, a2, 0) ELL_M(x5, w0, a2, 2)              \
    L(ELL_PD(b2, p4)) ELL_M(y0, w1, a0, 0) L(ELL_PX(t2, p5)) ELL_M(y1, w1, a0, 2) ELL_M(y2, w1, a1, 0)                              \
    L(ELL_WD(n0, at)) L(ELL_INS(b0, t0)) ELL_M(y3, w1, a1, 2) L(ELL_WX(t0, at)) ELL_M(y4, w1, a2, 0) ELL_M(y5, w1, a2, 2)           \
    L(ELL_WD(n1, at + 16)) L(ELL_INS(b1, t1)) ELL_M(x0, w2, a0, 1) L(ELL_WX(t1, at + 16)) ELL_M(x1, w2, a0, 3) ELL_M(x2, w2, a1, 1) \
    L(ELL_WD(n2, at + 32)) L(ELL_INS(b2, t2)) ELL_M(x3, w2, a1, 3) L(ELL_WX(t2, at + 32)) ELL_M(x4, w2, a2, 1) ELL_M(x5, w2, a2, 3) \
    L(ELL_WD(n3, at + 48)) L(ELL_INS(n0, t0)) ELL_M(y0, w3, a0, 1) L(ELL_WX(t0, at + 48)) ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1) \
    L(ELL_INS(n1, t1)) pause add ELL_M(y3, w3, a1, 3) ELL_M(y4, w3, a2, 1) ELL_M(y5, w3, a2, 3)

#define ELL_CHANNELS_5(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, t0, t1, t2, s0, s1, s2, at, add, pause)   \
    L(ELL_PD(b2, p4)) ELL_INS(w1, s1) ELL_M(x0, w0, a0, 0) ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0)                                \
    L(ELL_PD(b0, p0)) ELL_INS(w2, s2) ELL_M(x3, w0, a1, 2) L(ELL_PX(t1, p1)) ELL_M(x4, w0, a2, 0) ELL_M(y0, w1, a0, 0)              \
    L(ELL_PD(b1, p2)) ELL_INS(w3, s0) ELL_M(y1, w1, a0, 2) L(ELL_PX(t2, p3)) ELL_M(y2, w1, a1, 0) ELL_M(y3, w1, a1, 2) pause        \
    L(ELL_WD(n0, at)) ELL_M(y4, w1, a2, 0) L(ELL_WX(t0, at)) ELL_M(x0, w2, a0, 1) ELL_M(x1, w2, a0, 3)                              \
    L(ELL_WD(n1, at + 16)) L(ELL_INS(b0, t1)) ELL_M(x2, w2, a1, 1) L(ELL_WX(t1, at + 16)) ELL_M(x3, w2, a1, 3) ELL_M(x4, w2, a2, 1) \
    L(ELL_WD(n2, at + 32)) L(ELL_INS(b1, t2)) ELL_M(y0, w3, a0, 1) L(ELL_WX(t2, at + 32)) ELL_M(y1, w3, a0, 3) ELL_M(y2, w3, a1, 1) \
    L(ELL_WD(n3, at + 48)) L(ELL_INS(n0, t0)) ELL_M(y3, w3, a1, 3) L(ELL_WX(t0, at + 48)) ELL_M(y4, w3, a2, 1) add

#define ELL_CHANNELS_4(L, w0, w1, w2, w3, a0, a1, a2, a3, n0, n1, n2, n3, b0, b1, b2, b3, t0, t1, t2, s0, s1, s2, at, add, pause)   \
    L(ELL_PD(b0, p0)) ELL_INS(w1, s0) ELL_M(x0, w0, a0, 0) L(ELL_PX(t0, p1)) ELL_M(x1, w0, a0, 2) ELL_M(x2, w0, a1, 0)              \
    L(ELL_PD(b1, p2)) ELL_INS(w2, s1) ELL_M(x3, w0, a1, 2) L(ELL_PX(t1, p3)) ELL_M(y0, w1, a0, 0) ELL_M(y1, w1, a0, 2)              \
    L(ELL_WD(n0, at)) ELL_INS(w3, s2) ELL_M(y2, w1, a1, 0) L(ELL_WX(t2, at)) ELL_M(y3, w1, a1, 2) ELL_M(x0, w2, a0, 1) pause        \
    L(ELL_WD(n1, at + 16)) L(ELL_INS(b0, t0)) ELL_M(x1, w2, a0, 3) L(ELL_WX(t0, at + 16)) ELL_M(x2, w2, a1, 1) ELL_M(x3, w2, a1, 3) \
    L(ELL_WD(n2, at + 32)) L(ELL_INS(b1, t1)) ELL_M(y0, w3, a0, 1) L(ELL_WX(t1, at + 32)) ELL_M(y1, w3, a0, 3)                      \
    L(ELL_WD(n3, at + 48)) L(ELL_INS(n0, t2)) ELL_M(y2, w3, a1, 1) L(ELL_WX(t2, at + 48)) ELL_M(y3, w3, a1, 3) add

#define ELL_EVEN(C) \
    C(ELL_KEEP, 0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15, x9, x10, x11, x12, x13, x14, 0, "", "nop\n")
#define ELL_ODD(C, L, add, pause) \
    C(L, 4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3, 8, 9, 10, 11, x12, x13, x14, x9, x10, x11, 64, add, pause)
/* The loop over n groups of four channels; `start` loads the first inputs, and what the first channels insert. */
#define ELL_LOOP(C, start)                                                                                 \
    "ldp q0, q1, [%[w]]\n" "ldp q2, q3, [%[w], #32]\n" start                                               \
    "add %[w], %[w], #64\n" "subs %[n], %[n], #1\n" "b.eq 2f\n" ".p2align 4\n" "1:\n"                        \
    ELL_EVEN(C) ELL_ODD(C, ELL_KEEP, "add %[w], %[w], #128\n", "subs %[n], %[n], #1\n") "b.ne 1b\n" "2:\n" \
    ELL_EVEN(C) ELL_ODD(C, ELL_DROP, "", "")

#define ELL_UPPER(reg, p) "ld1 {v" #reg ".d}[1], [%[" #p "]], #8\n"
#define ELL_START_4 \
    ELL_WX(x12, 16) ELL_WX(x13, 32) ELL_WX(x14, 48) ELL_PD(8, p0) \
    ELL_PD(9, p2) ELL_UPPER(8, p1) ELL_UPPER(9, p3)
#define ELL_START_5 \
    ELL_WX(x13, 16) ELL_WX(x14, 32) ELL_WX(x12, 48) ELL_PD(8, p0) \
    ELL_PD(9, p2) ELL_PD(10, p4) ELL_UPPER(8, p1) ELL_UPPER(9, p3)
#define ELL_START_6 \
    ELL_WX(x14, 32) ELL_WX(x12, 48) ELL_PD(8, p0) ELL_PD(9, p2) \
    ELL_PD(10, p4) ELL_UPPER(8, p1) ELL_UPPER(9, p3) ELL_UPPER(10, p5)
#define ELL_START_7 \
    ELL_WX(x12, 32) ELL_WX(x13, 48) ELL_PD(8, p0) ELL_PD(9, p2) ELL_PD(10, p4) \
    ELL_PD(11, p6) ELL_UPPER(8, p1) ELL_UPPER(9, p3) ELL_UPPER(10, p5)
#define ELL_START_8 \
    ELL_WX(x12, 32) ELL_WX(x13, 48) ELL_PD(8, p0) ELL_PD(9, p2) ELL_PD(10, p4) \
    ELL_PD(11, p6) ELL_UPPER(8, p1) ELL_UPPER(9, p3) ELL_UPPER(10, p5) ELL_UPPER(11, p7)
#define ELL_CLOBBERS                                                                                                \
    "cc", "memory", "x9", "x10", "x11", "x12", "x13", "x14", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", \
        "v10", "v11", "v12", "v13", "v14", "v15"

#define ELL_SUM(i) [x##i] "+w"(s[i][0]), [y##i] "+w"(s[i][1]), [p##i] "+r"(p##i)
#define ELL_RUN(C, start, ...) \
    __asm__ volatile(ELL_LOOP(C, start) : __VA_ARGS__, [w] "+r"(w), [n] "+r"(n) : : ELL_CLOBBERS)
#define ELL_SUMS_4 ELL_SUM(0), ELL_SUM(1), ELL_SUM(2), ELL_SUM(3)

/* s[pixel][vector] += input of the pixel * weights [channel][vector], over `channels` channels, a multiple of four, at least
 * that. `input[pixel]`: the pixel's first channel. Constants when it is inlined: `pixels` and `channels`. */
ELL_INLINE void ell_multiply_in_order(vec s[8][IN_ORDER_VECTORS], const float *const input[8], const float *w, const int pixels,
                                      const int channels) {
    const float *p0 = input[0], *p1 = input[1], *p2 = input[2], *p3 = input[3], *p4 = input[4], *p5 = input[5],
                *p6 = input[6], *p7 = input[7];
    long n = channels / 4;
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

#elif IN_ORDER && ELL_PAIRS
#include "multiply_in_order_32.h"
#elif IN_ORDER && VECTOR_WIDTH == 1 && defined(__arm__) && defined(__ARM_FP)
#include "multiply_in_order_vfp.h"
#else
#define MULTIPLY_IN_ORDER 0
#endif

#endif
