#include "kernels/codec_segments.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "kernels/codec_failure.h"
#include "kernels/codec_lane_segment.h"

namespace entrofleet {
namespace {

// Segments that a member encodes before all are copied to their places: few enough to be still in
// its cache then, and enough for the wait at the end of a round not to matter.
constexpr size_t kSegmentsPerRound = 2;

// An output of which the caches would keep no more than its end.
constexpr size_t kStreamedSymbols = size_t{16} << 20;

struct StreamSymbols {
  size_t first;
  size_t count;
};

// Streams take a quarter of the segment each, rounded up; the last ones what is left.
StreamSymbols stream_symbols(const SegmentCut& cut, size_t segment, size_t stream) {
  const size_t symbols = cut.symbols_of(segment);
  const size_t quarter = (symbols + kSegmentStreams - 1) / kSegmentStreams;
  const size_t first = std::min(stream * quarter, symbols);
  return {segment * cut.segment_symbols + first, std::min(quarter, symbols - first)};
}

struct StreamSizes {
  uint32_t bytes[kSegmentStreams];

  size_t total() const {
    size_t sum = kSegmentHeaderBytes;
    for (const uint32_t size : bytes) sum += size;
    return sum;
  }
};

[[noreturn]] void refuse_change() {
  throw CodecFailure{"BadArgument", "the symbols were changed while they were encoded",
                     std::nullopt};
}

bool encode_segment(const CodecKernels& kernels, const EncodeTable& table, const uint8_t* symbols,
                    const SegmentCut& cut, size_t segment, const StreamSizes& sizes,
                    uint8_t* output) {
  std::memcpy(output, sizes.bytes, kSegmentHeaderBytes);
  output += kSegmentHeaderBytes;
  for (size_t s = 0; s < kSegmentStreams; ++s) {
    const StreamSymbols stream = stream_symbols(cut, segment, s);
    uint8_t* const end = output + sizes.bytes[s];
    if (!kernels.encode_stream(table, symbols + stream.first, stream.count, output, end)) {
      return false;
    }
    output = end;
  }
  return true;
}

[[noreturn]] void refuse_symbol(size_t symbol) {
  throw CodecFailure{"BadCodeTable", "symbol " + std::to_string(symbol) + " occurs and has no code",
                     symbol};
}

void require_codes(const CodeLengths& lengths, const Histogram& counts) {
  require_prefix_code(lengths);
  for (size_t symbol = 0; symbol < counts.size(); ++symbol) {
    if (counts[symbol] > 0 && lengths[symbol] == 0) refuse_symbol(symbol);
  }
}

void require_words(const LaneCode& code, const Histogram& counts) {
  std::array<bool, 256> known{};
  for (const uint8_t symbol : code.symbols) known[symbol] = true;
  for (size_t symbol = 0; symbol < counts.size(); ++symbol) {
    if (counts[symbol] > 0 && !known[symbol]) refuse_symbol(symbol);
  }
}

int encoding_threads(size_t threads, const SegmentCut& cut) {
  return useful_threads(threads, std::max(cut.segments(), counting_pieces(cut.symbol_count)));
}

uint64_t coded_bits(const LaneEncodeTable& table, const Histogram& counts) {
  uint64_t bits = 0;
  for (size_t symbol = 0; symbol < counts.size(); ++symbol) {
    bits += counts[symbol] * table.length[symbol];
  }
  return bits;
}

}  // namespace

Histogram count_symbols(const uint8_t* symbols, size_t count, size_t threads) {
  ThreadTeam team(useful_threads(threads, counting_pieces(count)));
  return count_symbols(codec_kernels(active_isa()), team, symbols, count);
}

CodedSymbols encode_huffman(const uint8_t* symbols, size_t count, size_t segment_symbols,
                            size_t threads, const std::optional<CodeLengths>& given) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const SegmentCut cut{count, segment_symbols};
  const size_t segments = cut.segments();
  ThreadTeam team(encoding_threads(threads, cut));
  const Histogram counts = count_symbols(kernels, team, symbols, count);
  if (given.has_value()) require_codes(*given, counts);
  CodedSymbols result;
  result.code_lengths = given.has_value() ? *given : optimal_code_lengths(counts);
  const EncodeTable table(result.code_lengths);

