/* The loop of multiply_in_order.h in 32-bit code: four pixels times two vectors of filters, or three and one that is dropped.
 *
 * Of 16 registers, eight are sums. Two channels at a time: q0 and q1 hold inputs of the even pairs of channels, a d for
 * each pixel, q2 and q3 those of the odd ones, so that they are loaded while the others are in use; q4 to q7 hold weights
 * (channel, vector), each loaded anew as soon as it was multiplied with all pixels. Upper halves come through two general
 * registers, and go to their vector in the cycle of a load, two loads later. */
#ifndef ELLOPT_MULTIPLY_IN_ORDER_32_H
#define ELLOPT_MULTIPLY_IN_ORDER_32_H

#define MULTIPLY_IN_ORDER 1
#define IN_ORDER_VECTORS 2

/* Whether a tile has such a loop. */
ELL_INLINE int ell_in_order(const int pixels, const int vectors) { return pixels >= 3 && pixels <= 4 && vectors == 2; }

#define ELL_KEEP(text) text
#define ELL_DROP(text)
#define ELL_W(d, at) "vldr " d ", [%[w], #" at "]\n"
#define ELL_WT(t, at) "ldrd " t ", [%[w], #" at "]\n"
#define ELL_P(d, p) "vld1.32 {" d "}, [%[" p "]]!\n"
#define ELL_PT(t, p) "ldrd " t ", [%[" p "]], #8\n"
#define ELL_INS(d, t) "vmov " d ", " t "\n"
#define ELL_M(sum, w, a, lane) "vmla.f32 %q[" sum "], " w ", " a "[" lane "]\n"
#define ELL_T0 "r0, r1"
#define ELL_T1 "r2, r3"
#define ELL_T2 "r4, r5"

/* Two channels of inputs a0..a3. L says whether those of the next two are loaded, to b0..b3, and their weights. A line has
 * a load, an insertion and the multiply-adds behind them. */
#define ELL_CHANNELS(L, a0, a1, a2, a3, b0, b1, b2, b3)                                                                     \
    ELL_W("d14", "48") ELL_INS("d13", ELL_T0) ELL_M("x0", "q4", a0, "0") L(ELL_PT(ELL_T2, "p1")) ELL_M("x1", "q4", a1, "0") \
    ELL_M("x2", "q4", a2, "0")                                                                                              \
    L(ELL_P(b0, "p0")) ELL_INS("d15", ELL_T1) ELL_M("x3", "q4", a3, "0") L(ELL_PT(ELL_T0, "p3"))                            \
    ELL_M("y0", "q5", a0, "0") ELL_M("y1", "q5", a1, "0")                                                                   \
    L(ELL_P(b2, "p2")) L(ELL_INS(b1, ELL_T2)) ELL_M("y2", "q5", a2, "0") L(ELL_WT(ELL_T1, "72"))                            \
    ELL_M("y3", "q5", a3, "0") ELL_M("x0", "q6", a0, "1")                                                                   \
    L(ELL_W("d8", "64")) L(ELL_INS(b3, ELL_T0)) ELL_M("x1", "q6", a1, "1") L(ELL_WT(ELL_T2, "88"))                          \
    ELL_M("x2", "q6", a2, "1") ELL_M("x3", "q6", a3, "1")                                                                   \
    L(ELL_W("d10", "80")) L(ELL_INS("d9", ELL_T1)) ELL_M("y0", "q7", a0, "1") L(ELL_WT(ELL_T0, "104"))                      \
    ELL_M("y1", "q7", a1, "1") ELL_M("y2", "q7", a2, "1")                                                                   \
    L(ELL_W("d12", "96")) L(ELL_INS("d11", ELL_T2)) ELL_M("y3", "q7", a3, "1") L(ELL_WT(ELL_T1, "120"))                     \
    L("add %[w], %[w], #64\n")

#define ELL_EVEN ELL_CHANNELS(ELL_KEEP, "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7")
#define ELL_ODD(L) ELL_CHANNELS(L, "d4", "d5", "d6", "d7", "d0", "d1", "d2", "d3")
#define ELL_SUM(i) [x##i] "+w"(s[i][0]), [y##i] "+w"(s[i][1]), [p##i] "+r"(p##i)

/* s[pixel][vector] += input of the pixel * weights [channel][vector], over `channels` channels, a multiple of four, at least
 * that. `input[pixel]`: the pixel's first channel. Constants when it is inlined: `pixels` and `channels`. */
ELL_INLINE void ell_multiply_in_order(vec s[8][IN_ORDER_VECTORS], const float *const input[8], const float *w, const int pixels,
                                      const int channels) {
    const float *p0 = input[0], *p1 = input[1], *p2 = input[2], *p3 = input[pixels == 4 ? 3 : 2];
    int n = channels / 4;
    if (pixels == 3) s[3][0] = s[3][1] = vec_zero();
    __asm__ volatile(
        "vld1.32 {d8, d9, d10, d11}, [%[w]]\n" ELL_W("d12", "32") ELL_WT(ELL_T0, "40") ELL_WT(ELL_T1, "56")
        ELL_P("d0", "p0") ELL_P("d1", "p1") ELL_P("d2", "p2") ELL_P("d3", "p3")
        "subs %[n], %[n], #1\n" "beq 2f\n" "1:\n"
        ELL_EVEN ELL_ODD(ELL_KEEP) "subs %[n], %[n], #1\n" "bne 1b\n" "2:\n"
        ELL_EVEN ELL_ODD(ELL_DROP)
        : ELL_SUM(0), ELL_SUM(1), ELL_SUM(2), ELL_SUM(3), [w] "+r"(w), [n] "+r"(n)
        :
        : "cc", "memory", "r0", "r1", "r2", "r3", "r4", "r5", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7");
}

#endif
