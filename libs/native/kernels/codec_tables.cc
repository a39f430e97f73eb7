#include "kernels/codec_tables.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/codec_failure.h"

namespace entrofleet {
namespace {

// An item of package-merge: a symbol, or a pair of items of the level below.
struct Package {
  uint64_t weight;
  // -1 for a pair.
  int symbol;
};

uint32_t reversed(uint32_t code, int length) {
  uint32_t result = 0;
  for (int bit = 0; bit < length; ++bit) result |= ((code >> bit) & 1) << (length - 1 - bit);
  return result;
}

// Canonical codes as in DEFLATE (RFC 1951, section 3.2.2), reversed: the first bit is lowest.
std::array<uint16_t, 256> canonical_codes(const CodeLengths& lengths) {
  std::array<uint32_t, kMostCodeBits + 2> next{};
  for (const uint8_t length : lengths) {
    if (length != 0) ++next[length + 1];
  }
  // next[n + 1] counts codes of n bits and becomes the first code of n + 1 bits.
  uint32_t first = 0;
  for (uint32_t& entry : next) {
    first = (first + entry) << 1;
    entry = first;
  }
  std::array<uint16_t, 256> codes{};
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    const int length = lengths[symbol];
    if (length == 0) continue;
    codes[symbol] = static_cast<uint16_t>(reversed(next[length]++, length));
  }
  return codes;
}

uint32_t kraft_sum(const CodeLengths& lengths) {
  uint32_t sum = 0;
  for (const uint8_t length : lengths) {
    if (length != 0) sum += 1u << (kMostCodeBits - length);
  }
  return sum;
}

// As many whole codes as fit `most_symbols` and kLookupBits bits.
uint64_t symbols_of(const DecodeTable& table, uint32_t window, int most_symbols, int shift) {
  uint64_t symbols = 0;
  int used = 0;
  int count = 0;
  while (count < most_symbols) {
    const uint16_t entry = table.single[window >> used];
    const int length = entry & 0xff;
    if (length == 0 || used + length > kLookupBits) break;
    symbols |= static_cast<uint64_t>(entry >> 8) << (8 * count);
    used += length;
    ++count;
  }
  return static_cast<uint64_t>(used) | static_cast<uint64_t>(count) << 6 | symbols << shift;
}

// The first code of a window opens the next tail.
void add_long_code(DecodeTable& table, uint32_t code, uint16_t entry, size_t* used_tails) {
  const size_t length = entry & 0xff;
  uint16_t& window = table.single[code & (kDecodeEntries - 1)];
  if (window == 0) window = static_cast<uint16_t>(++*used_tails << 8);
  const size_t tail = window >> 8;
  for (size_t rest = code >> kLookupBits; rest < size_t{1} << kTailBits;
       rest += size_t{1} << (length - kLookupBits)) {
    table.tails[tail << kTailBits | rest] = entry;
  }
}

}  // namespace

CodeLengths optimal_code_lengths(const Histogram& counts) {
  std::vector<int> symbols;
  for (int symbol = 0; symbol < 256; ++symbol) {
    if (counts[static_cast<size_t>(symbol)] != 0) symbols.push_back(symbol);
  }
  CodeLengths lengths{};
  if (symbols.size() == 1) lengths[static_cast<size_t>(symbols[0])] = 1;
  if (symbols.size() <= 1) return lengths;
  const auto count_of = [&](int symbol) { return counts[static_cast<size_t>(symbol)]; };
  std::stable_sort(symbols.begin(), symbols.end(),
                   [&](int a, int b) { return count_of(a) < count_of(b); });

  // levels[0] holds the deepest codes. Each level merges the leaves with pairs of the one before;
  // on equal weights a leaf goes first.
  std::array<std::vector<Package>, kMostCodeBits> levels;
  for (size_t level = 0; level < levels.size(); ++level) {
    std::vector<Package> pairs;
    if (level > 0) {
      const std::vector<Package>& below = levels[level - 1];
      for (size_t i = 0; i + 1 < below.size(); i += 2) {
        pairs.push_back({below[i].weight + below[i + 1].weight, -1});
      }
    }
    std::vector<Package> leaves;
    for (const int symbol : symbols) leaves.push_back({count_of(symbol), symbol});
    levels[level].resize(leaves.size() + pairs.size());
    std::merge(leaves.begin(), leaves.end(), pairs.begin(), pairs.end(), levels[level].begin(),
               [](const Package& a, const Package& b) { return a.weight < b.weight; });
  }

  // The 2n - 2 lightest packages of the last level make the code: a symbol's length is how often
  // it occurs in them, their pairs unpacked level by level.
  size_t taken = 2 * symbols.size() - 2;
  for (size_t level = levels.size(); level-- > 0;) {
    size_t pairs = 0;
    for (size_t i = 0; i < taken; ++i) {
      const int symbol = levels[level][i].symbol;
      if (symbol < 0) {
        ++pairs;
      } else {
        ++lengths[static_cast<size_t>(symbol)];
      }
    }
    taken = 2 * pairs;
  }
  return lengths;
}

