// libFuzzer driver for the Huffman codec: `make -C libs/native fuzz` (needs clang++).
//
// Buffers have their exact sizes on the heap, so that AddressSanitizer sees any access outside them.
// Besides not crashing, every instruction set must give the same verdict and the same symbols, and
// what was encoded must decode to itself.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/codec_failure.h"
#include "kernels/codec_segments.h"

namespace {

using entrofleet::CodedInput;
using entrofleet::CodedSymbols;
using entrofleet::CodeLengths;

constexpr const char* kIsas[] = {"portable", "avx2", "avx512", "neon"};
constexpr size_t kMostSymbols = 1 << 16;

void require(bool condition) {
  if (!condition) std::abort();
}

// Takes what is left of the input apart; zeros after its end.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  uint32_t number(size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= uint32_t{byte()} << (8 * i);
    return value;
  }

  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  std::vector<uint8_t> rest() const { return {data_, data_ + left_}; }
  size_t left() const { return left_; }

 private:
  const uint8_t* data_;
  size_t left_;
};

// Either any lengths at all, or (for few inputs would pass by chance) those of an optimal code.
CodeLengths read_lengths(FuzzInput& input) {
  CodeLengths lengths{};
  const bool valid = input.byte() % 8 != 0;
  const size_t symbols = 1 + input.byte() % 64;
  entrofleet::Histogram counts{};
  for (size_t i = 0; i < symbols; ++i) {
    const uint8_t symbol = input.byte();
    const uint8_t value = input.byte();
    lengths[symbol] = value;
    counts[symbol] = uint64_t{1} << (value % 24);
  }
  return valid ? entrofleet::optimal_code_lengths(counts) : lengths;
}

struct Verdict {
  std::string code;
  std::vector<uint8_t> symbols;
};

Verdict decode(const CodedInput& input, size_t threads) {
  // Not a vector: its capacity could hide a write past the end.
  const std::unique_ptr<uint8_t[]> output(new uint8_t[input.symbol_count]());
  try {
    entrofleet::decode_huffman(input, output.get(), threads, 1);
  } catch (const entrofleet::CodecFailure& failure) {
    return {failure.code + std::to_string(failure.index.value_or(0)), {}};
  }
  return {"", {output.get(), output.get() + input.symbol_count}};
}

Verdict decode_everywhere(const CodedInput& input) {
  require(entrofleet::force_isa("portable"));
  const Verdict expected = decode(input, 1);
  for (const char* isa : kIsas) {
    if (!entrofleet::force_isa(isa)) continue;
    const Verdict verdict = decode(input, 1);
    require(verdict.code == expected.code && verdict.symbols == expected.symbols);
  }
  return expected;
}

void decode_hostile(FuzzInput& input) {
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
  const std::vector<uint8_t> rest = input.rest();
  size_t used = 0;
  for (uint32_t& size : sizes) {
    size = std::min<uint32_t>(size, static_cast<uint32_t>(rest.size() - used));
    used += size;
  }
  if (stated > 0) sizes.push_back(static_cast<uint32_t>(rest.size() - used));
  const std::unique_ptr<uint8_t[]> payload(new uint8_t[rest.size()]);
  std::copy(rest.begin(), rest.end(), payload.get());
  coded.payload = payload.get();
  coded.payload_bytes = rest.size();
  coded.segment_sizes = sizes;
  decode_everywhere(coded);
}

void round_trip(FuzzInput& input) {
  const size_t segment_symbols = 1 + input.number(2) % 5000;
  const uint32_t flips = input.byte() % 4;
  std::vector<uint32_t> positions;
  for (uint32_t i = 0; i < flips; ++i) positions.push_back(input.number(3));
  std::vector<uint8_t> symbols;
  // Repeats stretch a small input over several rounds of the unchecked loop.
  const size_t repeats = 1 + input.byte() % 16;
  for (size_t i = 0; i < repeats; ++i) {
    const std::vector<uint8_t> rest = input.rest();
    symbols.insert(symbols.end(), rest.begin(), rest.end());
  }
  const CodedSymbols encoded =
      entrofleet::encode_huffman(symbols.data(), symbols.size(), segment_symbols, 1);
  CodedInput coded{encoded.payload.elements.get(), encoded.payload.size, encoded.segment_sizes,
                   segment_symbols, symbols.size(), encoded.code_lengths};
  const Verdict good = decode_everywhere(coded);
  require(good.code.empty() && good.symbols == symbols);
  if (encoded.payload.size == 0) return;
  for (const uint32_t position : positions) {
    const size_t bit = position % (8 * encoded.payload.size);
    encoded.payload.elements[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  decode_everywhere(coded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  if (input.byte() % 2 == 0) {
    decode_hostile(input);
  } else {
    round_trip(input);
  }
  return 0;
}
