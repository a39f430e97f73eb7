// libFuzzer driver for the grouped prefix code in lanes: codes in byte form, hostile segments, and
// encoded ones with bits flipped.
#include "fuzz/segment_checks.h"
#include "kernels/codec_lanes.h"
#include "kernels/codec_segments.h"

namespace entrofleet::fuzz {
namespace {

Histogram read_counts(FuzzInput& input) {
  Histogram counts{};
  const size_t symbols = 1 + input.byte() % 128;
  for (size_t i = 0; i < symbols; ++i) {
    const uint8_t symbol = input.byte();
    counts[symbol] = uint64_t{1} << (input.byte() % 24);
  }
  return counts;
}

// Codes of different shapes: near the centre or all over, steep or flat. Made once each, since to
// find an optimal code takes longer than all the rest of an input.
const std::vector<uint8_t>& kept_code(size_t index) {
  constexpr size_t kCodes = 16;
  static std::array<std::vector<uint8_t>, kCodes> codes;
  std::vector<uint8_t>& code = codes[index % kCodes];
  if (!code.empty()) return code;
  Histogram counts{};
  const size_t symbols = size_t{1} << (index % 8 + 1);
  for (size_t i = 0; i < symbols; ++i) {
    // 167 is odd, so that multiples of it reach all symbols in a scattered order.
    const size_t symbol = index % kCodes < 8 ? 128 - symbols / 2 + i : 167 * i % 256;
    counts[symbol] = uint64_t{1} << (i * (index % 3) % 24);
  }
  return code = lane_code_bytes(optimal_lane_code(counts));
}

std::vector<uint8_t> read_code_bytes(FuzzInput& input) {
  const uint8_t choice = input.byte();
  if (choice % 8 != 0) return kept_code(choice >> 3);
  std::vector<uint8_t> bytes(1 + input.byte() % 136);
  for (uint8_t& byte : bytes) byte = input.byte();
  return bytes;
}

struct LaneSegments {
  using Input = LaneCodedInput;

  static void decode(const Input& input, uint8_t* output, size_t threads) {
    decode_lanes(input, output, threads, 1);
  }

  static Input encode(const uint8_t* symbols, size_t count, size_t segment_symbols,
                      size_t threads, std::vector<uint8_t>* payload) {
    const LaneCodedSymbols coded = encode_lanes(symbols, count, segment_symbols, threads);
    return {segmented(coded, count, segment_symbols, payload), coded.code};
  }

  static Input hostile(FuzzInput& input) { return {{}, read_code_bytes(input)}; }
};

// A code has one byte form: what is accepted is what would have been written.
void any_code(FuzzInput& input) {
  const ExactBytes bytes(input.rest());
  const std::span<const uint8_t> given{bytes.elements.get(), bytes.size};
  try {
    const LaneCode code = read_lane_code(given);
    require(std::ranges::equal(lane_code_bytes(code), given));
    const LaneDecodeTable decoder(code);
    for (const uint8_t length : decoder.length) require(length <= kMostLaneCodeBits);
    const LaneEncodeTable encoder(code);
    require(encoder.padding == code.symbols[0]);
  } catch (const CodecFailure& failure) {
    require(failure.code == "BadCodeTable");
  }
}

// A code made for counts is read again, and has a word for each symbol that occurs.
void any_counts(FuzzInput& input) {
  const Histogram counts = read_counts(input);
  const std::vector<uint8_t> bytes = lane_code_bytes(optimal_lane_code(counts));
  const LaneCode code = read_lane_code(bytes);
  require(lane_code_bytes(code) == bytes);
  const LaneEncodeTable encoder(code);
  for (size_t symbol = 0; symbol < counts.size(); ++symbol) {
    const bool lone = code.lengths.size() == 1 && code.lengths[0] == 0;
    const bool has_word = lone ? code.symbols[0] == symbol : encoder.length[symbol] != 0;
    require(counts[symbol] == 0 || has_word);
  }
}

}  // namespace
}  // namespace entrofleet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace entrofleet::fuzz;
  FuzzInput input(data, size);
  const int work = input.byte() % 8;
  if (work == 0) {
    any_code(input);
  } else if (work == 1) {
    any_counts(input);
  } else {
    const std::string isa = pick_isa(input);
    // A round trip looks for an optimal code, in the time of a hundred decoded inputs.
    if (work == 2) {
      round_trip<LaneSegments>(input, isa);
    } else {
      decode_hostile<LaneSegments>(input, isa);
    }
  }
  return 0;
}
