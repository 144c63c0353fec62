/* Which instructions of x86 code needs, and which a processor has. Elsewhere nothing is asked.
 *
 * ELL_CPU_NEEDS is made where the network is compiled, ell_cpu_has runs in code that needs none of them. The bits are
 * those of Intel's manual for CPUID, volume 2A; vector registers must also be kept by the system (XGETBV). */
#ifndef ELLOPT_LIBRARY_CPU_H
#define ELLOPT_LIBRARY_CPU_H

extern const unsigned ell_cpu_needs;

enum {
    ELL_CPU_SSE3 = 1 << 0,
    ELL_CPU_SSSE3 = 1 << 1,
    ELL_CPU_SSE4_1 = 1 << 2,
    ELL_CPU_SSE4_2 = 1 << 3,
    ELL_CPU_POPCNT = 1 << 4,
    ELL_CPU_MOVBE = 1 << 5,
    ELL_CPU_LZCNT = 1 << 6,
    ELL_CPU_AVX = 1 << 7,
    ELL_CPU_F16C = 1 << 8,
    ELL_CPU_FMA = 1 << 9,
    ELL_CPU_BMI = 1 << 10,
    ELL_CPU_BMI2 = 1 << 11,
    ELL_CPU_AVX2 = 1 << 12,
    ELL_CPU_AVX512F = 1 << 13,
    ELL_CPU_AVX512CD = 1 << 14,
    ELL_CPU_AVX512BW = 1 << 15,
    ELL_CPU_AVX512DQ = 1 << 16,
    ELL_CPU_AVX512VL = 1 << 17,
    ELL_CPU_AVX512VBMI = 1 << 18,
    ELL_CPU_AVX512IFMA = 1 << 19,
    ELL_CPU_AVX512VBMI2 = 1 << 20,
    ELL_CPU_AVX512VNNI = 1 << 21,
    ELL_CPU_AVX512BITALG = 1 << 22,
    ELL_CPU_AVX512VPOPCNTDQ = 1 << 23,
    ELL_CPU_GFNI = 1 << 24
};

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned ell_cpu_bit(unsigned word, int bit, unsigned feature) { return word >> bit & 1 ? feature : 0; }

static unsigned ell_cpu_has(void) {
    unsigned a, b, c, d, found = 0, kept = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (c >> 27 & 1) {
        unsigned high;
        __asm__ volatile("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
    }
    const int ymm = (kept & 0x06) == 0x06, zmm = (kept & 0xe6) == 0xe6;
    found |= ell_cpu_bit(c, 0, ELL_CPU_SSE3) | ell_cpu_bit(c, 9, ELL_CPU_SSSE3) | ell_cpu_bit(c, 19, ELL_CPU_SSE4_1);
    found |= ell_cpu_bit(c, 20, ELL_CPU_SSE4_2) | ell_cpu_bit(c, 22, ELL_CPU_MOVBE) | ell_cpu_bit(c, 23, ELL_CPU_POPCNT);
    if (ymm)
        found |= ell_cpu_bit(c, 12, ELL_CPU_FMA) | ell_cpu_bit(c, 28, ELL_CPU_AVX) | ell_cpu_bit(c, 29, ELL_CPU_F16C);
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) found |= ell_cpu_bit(c, 5, ELL_CPU_LZCNT);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
    found |= ell_cpu_bit(b, 3, ELL_CPU_BMI) | ell_cpu_bit(b, 8, ELL_CPU_BMI2) | ell_cpu_bit(c, 8, ELL_CPU_GFNI);
    if (ymm) found |= ell_cpu_bit(b, 5, ELL_CPU_AVX2);
    if (!zmm) return found;
    found |= ell_cpu_bit(b, 16, ELL_CPU_AVX512F) | ell_cpu_bit(b, 17, ELL_CPU_AVX512DQ);
    found |= ell_cpu_bit(b, 21, ELL_CPU_AVX512IFMA) | ell_cpu_bit(b, 28, ELL_CPU_AVX512CD);
    found |= ell_cpu_bit(b, 30, ELL_CPU_AVX512BW) | ell_cpu_bit(b, 31, ELL_CPU_AVX512VL);
    found |= ell_cpu_bit(c, 1, ELL_CPU_AVX512VBMI) | ell_cpu_bit(c, 6, ELL_CPU_AVX512VBMI2);
    found |= ell_cpu_bit(c, 11, ELL_CPU_AVX512VNNI) | ell_cpu_bit(c, 12, ELL_CPU_AVX512BITALG);
    return found | ell_cpu_bit(c, 14, ELL_CPU_AVX512VPOPCNTDQ);
}
#else
static unsigned ell_cpu_has(void) { return ~0u; }
#endif

#endif
