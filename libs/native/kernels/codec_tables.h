// Canonical, length-limited Huffman codes and the tables that encode and decode them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace entrofleet {

constexpr int kMostCodeBits = 15;
// Longer codes are rare: they take a second look-up, so that the tables of the first stay small.
constexpr int kLookupBits = 12;
constexpr size_t kDecodeEntries = size_t{1} << kLookupBits;
constexpr int kTailBits = kMostCodeBits - kLookupBits;
// A tail is a set of longer codes that begin alike: at least two of the 256 symbols. Number 0 is
// none.
constexpr size_t kMostTails = 128;
constexpr size_t kSegmentStreams = 4;
// Byte sizes of all streams but the last, 32 bits each.
constexpr size_t kSegmentHeaderBytes = 4 * (kSegmentStreams - 1);

using Histogram = std::array<uint64_t, 256>;
// Code length of each symbol; 0: the symbol does not occur.
using CodeLengths = std::array<uint8_t, 256>;

// Lengths of an optimal prefix code of at most kMostCodeBits bits (package-merge: Larmore and
// Hirschberg 1990). Ties are broken by symbol, so the result depends on the counts alone. A lone
// symbol gets length 1. Counts must sum to less than 2^53.
CodeLengths optimal_code_lengths(const Histogram& counts);

// Throws CodecFailure BadCodeTable unless the lengths are those of a complete prefix code, of or of
// a lone symbol with length 1.
void require_prefix_code(const CodeLengths& lengths);

// Symbol's code in the order its bits are written (first bit lowest), and its length.
struct EncodeTable {
  explicit EncodeTable(const CodeLengths& lengths);

  // code | length << 16.
  uint32_t entries[256];
};

// The next kLookupBits bits of a stream to the symbols they begin with.
struct DecodeTable {
  // Throws as require_prefix_code does.
  explicit DecodeTable(const CodeLengths& lengths);

  // All entries are 0 bits, no symbol, for a window that begins a code longer than kLookupBits.
  // Narrow entries hold up to 3 symbols: bits 0-5 bits they take, 6-7 how many, from 8 the symbols.
  // The table is half of a 32 KiB first-level cache.
  static constexpr int kNarrowSymbols = 3;
  static constexpr int kNarrowShift = 8;
  // Wide entries hold up to 6: bits 0-5 bits they take, 6-8 how many, from 16 the symbols.
  static constexpr int kWideSymbols = 6;
  static constexpr int kWideShift = 16;

  bool lone_symbol = false;
  uint8_t lone_symbol_value = 0;
  // Codes so short that the symbols which only wide entries have room for pay for the larger table.
  bool prefers_wide = false;
  // length | symbol << 8; 0 | tail << 8 for a window that begins a longer code.
  uint16_t single[kDecodeEntries];
  // By tail and the kTailBits bits after the window: length of the whole code | symbol << 8.
  uint16_t tails[(kMostTails + 1) << kTailBits];
  uint32_t narrow[kDecodeEntries];
  uint64_t wide[kDecodeEntries];
};

}  // namespace entrofleet
