// A float as the sum of kTerms bf16: each is the nearest to what the ones before leave. Three take up all 24 bits.
#ifndef FACEGEN_CPU_BF16_TERMS_H_
#define FACEGEN_CPU_BF16_TERMS_H_

#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"

using Bf16 = std::uint16_t;  // the upper half of a float

inline void bf16_terms(float x, Bf16 terms[kTerms]) {
  constexpr std::uint32_t kSign = 0x80000000u, kLargest = 0x7f7f0000u;
  for (int t = 0; t < kTerms; ++t) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    std::uint32_t size = bits & ~kSign;
    size = (size + 0x7fffu + (size >> 16 & 1)) & 0xffff0000u;  // to the nearest, ties to even,
    if (size > kLargest) size = kLargest;                      // but never past the largest number
    bits = size | (bits & kSign);
    float term;
    std::memcpy(&term, &bits, sizeof term);
    terms[t] = Bf16(bits >> 16);
    x -= term;
  }
}

#endif  // FACEGEN_CPU_BF16_TERMS_H_
