#include <algorithm>
#include <cstring>

#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

// A segment as libs/codec/SEGMENT.md has it, of symbols that all have a code.
std::vector<uint8_t> huffman_segment(const CodecKernels& kernels, const EncodeTable& table,
                                     const std::vector<uint8_t>& symbols) {
  std::vector<uint8_t> segment(kSegmentHeaderBytes);
  const size_t quarter = (symbols.size() + kSegmentStreams - 1) / kSegmentStreams;
  size_t first = 0;
  for (size_t stream = 0; stream < kSegmentStreams; ++stream) {
    const size_t count = std::min(quarter, symbols.size() - first);
    const uint64_t bits = kernels.coded_bits(table, symbols.data() + first, count);
    const uint32_t bytes = static_cast<uint32_t>((bits + 7) / 8);
    if (stream + 1 < kSegmentStreams) {
      std::memcpy(segment.data() + 4 * stream, &bytes, sizeof(bytes));
    }
    segment.resize(segment.size() + bytes);
    uint8_t* const end = segment.data() + segment.size();
    require_same(kernels.encode_stream(table, symbols.data() + first, count, end - bytes, end),
                 "verdict of encode_stream on symbols that fit");
    first += count;
  }
  return segment;
}

void compare_tight_stream(const CodecKernels& expected, const CodecKernels& actual,
                          const EncodeTable& table, const std::vector<uint8_t>& symbols,
                          Random& random) {
  const size_t room = random.below(symbols.size() + 1);
  const GuardedBytes outputs[2] = {{room, Guard::kAfter}, {room, Guard::kAfter}};
  const bool fits = expected.encode_stream(table, symbols.data(), symbols.size(),
                                           outputs[0].data(), outputs[0].end());
  require_same(actual.encode_stream(table, symbols.data(), symbols.size(), outputs[1].data(),
                                    outputs[1].end()) == fits,
               "verdict of encode_stream on any room");
  require_same(outputs[0] == outputs[1], "bytes of encode_stream");
}

}  // namespace

void compare_huffman(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  std::vector<uint8_t> symbols = random_symbols(random, 9000);
  symbols.push_back(static_cast<uint8_t>(random.next()));
  const CodeLengths lengths = optimal_code_lengths(histogram(symbols));
  const EncodeTable encode_table(lengths);
  const DecodeTable decode_table(lengths);
  compare_tight_stream(expected, actual, encode_table, symbols, random);
  std::vector<uint8_t> segment = huffman_segment(expected, encode_table, symbols);
  require_same(segment == huffman_segment(actual, encode_table, symbols), "Huffman segment");
  const size_t flips = random.below(3);
  for (size_t flip = 0; flip < flips; ++flip) {
    segment[random.below(segment.size())] ^= static_cast<uint8_t>(1 << random.below(8));
  }
  if (random.one_in(4)) segment.resize(random.below(segment.size()));

  const GuardedBytes payload(segment, Guard::kAfter);
  const CodedSegment coded = {payload.data(), payload.size(), 0, payload.size()};
  const GuardedBytes outputs[2] = {{symbols.size(), Guard::kAfter},
                                   {symbols.size(), Guard::kAfter}};
  const bool good =
      expected.decode_segment(decode_table, coded, outputs[0].data(), symbols.size());
  require_same(
      actual.decode_segment(decode_table, coded, outputs[1].data(), symbols.size()) == good,
      "verdict of decode_segment");
  require_same(!good || outputs[0] == outputs[1], "symbols of decode_segment");
}

}  // namespace entrofleet::test
