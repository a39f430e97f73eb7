// libFuzzer driver for Huffman code tables. Any lengths are either refused, or those of a complete
// prefix code by a check of its own (Kraft's sum), whose codes decode to themselves. Those made for
// any counts are never refused and never longer than a plain code of 8 bits a symbol.
#include <bit>

#include "fuzz/fuzz_input.h"
#include "kernels/codec_tables.h"

namespace entrofleet::fuzz {
namespace {

// Kraft's sum of a complete code, in codes of the greatest length.
constexpr uint64_t kWhole = uint64_t{1} << kMostCodeBits;

bool accepted(const CodeLengths& lengths) {
  try {
    require_prefix_code(lengths);
    return true;
  } catch (const CodecFailure& failure) {
    require(failure.code == "BadCodeTable");
    return false;
  }
}

bool is_prefix_code(const CodeLengths& lengths) {
  uint64_t sum = 0;
  size_t used = 0;
  size_t lone_length = 0;
  for (const uint8_t length : lengths) {
    if (length == 0) continue;
    if (length > kMostCodeBits) return false;
    sum += uint64_t{1} << (kMostCodeBits - length);
    lone_length = length;
    ++used;
  }
  return used == 1 ? lone_length == 1 : sum == kWhole;
}

// The entry of the code that these bits begin with.
uint32_t found(const DecodeTable& decoder, uint32_t bits) {
  const uint32_t entry = decoder.single[bits % kDecodeEntries];
  if ((entry & 0xff) != 0) return entry;
  const uint32_t tail = entry >> 8;
  require(tail > 0 && tail <= kMostTails);
  return decoder.tails[tail << kTailBits | bits >> kLookupBits];
}

void check_tables(const CodeLengths& lengths) {
  const EncodeTable encoder(lengths);
  const DecodeTable decoder(lengths);
  size_t used = 0;
  for (const uint8_t length : lengths) used += length != 0;
  require(decoder.lone_symbol == (used == 1));
  for (size_t symbol = 0; symbol < lengths.size(); ++symbol) {
    if (lengths[symbol] == 0) continue;
    const uint32_t code = encoder.entries[symbol] & 0xffff;
    require(encoder.entries[symbol] >> 16 == lengths[symbol]);
    if (decoder.lone_symbol) {
      require(code == 0 && decoder.lone_symbol_value == symbol);
      continue;
    }
    // Whatever follows a code, it is the one that is found.
    for (uint32_t rest = 0; rest < kWhole >> lengths[symbol]; ++rest) {
      const uint32_t bits = code | rest << lengths[symbol];
      require(found(decoder, bits) == (lengths[symbol] | symbol << 8));
      const uint32_t window = bits % kDecodeEntries;
      const uint64_t narrow = decoder.narrow[window];
      const uint64_t wide = decoder.wide[window];
      if (lengths[symbol] > kLookupBits) {
        require(narrow == 0 && wide == 0);
        continue;
      }
      require((narrow >> DecodeTable::kNarrowShift & 0xff) == symbol);
      require((wide >> DecodeTable::kWideShift & 0xff) == symbol);
      require((narrow & 63) <= kLookupBits && (wide & 63) <= kLookupBits);
    }
  }
}

void any_lengths(FuzzInput& input) {
  CodeLengths lengths{};
  // A length that fills up what Kraft's sum leaves makes a complete code likely.
  uint64_t left = kWhole;
  const bool complete = input.byte() % 2 == 0;
  for (size_t symbol = input.byte(); symbol < lengths.size() && input.left() > 0; ++symbol) {
    lengths[symbol] = complete ? input.byte() % (kMostCodeBits + 1) : input.byte();
    if (!complete || lengths[symbol] == 0) continue;
    const uint64_t share = kWhole >> lengths[symbol];
    if (share > left) lengths[symbol] = 0;
    left -= share > left ? 0 : share;
  }
  for (size_t symbol = 0; complete && left > 0 && symbol < lengths.size(); ++symbol) {
    if (lengths[symbol] != 0) continue;
    const int bits = std::bit_width(left) - 1;
    if (bits >= kMostCodeBits) break;
    lengths[symbol] = static_cast<uint8_t>(kMostCodeBits - bits);
    left -= uint64_t{1} << bits;
  }
  const bool good = accepted(lengths);
  require(good == is_prefix_code(lengths));
  if (good) check_tables(lengths);
}

void any_counts(FuzzInput& input) {
  Histogram counts{};
  uint64_t total = 0;
  while (input.left() > 1) {
    const uint8_t symbol = input.byte();
    const uint8_t value = input.byte();
    // 256 of these sum to less than 2^53.
    counts[symbol] = value < 200 ? value : uint64_t{1} << (value % 45);
  }
  const CodeLengths lengths = optimal_code_lengths(counts);
  uint64_t bits = 0;
  for (size_t symbol = 0; symbol < counts.size(); ++symbol) {
    require((lengths[symbol] != 0) == (counts[symbol] != 0));
    total += counts[symbol];
    bits += counts[symbol] * lengths[symbol];
  }
  if (total == 0) return;
  require(is_prefix_code(lengths) && accepted(lengths));
  require(bits <= 8 * total);
  check_tables(lengths);
}

}  // namespace
}  // namespace entrofleet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace entrofleet::fuzz;
  FuzzInput input(data, size);
  if (input.byte() % 2 == 0) {
    any_lengths(input);
  } else {
    any_counts(input);
  }
  return 0;
}
