// Code words of a canonical code, bit-reversed because streams are read from the low bit up.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/codec_huffman.h"

namespace entrofleet {

using CodeWords = std::array<uint16_t, 256>;

// Canonical: shorter codes first, equal lengths in the order of symbols (RFC 1951, section 3.2.2).
inline CodeWords assign_code_words(const CodeLengths& lengths) {
  uint32_t next = 0;
  CodeWords words{};
  for (int length = 1; length <= kCodeLengthMax; ++length) {
    for (size_t s = 0; s < 256; ++s) {
      if (lengths[s] != length) continue;
      uint32_t reversed = 0;
      for (int bit = 0; bit < length; ++bit) reversed |= (next >> bit & 1) << (length - 1 - bit);
      words[s] = static_cast<uint16_t>(reversed);
      ++next;
    }
    next <<= 1;
  }
  return words;
}

}  // namespace entrofleet
