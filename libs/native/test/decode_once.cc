// Decodes one segment of bell-shaped symbols, so that `make bench-neon` can count instructions:
// `decode_once lanes|huffman` prints the number of symbols.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/codec_lane_segment.h"
#include "kernels/codec_segments.h"
#include "test/differential.h"

namespace {

constexpr size_t kSymbols = 1 << 15;

// Sums of random bytes, scaled to an entropy of about 5.6 bits.
std::vector<uint8_t> bell_symbols() {
  entrofleet::test::Random random(1);
  std::vector<uint8_t> symbols(kSymbols);
  for (uint8_t& symbol : symbols) {
    int sum = 0;
    for (const uint8_t byte : random.bytes(8)) sum += byte;
    symbol = static_cast<uint8_t>(128 + (sum - 8 * 255 / 2) * 2 / 35);
  }
  return symbols;
}

bool decode_lanes(const std::vector<uint8_t>& symbols) {
  const entrofleet::CodecKernels& kernels = entrofleet::codec_kernels(entrofleet::active_isa());
  const entrofleet::LaneCode code =
      entrofleet::optimal_lane_code(entrofleet::test::histogram(symbols));
  const entrofleet::LaneDecodeTable table(code);
  entrofleet::LaneSegmentWriter writer(symbols.size());
  writer.encode(kernels, entrofleet::LaneEncodeTable(code), symbols.data(), symbols.size());
  std::vector<uint8_t> segment(writer.bytes());
  writer.copy_to(segment.data());
  std::vector<uint8_t> decoded(symbols.size());
  entrofleet::decode_lane_segment(kernels, table, segment.data(), segment.size(),
                                  {decoded.data(), decoded.size(), false});
  return decoded == symbols;
}

bool decode_huffman(const std::vector<uint8_t>& symbols) {
  const entrofleet::CodecKernels& kernels = entrofleet::codec_kernels(entrofleet::active_isa());
  const entrofleet::CodedSymbols coded =
      entrofleet::encode_huffman(symbols.data(), symbols.size(), symbols.size(), 1);
  const entrofleet::DecodeTable table(coded.code_lengths);
  const entrofleet::CodedSegment segment = {coded.payload.elements.get(), coded.payload.size, 0,
                                            coded.payload.size};
  std::vector<uint8_t> decoded(symbols.size());
  kernels.decode_segment(table, segment, decoded.data(), decoded.size());
  return decoded == symbols;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return EXIT_FAILURE;
  const std::string codec = arguments[1];
  const std::vector<uint8_t> symbols = bell_symbols();
  const bool same = codec == "lanes" ? decode_lanes(symbols) : decode_huffman(symbols);
  std::printf("%zu\n", symbols.size());
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
