#include "kernels/codec_segments.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <string>

#include "kernels/codec_failure.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

// Waking another thread costs about as much as decoding one segment.
constexpr size_t kSegmentsPerThread = 2;
constexpr size_t kCountingSymbols = size_t{1} << 18;

struct StreamSymbols {
  size_t first;
  size_t count;
};

struct SegmentCut {
  size_t symbol_count;
  size_t segment_symbols;

  size_t segments() const {
    return symbol_count / segment_symbols + (symbol_count % segment_symbols != 0);
  }

  size_t symbols_of(size_t segment) const {
    return std::min(segment_symbols, symbol_count - segment * segment_symbols);
  }

  // Streams take a quarter of the segment each, rounded up; the last ones what is left.
  StreamSymbols stream(size_t segment, size_t stream) const {
    const size_t symbols = symbols_of(segment);
    const size_t quarter = (symbols + kSegmentStreams - 1) / kSegmentStreams;
    const size_t first = std::min(stream * quarter, symbols);
    return {segment * segment_symbols + first, std::min(quarter, symbols - first)};
  }
};

struct StreamSizes {
  uint32_t bytes[kSegmentStreams];

  size_t total() const {
    size_t sum = kSegmentHeaderBytes;
    for (const uint32_t size : bytes) sum += size;
    return sum;
  }
};

Histogram count_symbols(const CodecKernels& kernels, ThreadTeam& team, const uint8_t* symbols,
                        size_t count) {
  std::vector<Histogram> parts(static_cast<size_t>(team.size()));
  const size_t chunks = count / kCountingSymbols + (count % kCountingSymbols != 0);
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t first = chunk * kCountingSymbols;
    kernels.count_bytes(symbols + first, std::min(kCountingSymbols, count - first),
                        parts[static_cast<size_t>(member)].data());
  });
  Histogram sum{};
  for (const Histogram& part : parts) {
    for (size_t value = 0; value < part.size(); ++value) sum[value] += part[value];
  }
  return sum;
}

bool encode_segment(const CodecKernels& kernels, const EncodeTable& table, const uint8_t* symbols,
                    const SegmentCut& cut, size_t segment, const StreamSizes& sizes,
                    uint8_t* output) {
  std::memcpy(output, sizes.bytes, kSegmentHeaderBytes);
  output += kSegmentHeaderBytes;
  for (size_t s = 0; s < kSegmentStreams; ++s) {
    const StreamSymbols stream = cut.stream(segment, s);
    uint8_t* const end = output + sizes.bytes[s];
    if (!kernels.encode_stream(table, symbols + stream.first, stream.count, output, end)) {
      return false;
    }
    output = end;
  }
  return true;
}

// SplitMix64 (Steele, Lea and Flood 2014).
struct Shuffler {
  uint64_t state;

  uint64_t next() {
    state += 0x9e3779b97f4a7c15;
    uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  // Fisher and Yates. The bias of the remainder does not matter for balance.
  std::vector<size_t> shuffled(size_t count) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t left = count; left > 1; --left) std::swap(order[left - 1], order[next() % left]);
    return order;
  }
};

std::vector<size_t> segment_begins(const CodedInput& input, size_t segments) {
  const size_t stated = input.segment_sizes.size();
  if (stated != segments) {
    throw CodecFailure{"BadArgument",
                       std::to_string(stated) + " segments where " +
                           std::to_string(input.symbol_count) + " symbols make " +
                           std::to_string(segments),
                       std::nullopt};
  }
  std::vector<size_t> begins(segments + 1);
  for (size_t segment = 0; segment < segments; ++segment) {
    begins[segment + 1] = begins[segment] + input.segment_sizes[segment];
  }
  if (begins.back() != input.payload_bytes) {
    throw CodecFailure{"BadArgument",
                       "the segments have " + std::to_string(begins.back()) +
                           " bytes and the payload " + std::to_string(input.payload_bytes),
                       std::nullopt};
  }
  return begins;
}

}  // namespace

CodedSymbols encode_huffman(const uint8_t* symbols, size_t count, size_t segment_symbols,
                            size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const SegmentCut cut{count, segment_symbols};
  const size_t segments = cut.segments();
  ThreadTeam team(useful_threads(threads, std::max(segments, count / kCountingSymbols)));
  CodedSymbols result;
  result.code_lengths = optimal_code_lengths(count_symbols(kernels, team, symbols, count));
  const EncodeTable table(result.code_lengths);

  std::vector<StreamSizes> sizes(segments);
  team.share(segments, [&](size_t segment, int) {
    for (size_t s = 0; s < kSegmentStreams; ++s) {
      const StreamSymbols stream = cut.stream(segment, s);
      const uint64_t bits = kernels.coded_bits(table, symbols + stream.first, stream.count);
      sizes[segment].bytes[s] = static_cast<uint32_t>((bits + 7) / 8);
    }
  });
  std::vector<size_t> begins(segments + 1);
  for (size_t segment = 0; segment < segments; ++segment) {
    const size_t bytes = sizes[segment].total();
    result.segment_sizes.push_back(static_cast<uint32_t>(bytes));
    begins[segment + 1] = begins[segment] + bytes;
  }

  result.payload = OwnedArray<uint8_t>(begins.back());
  std::atomic<bool> unchanged{true};
  team.share(segments, [&](size_t segment, int) {
    uint8_t* output = result.payload.elements.get() + begins[segment];
    if (!encode_segment(kernels, table, symbols, cut, segment, sizes[segment], output)) {
      unchanged.store(false, std::memory_order_relaxed);
    }
  });
  if (!unchanged.load()) {
    throw CodecFailure{"BadArgument", "the symbols were changed while they were encoded",
                       std::nullopt};
  }
  return result;
}

void decode_huffman(const CodedInput& input, uint8_t* output, size_t threads, uint64_t seed) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const SegmentCut cut{input.symbol_count, input.segment_symbols};
  const size_t segments = cut.segments();
  const std::vector<size_t> begins = segment_begins(input, segments);
  if (segments == 0) return;
  const DecodeTable table(input.code_lengths);
  const std::vector<size_t> order = Shuffler{seed}.shuffled(segments);
  ThreadTeam& team = kept_team(useful_threads(threads, segments / kSegmentsPerThread));
  std::vector<size_t> first_corrupt(static_cast<size_t>(team.size()), segments);
  team.share(segments, [&](size_t i, int member) {
    const size_t segment = order[i];
    const CodedSegment coded = {input.payload, input.payload_bytes, begins[segment],
                                begins[segment + 1]};
    if (!kernels.decode_segment(table, coded, output + segment * input.segment_symbols,
                                cut.symbols_of(segment))) {
      size_t& corrupt = first_corrupt[static_cast<size_t>(member)];
      corrupt = std::min(corrupt, segment);
    }
  });
  const size_t corrupt = *std::min_element(first_corrupt.begin(), first_corrupt.end());
  if (corrupt == segments) return;
  throw CodecFailure{"CorruptSegment",
                     "segment " + std::to_string(corrupt) + " of " + std::to_string(segments) +
                         " is corrupt",
                     corrupt};
}

}  // namespace entrofleet
