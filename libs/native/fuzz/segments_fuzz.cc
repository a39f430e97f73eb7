// libFuzzer driver for Huffman segments: hostile ones, and encoded ones with bits flipped.
#include "fuzz/segment_checks.h"
#include "kernels/codec_segments.h"

namespace entrofleet::fuzz {
namespace {

struct HuffmanSegments {
  using Input = CodedInput;

  static void decode(const Input& input, uint8_t* output, size_t threads) {
    decode_huffman(input, output, threads, 1);
  }

  static Input encode(const uint8_t* symbols, size_t count, size_t segment_symbols,
                      size_t threads, std::vector<uint8_t>* payload) {
    const CodedSymbols coded = encode_huffman(symbols, count, segment_symbols, threads);
    return {segmented(coded, count, segment_symbols, payload), coded.code_lengths};
  }

  // Either any lengths at all, or (for few inputs would pass by chance) those of an optimal code.
  static Input hostile(FuzzInput& input) {
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
    return {{}, valid ? optimal_code_lengths(counts) : lengths};
  }
};

}  // namespace
}  // namespace entrofleet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace entrofleet::fuzz;
  FuzzInput input(data, size);
  const bool hostile = input.byte() % 2 == 0;
  const std::string isa = pick_isa(input);
  if (hostile) {
    decode_hostile<HuffmanSegments>(input, isa);
  } else {
    round_trip<HuffmanSegments>(input, isa);
  }
  return 0;
}
