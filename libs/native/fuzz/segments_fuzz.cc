// libFuzzer driver for Huffman segments: hostile ones, and encoded ones with bits flipped. Besides
// not crashing, every instruction set gives the same verdict and, where that is good, the same
// symbols, and what was encoded decodes to itself.
#include <utility>

#include "fuzz/fuzz_input.h"
#include "kernels/codec_segments.h"

namespace entrofleet::fuzz {
namespace {

constexpr size_t kMostSymbols = 1 << 16;

// Either any lengths at all, or (for few inputs would pass by chance) those of an optimal code.
CodeLengths read_lengths(FuzzInput& input) {
  CodeLengths lengths{};
  const bool valid = input.byte() % 8 != 0;
  const size_t symbols = 1 + input.byte() % 64;
  Histogram counts{};
  for (size_t i = 0; i < symbols; ++i) {
    const uint8_t symbol = input.byte();
    const uint8_t value = input.byte();
    lengths[symbol] = value;
    counts[symbol] = uint64_t{1} << (value % 24);
  }
  return valid ? optimal_code_lengths(counts) : lengths;
}

using Verdict = std::pair<std::string, std::vector<uint8_t>>;

Verdict decode(const CodedInput& input, size_t threads) {
  const std::unique_ptr<uint8_t[]> output(new uint8_t[input.symbol_count]());
  try {
    decode_huffman(input, output.get(), threads, 1);
  } catch (const CodecFailure& failure) {
    return {verdict_of(failure), {}};
  }
  return {"", {output.get(), output.get() + input.symbol_count}};
}

void decode_hostile(FuzzInput& input, const std::string& isa) {
  CodedInput coded{};
  coded.code_lengths = read_lengths(input);
  coded.segment_symbols = 1 + input.number(2);
  coded.symbol_count = input.number(2) % kMostSymbols;
  const size_t segments = coded.symbol_count / coded.segment_symbols +
                          (coded.symbol_count % coded.segment_symbols != 0);
  // Sizes that fit but for a few, else nearly all inputs would end at the first check.
  const size_t stated = std::min<size_t>(segments, 64) + (input.byte() == 255 ? 1 : 0);
  std::vector<uint32_t> sizes;
  for (size_t i = 1; i < stated; ++i) sizes.push_back(input.number(2));
  const ExactBytes payload(input.rest());
  size_t used = 0;
  for (uint32_t& size : sizes) {
    size = std::min<uint32_t>(size, static_cast<uint32_t>(payload.size - used));
    used += size;
  }
  if (stated > 0) sizes.push_back(static_cast<uint32_t>(payload.size - used));
  coded.payload = payload.elements.get();
  coded.payload_bytes = payload.size;
  coded.segment_sizes = sizes;
  same_on(isa, [&] { return decode(coded, 1); });
}

void round_trip(FuzzInput& input, const std::string& isa) {
  const size_t segment_symbols = 1 + input.number(2) % 5000;
  const size_t threads = 1 + input.byte() % 2;
  const uint32_t flips = input.byte() % 4;
  std::vector<uint32_t> positions;
  for (uint32_t i = 0; i < flips; ++i) positions.push_back(input.number(3));
  // Repeats stretch a small input over several rounds of the unchecked loop.
  const size_t repeats = 1 + input.byte() % 16;
  const std::vector<uint8_t> rest = input.rest();
  std::vector<uint8_t> symbols;
  for (size_t i = 0; i < repeats; ++i) symbols.insert(symbols.end(), rest.begin(), rest.end());
  const ExactBytes source(symbols);
  CodeLengths lengths{};
  std::vector<uint32_t> sizes;
  const std::vector<uint8_t> bytes = same_on(isa, [&] {
    const CodedSymbols coded =
        encode_huffman(source.elements.get(), source.size, segment_symbols, threads);
    lengths = coded.code_lengths;
    sizes = coded.segment_sizes;
    const uint8_t* const begin = coded.payload.elements.get();
    return std::vector<uint8_t>(begin, begin + coded.payload.size);
  });
  const ExactBytes payload(bytes);
  const CodedInput coded{payload.elements.get(), payload.size,   sizes,
                         segment_symbols,        symbols.size(), lengths};
  const Verdict good = same_on(isa, [&] { return decode(coded, threads); });
  require(good.first.empty() && good.second == symbols);
  if (payload.size == 0) return;
  for (const uint32_t position : positions) {
    const size_t bit = position % (8 * payload.size);
    payload.elements[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  same_on(isa, [&] { return decode(coded, threads); });
}

}  // namespace
}  // namespace entrofleet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace entrofleet::fuzz;
  FuzzInput input(data, size);
  const bool hostile = input.byte() % 2 == 0;
  const std::string isa = pick_isa(input);
  if (hostile) {
    decode_hostile(input, isa);
  } else {
    round_trip(input, isa);
  }
  return 0;
}
