// What holds for the segments of every layout. `Codec` has
//   using Input;                                   // a SegmentedPayload with a code
//   static void decode(const Input&, uint8_t* output, size_t threads);
//   static Input encode(const uint8_t* symbols, size_t count, size_t segment_symbols,
//                       size_t threads, std::vector<uint8_t>* payload);  // payload pointer unset
//   static Input hostile(FuzzInput&);              // just its code, any or a valid one
#pragma once

#include <utility>

#include "fuzz/fuzz_input.h"
#include "kernels/codec_sharing.h"

namespace entrofleet::fuzz {

constexpr size_t kMostFuzzedSymbols = 1 << 16;

using Verdict = std::pair<std::string, std::vector<uint8_t>>;

template <typename Codec>
Verdict decoded(const typename Codec::Input& input, size_t threads) {
  const std::unique_ptr<uint8_t[]> output(new uint8_t[input.symbol_count]());
  try {
    Codec::decode(input, output.get(), threads);
  } catch (const CodecFailure& failure) {
    return {verdict_of(failure), {}};
  }
  return {"", {output.get(), output.get() + input.symbol_count}};
}

// Any bytes as segments: every instruction set gives the same verdict and, where that is good, the
// same symbols.
template <typename Codec>
void decode_hostile(FuzzInput& input, const std::string& isa) {
  typename Codec::Input coded = Codec::hostile(input);
  coded.segment_symbols = 1 + input.number(2);
  coded.symbol_count = input.number(2) % kMostFuzzedSymbols;
  const size_t segments = SegmentCut{coded.symbol_count, coded.segment_symbols}.segments();
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
  same_on(isa, [&] { return decoded<Codec>(coded, 1); });
}

// Any symbols: every instruction set encodes them to the same bytes, which decode to themselves;
// with bits flipped, all agree on what they are.
template <typename Codec>
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
  typename Codec::Input coded{};
  const std::vector<uint8_t> bytes = same_on(isa, [&] {
    std::vector<uint8_t> payload;
    coded = Codec::encode(source.elements.get(), source.size, segment_symbols, threads, &payload);
    return payload;
  });
  const ExactBytes payload(bytes);
  coded.payload = payload.elements.get();
  coded.payload_bytes = payload.size;
  const Verdict good = same_on(isa, [&] { return decoded<Codec>(coded, threads); });
  require(good.first.empty() && good.second == symbols);
  if (payload.size == 0) return;
  for (const uint32_t position : positions) {
    const size_t bit = position % (8 * payload.size);
    payload.elements[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  same_on(isa, [&] { return decoded<Codec>(coded, threads); });
}

template <typename Coded>
SegmentedPayload segmented(const Coded& coded, size_t count, size_t segment_symbols,
                           std::vector<uint8_t>* payload) {
  const uint8_t* const begin = coded.payload.elements.get();
  payload->assign(begin, begin + coded.payload.size);
  return {nullptr, coded.payload.size, coded.segment_sizes, segment_symbols, count};
}

}  // namespace entrofleet::fuzz