void require_prefix_code(const CodeLengths& lengths) {
  size_t used = 0;
  size_t last = 0;
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    if (lengths[symbol] > kMostCodeBits) {
      throw CodecFailure{"BadCodeTable",
                         "the code of symbol " + std::to_string(symbol) + " has " +
                             std::to_string(lengths[symbol]) + " bits, over " +
                             std::to_string(kMostCodeBits),
                         symbol};
    }
    if (lengths[symbol] == 0) continue;
    ++used;
    last = symbol;
  }
  if (used == 0) throw CodecFailure{"BadCodeTable", "no symbol has a code", std::nullopt};
  if (used == 1) {
    if (lengths[last] == 1) return;
    throw CodecFailure{"BadCodeTable", "the code of a lone symbol must have 1 bit", last};
  }
  constexpr uint32_t kWhole = 1u << kMostCodeBits;
  const uint32_t sum = kraft_sum(lengths);
  if (sum == kWhole) return;
  throw CodecFailure{"BadCodeTable",
                     std::string("the code lengths are ") +
                         (sum > kWhole ? "those of no prefix code" : "incomplete") +
                         ": their Kraft sum is " + std::to_string(sum) + "/" +
                         std::to_string(kWhole),
                     std::nullopt};
}

EncodeTable::EncodeTable(const CodeLengths& lengths) {
  const std::array<uint16_t, 256> codes = canonical_codes(lengths);
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    entries[symbol] = codes[symbol] | static_cast<uint32_t>(lengths[symbol]) << 16;
  }
}

DecodeTable::DecodeTable(const CodeLengths& lengths) : single{}, tails{}, narrow{}, wide{} {
  require_prefix_code(lengths);
  size_t used = 0;
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    if (lengths[symbol] == 0) continue;
    ++used;
    lone_symbol_value = static_cast<uint8_t>(symbol);
  }
  lone_symbol = used == 1;
  // Only a complete code gives every window a symbol, which decoding relies on.
  if (used < 2) return;
  const std::array<uint16_t, 256> codes = canonical_codes(lengths);
  size_t used_tails = 0;
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    const size_t length = lengths[symbol];
    if (length == 0) continue;
    const uint16_t entry = static_cast<uint16_t>(length | symbol << 8);
    if (length > kLookupBits) {
      add_long_code(*this, codes[symbol], entry, &used_tails);
      continue;
    }
    for (size_t window = codes[symbol]; window < kDecodeEntries; window += size_t{1} << length) {
      single[window] = entry;
    }
  }
  size_t narrow_symbols = 0;
  size_t wide_symbols = 0;
  for (uint32_t window = 0; window < kDecodeEntries; ++window) {
    narrow[window] =
        static_cast<uint32_t>(symbols_of(*this, window, kNarrowSymbols, kNarrowShift));
    wide[window] = symbols_of(*this, window, kWideSymbols, kWideShift);
    narrow_symbols += (narrow[window] >> 6) & 3;
    wide_symbols += (wide[window] >> 6) & 7;
  }
  // The larger table misses the first-level cache; measured, that costs about a tenth.
  prefers_wide = wide_symbols * 10 > narrow_symbols * 11;
}

}  // namespace entrofleet