  std::vector<StreamSizes> sizes(segments);
  team.share(segments, [&](size_t segment, int) {
    for (size_t s = 0; s < kSegmentStreams; ++s) {
      const StreamSymbols stream = stream_symbols(cut, segment, s);
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
  if (!unchanged.load()) refuse_change();
  return result;
}

void decode_huffman(const CodedInput& input, uint8_t* output, size_t threads, uint64_t seed,
                    const SegmentWatch& watch) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  segment_begins(input);
  if (input.symbol_count == 0) return;
  const DecodeTable table(input.code_lengths);
  decode_segments(input, output, threads, seed, watch,
                  [&](const CodedSegment& segment, uint8_t* symbols, size_t count) {
                    return kernels.decode_segment(table, segment, symbols, count);
                  });
}

LaneCodedSymbols encode_lanes(const uint8_t* symbols, size_t count, size_t segment_symbols,
                              size_t threads,
                              const std::optional<std::vector<uint8_t>>& given) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const SegmentCut cut{count, segment_symbols};
  const size_t segments = cut.segments();
  ThreadTeam team(encoding_threads(threads, cut));
  const Histogram counts = count_symbols(kernels, team, symbols, count);
  const LaneCode code = given.has_value() ? read_lane_code(*given) : optimal_lane_code(counts);
  if (given.has_value()) require_words(code, counts);
  const LaneEncodeTable table(code);
  LaneCodedSymbols result;
  result.code = lane_code_bytes(code);
  // Sizes are known only once a segment is encoded, so the payload has room for the most that these
  // counts can come to, and what is left of it is never touched.
  const size_t room = segments * lane_segment_bound(0) + coded_bits(table, counts) / 8 + 1;
  result.payload = OwnedArray<uint8_t>(segments == 0 ? 0 : room);
  uint8_t* const payload = result.payload.elements.get();

  const size_t per_round = std::min(segments, kSegmentsPerRound * static_cast<size_t>(team.size()));
  std::vector<LaneSegmentWriter> writers;
  for (size_t i = 0; i < per_round; ++i) writers.emplace_back(cut.symbols_of(0));
  size_t end = 0;
  for (size_t first = 0; first < segments; first += per_round) {
    const size_t in_round = std::min(per_round, segments - first);
    team.share(in_round, [&](size_t i, int) {
      const size_t segment = first + i;
      writers[i].encode(kernels, table, symbols + segment * segment_symbols,
                        cut.symbols_of(segment));
    });
    std::vector<size_t> begins;
    for (size_t i = 0; i < in_round; ++i) {
      begins.push_back(end);
      end += writers[i].bytes();
      result.segment_sizes.push_back(static_cast<uint32_t>(writers[i].bytes()));
    }
    if (end > room) refuse_change();
    team.share(in_round, [&](size_t i, int) { writers[i].copy_to(payload + begins[i]); });
  }
  result.payload.size = end;
  return result;
}

void decode_lanes(const LaneCodedInput& input, uint8_t* output, size_t threads, uint64_t seed,
                  const SegmentWatch& watch) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  segment_begins(input);
  const LaneDecodeTable table(read_lane_code(input.code));
  const bool streamed = input.symbol_count >= kStreamedSymbols;
  decode_segments(input, output, threads, seed, watch,
                  [&](const CodedSegment& segment, uint8_t* symbols, size_t count) {
                    return decode_lane_segment(kernels, table, segment.payload + segment.begin,
                                               segment.end - segment.begin,
                                               {symbols, count, streamed});
                  });
}

}  // namespace entrofleet
