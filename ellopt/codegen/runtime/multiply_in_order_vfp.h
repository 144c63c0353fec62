/* The loop of multiply_in_order.h for a processor without vectors that issues one instruction a cycle (ARM1176): four pixels times
 * four filters, or three pixels and one that is dropped.
 *
 * Of 32 registers, 16 are sums: as many multiply-adds stand between two of a sum, which takes eight cycles. A load of several
 * registers is one instruction and brings two words a cycle while multiply-adds go on. Two channels at a time: s0 to s7 hold two
 * inputs of each pixel, s8 to s11 the weights of the even channels, s12 to s15 those of the odd ones. What was multiplied for the
 * last time is loaded anew at once, twelve multiply-adds or more before it is used. */
#ifndef ELLOPT_MULTIPLY_IN_ORDER_VFP_H
#define ELLOPT_MULTIPLY_IN_ORDER_VFP_H

#define MULTIPLY_IN_ORDER 1
#define IN_ORDER_VECTORS 4

/* Whether a tile has such a loop. */
ELL_INLINE int ell_in_order(const int pixels, const int vectors) { return pixels >= 3 && pixels <= 4 && vectors == 4; }

#define ELL_KEEP(text) text
#define ELL_DROP(text)
#define ELL_M(sum, w, a) "vmla.f32 s" #sum ", s" #w ", s" #a "\n"
#define ELL_LOAD(p, registers) "vldmia %[" #p "]!, {" registers "}\n"
/* A pixel's input times four weights. */
#define ELL_EVEN(x0, x1, x2, x3, a) ELL_M(x0, 8, a) ELL_M(x1, 9, a) ELL_M(x2, 10, a) ELL_M(x3, 11, a)
#define ELL_ODD(x0, x1, x2, x3, a) ELL_M(x0, 12, a) ELL_M(x1, 13, a) ELL_M(x2, 14, a) ELL_M(x3, 15, a)
/* Two channels. L says whether inputs of the next two, and their first weights, are loaded. */
#define ELL_CHANNELS(L)                                               \
    ELL_LOAD(w, "s12, s13, s14, s15")                                 \
    ELL_EVEN(16, 17, 18, 19, 0) ELL_EVEN(20, 21, 22, 23, 2)           \
    ELL_EVEN(24, 25, 26, 27, 4) ELL_EVEN(28, 29, 30, 31, 6)           \
    L(ELL_LOAD(w, "s8, s9, s10, s11"))                                \
    ELL_ODD(16, 17, 18, 19, 1) L(ELL_LOAD(p0, "d0"))                  \
    ELL_ODD(20, 21, 22, 23, 3) L(ELL_LOAD(p1, "d1"))                  \
    ELL_ODD(24, 25, 26, 27, 5) L(ELL_LOAD(p2, "d2"))                  \
    ELL_ODD(28, 29, 30, 31, 7) L(ELL_LOAD(p3, "d3"))

/* s[pixel][filter] += input of the pixel * weights [channel][filter], over `channels` channels, a multiple of four, at least
 * that. `input[pixel]`: the pixel's first channel. Constants when it is inlined: `pixels` and `channels`. */
ELL_INLINE void ell_multiply_in_order(vec s[8][IN_ORDER_VECTORS], const float *const input[8], const float *w, const int pixels,
                                      const int channels) {
    const float *p0 = input[0], *p1 = input[1], *p2 = input[2], *p3 = input[pixels == 4 ? 3 : 2];
    int n = channels / 4;
    ELL_UNROLL for (int v = 0; v < IN_ORDER_VECTORS; v++)
        if (pixels == 3) s[3][v] = vec_zero();
    __asm__ volatile(
        "vldmia %[s], {s16-s31}\n" ELL_LOAD(w, "s8, s9, s10, s11")
        ELL_LOAD(p0, "d0") ELL_LOAD(p1, "d1") ELL_LOAD(p2, "d2") ELL_LOAD(p3, "d3")
        "subs %[n], %[n], #1\n" "beq 2f\n" "1:\n"
        ELL_CHANNELS(ELL_KEEP) ELL_CHANNELS(ELL_KEEP) "subs %[n], %[n], #1\n" "bne 1b\n" "2:\n"
        ELL_CHANNELS(ELL_KEEP) ELL_CHANNELS(ELL_DROP) "vstmia %[s], {s16-s31}\n"
        : [p0] "+r"(p0), [p1] "+r"(p1), [p2] "+r"(p2), [p3] "+r"(p3), [w] "+r"(w), [n] "+r"(n)
        : [s] "r"(s)
        : "cc", "memory", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15");
}

#endif
