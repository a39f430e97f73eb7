#include <algorithm>
#include <cstring>

#include "kernels/codec_lane_segment.h"
#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

constexpr size_t kMostBlocks = 40;
constexpr size_t kMostBlockBytes = kGroupLanes * sizeof(uint16_t);

LaneCode random_code(Random& random) {
  Histogram counts = histogram(random_symbols(random, 4000));
  if (random.one_in(3)) {
    // Counts that have nothing to do with their neighbours' make a listed order pay.
    for (uint64_t& count : counts) count = random.next() >> (16 + random.below(44));
  }
  return optimal_lane_code(counts);
}

LaneState random_state(Random& random) {
  LaneState state;
  for (size_t lane = 0; lane < kGroupLanes; ++lane) {
    for (auto& words : state.words) words[lane] = static_cast<uint16_t>(random.next());
    state.positions[lane] = static_cast<uint16_t>(random.below(16));
  }
  return state;
}

bool same_state(const LaneState& a, const LaneState& b) {
  return std::memcmp(a.words, b.words, sizeof(a.words)) == 0 &&
         std::memcmp(a.positions, b.positions, sizeof(a.positions)) == 0;
}

// Any bits decode, so the words need not come from an encoder.
void compare_decode(DecodeLanes expected, DecodeLanes actual, Random& random) {
  const LaneDecodeTable table(random_code(random));
  const size_t blocks = random.below(kMostBlocks);
  LaneReader readers[2][kLaneGroups];
  const GuardedBytes first(random.bytes(random.below(blocks * kMostBlockBytes + 2)), Guard::kAfter);
  const GuardedBytes second(random.bytes(random.below(blocks * kMostBlockBytes + 2)),
                            Guard::kAfter);
  const GuardedBytes* const stream[kLaneGroups] = {&first, &second};
  for (size_t group = 0; group < kLaneGroups; ++group) {
    const LaneState state = random_state(random);
    for (auto& of_side : readers) {
      of_side[group] = {state, stream[group]->data(), stream[group]->end()};
    }
  }
  // Its end is aligned, and so its begin, as kStreamedAlignment asks.
  static_assert(kLaneBlock % kStreamedAlignment == 0);
  const GuardedBytes outputs[2] = {{blocks * kLaneBlock, Guard::kAfter},
                                   {blocks * kLaneBlock, Guard::kAfter}};
  const size_t decoded = expected(table, readers[0], blocks, outputs[0].data());
  require_same(actual(table, readers[1], blocks, outputs[1].data()) == decoded,
               "number of blocks of decode_lanes");
  require_same(std::memcmp(outputs[0].data(), outputs[1].data(), decoded * kLaneBlock) == 0,
               "symbols of decode_lanes");
  for (size_t group = 0; group < kLaneGroups; ++group) {
    require_same(readers[0][group].next == readers[1][group].next, "words read by decode_lanes");
    require_same(same_state(readers[0][group].state, readers[1][group].state),
                 "state after decode_lanes");
  }
}

void compare_encode(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  const LaneEncodeTable table(random_code(random));
  std::vector<uint8_t> symbols = random_symbols(random, kMostBlocks * kLaneBlock);
  const size_t blocks = symbols.size() / kLaneBlock;
  symbols.resize(blocks * kLaneBlock);
  const GuardedBytes input(symbols, Guard::kAfter);
  const size_t room = blocks * kMostBlockBytes;
  const GuardedBytes outputs[2][kLaneGroups] = {{{room, Guard::kBefore}, {room, Guard::kBefore}},
                                                {{room, Guard::kBefore}, {room, Guard::kBefore}}};
  LaneWriter writers[2][kLaneGroups];
  for (size_t group = 0; group < kLaneGroups; ++group) {
    const LaneState state = random_state(random);
    for (size_t side = 0; side < 2; ++side) {
      writers[side][group] = {state, outputs[side][group].end()};
    }
  }
  expected.encode_lanes(table, input.data(), blocks, writers[0]);
  actual.encode_lanes(table, input.data(), blocks, writers[1]);
  for (size_t group = 0; group < kLaneGroups; ++group) {
    const auto written = outputs[0][group].end() - writers[0][group].begin;
    require_same(outputs[1][group].end() - writers[1][group].begin == written &&
                     std::memcmp(writers[0][group].begin, writers[1][group].begin,
                                 static_cast<size_t>(written)) == 0,
                 "words of encode_lanes");
    require_same(same_state(writers[0][group].state, writers[1][group].state),
                 "state after encode_lanes");
  }
}

void mutate(Random& random, std::vector<uint8_t>* segment) {
  const size_t kind = random.below(4);
  if (kind == 0 || segment->empty()) return;
  if (kind == 1) {
    (*segment)[random.below(segment->size())] ^= static_cast<uint8_t>(1 << random.below(8));
  } else if (kind == 2) {
    segment->resize(random.below(segment->size()));
  } else {
    const std::vector<uint8_t> rest = random.bytes(1 + random.below(300));
    segment->insert(segment->end(), rest.begin(), rest.end());
  }
}

}  // namespace

void compare_lanes(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  compare_decode(expected.decode_lanes, actual.decode_lanes, random);
  compare_decode(expected.decode_lanes, actual.stream_lanes, random);
  compare_encode(expected, actual, random);
}

void compare_lane_segments(const CodecKernels& expected, const CodecKernels& actual,
                           Random& random) {
  const std::vector<uint8_t> symbols = random_symbols(random, 20000);
  const LaneCode code = optimal_lane_code(histogram(symbols));
  const LaneEncodeTable encode_table(code);
  const LaneDecodeTable decode_table(code);
  std::vector<uint8_t> segments[2];
  const CodecKernels* const kernels[2] = {&expected, &actual};
  for (size_t side = 0; side < 2; ++side) {
    LaneSegmentWriter writer(symbols.size());
    writer.encode(*kernels[side], encode_table, symbols.data(), symbols.size());
    segments[side].resize(writer.bytes());
    writer.copy_to(segments[side].data());
  }
  require_same(segments[0] == segments[1], "segment of lanes");
  mutate(random, &segments[0]);
  const GuardedBytes segment(segments[0], Guard::kAfter);
  const GuardedBytes outputs[2] = {{symbols.size(), Guard::kAfter},
                                   {symbols.size(), Guard::kAfter}};
  const bool streamed = random.one_in(2);
  bool verdicts[2];
  for (size_t side = 0; side < 2; ++side) {
    verdicts[side] =
        decode_lane_segment(*kernels[side], decode_table, segment.data(), segment.size(),
                            {outputs[side].data(), symbols.size(), streamed});
  }
  require_same(verdicts[0] == verdicts[1], "verdict on a segment of lanes");
  require_same(!verdicts[0] || outputs[0] == outputs[1], "symbols of a segment of lanes");
  const bool intact = segments[0] == segments[1];
  require_same(!intact || verdicts[1], "verdict on an intact segment of lanes");
  require_same(!intact || std::equal(symbols.begin(), symbols.end(), outputs[1].data()),
               "what an intact segment of lanes decodes to");
}

}  // namespace entrofleet::test
