#include "kernels/codec_lane_segment.h"

#include <algorithm>
#include <cstring>

namespace entrofleet {
namespace {

constexpr size_t kWordBytes = sizeof(uint16_t);
constexpr size_t kFirstBytes = kLaneWords * kGroupLanes * kWordBytes;
constexpr size_t kHalfLanes = kGroupLanes / 2;
constexpr size_t kPackedBytes = kLaneBlock / 2;
// The most a group reads or writes in a block.
constexpr size_t kMostBlockBytes = kGroupLanes * kWordBytes;
// How many blocks at least the copy of a stream's end is good for before it is topped up again.
constexpr size_t kTailBytes = 16 * kMostBlockBytes;

size_t blocks_of(size_t symbols) { return (symbols + kLaneBlock - 1) / kLaneBlock; }

// Byte i of a group's positions holds lane 2i's in the low nibble and lane 2i + 1's in the high
// one, and so those of element i of either half of the state.
void pack_positions(const LaneState& state, uint8_t* packed) {
  for (size_t i = 0; i < kHalfLanes; ++i) {
    packed[i] = static_cast<uint8_t>(state.positions[i] | state.positions[kHalfLanes + i] << 4);
  }
}

void unpack_positions(const uint8_t* packed, LaneState* state) {
  for (size_t i = 0; i < kHalfLanes; ++i) {
    state->positions[i] = packed[i] & 15;
    state->positions[kHalfLanes + i] = packed[i] >> 4;
  }
}

// Without an early exit, which would keep the compiler from taking many elements at once.
template <typename Element>
bool all_zero(const Element* elements, size_t count) {
  Element bits = 0;
  for (size_t i = 0; i < count; ++i) bits |= elements[i];
  return bits == 0;
}

// Fetches what a kernel reads of a stream before its own prefetching is ahead.
void prefetch(const uint8_t* stream) {
  constexpr size_t kBytes = 1536;
  constexpr size_t kLineBytes = 64;
  for (size_t byte = 0; byte < kBytes; byte += kLineBytes) __builtin_prefetch(stream + byte);
}

// The streams of one segment. Words after the stored ones are zero: a stream's end is decoded from
// a copy that zeros follow.
class SegmentStreams {
 public:
  // False when the streams do not fit the segment, or one ends in a zero, which is never stored.
  bool open(const uint8_t* segment, size_t bytes) {
    if (bytes < kLaneHeaderBytes) return false;
    uint32_t first_words;
    std::memcpy(&first_words, segment + kPackedBytes, sizeof(first_words));
    const size_t stream_bytes = bytes - kLaneHeaderBytes;
    if (stream_bytes % kWordBytes != 0 || first_words > stream_bytes / kWordBytes) return false;
    const uint8_t* const begin = segment + kLaneHeaderBytes;
    const uint8_t* const middle = begin + first_words * kWordBytes;
    const uint8_t* const begins[kLaneGroups] = {begin, middle};
    prefetch(begin);
    prefetch(middle);
    const uint8_t* const ends[kLaneGroups] = {middle, segment + bytes};
    for (size_t group = 0; group < kLaneGroups; ++group) {
      LaneReader& reader = readers_[group];
      const size_t stored = static_cast<size_t>(ends[group] - begins[group]);
      if (stored > 0 && all_zero(ends[group] - kWordBytes, kWordBytes)) return false;
      unpack_positions(segment + group * kPackedBytes / kLaneGroups, &reader.state);
      const size_t first = std::min(stored, kFirstBytes);
      std::memset(reader.state.words, 0, kFirstBytes);
      std::memcpy(reader.state.words, begins[group], first);
      reader.next = begins[group] + first;
      reader.end = ends[group];
    }
    return true;
  }

  void decode(DecodeLanes decode_lanes, const LaneDecodeTable& table, size_t blocks,
              uint8_t* output) {
    // Once both readers have a block's worth the kernel decodes at least that one.
    while (blocks > 0) {
      for (size_t group = 0; group < kLaneGroups; ++group) top_up(group);
      const size_t decoded = decode_lanes(table, readers_, blocks, output);
      blocks -= decoded;
      output += decoded * kLaneBlock;
    }
  }

  // Whether every lane is back at the encoder's first state and every stored word was read: the
  // last one stored is not zero.
  bool ended_well() const {
    return std::all_of(readers_, readers_ + kLaneGroups, [](const LaneReader& reader) {
      return all_zero(reader.state.positions, kGroupLanes) &&
             all_zero(reader.state.words[0], kLaneWords * kGroupLanes) &&
             all_zero(reader.next, static_cast<size_t>(reader.end - reader.next));
    });
  }

 private:
  void top_up(size_t group) {
    LaneReader& reader = readers_[group];
    const size_t left = static_cast<size_t>(reader.end - reader.next);
    if (left >= kMostBlockBytes) return;
    uint8_t* const tail = tails_[group];
    std::memmove(tail, reader.next, left);
    std::memset(tail + left, 0, kTailBytes - left);
    reader.next = tail;
    reader.end = tail + kTailBytes;
  }

  LaneReader readers_[kLaneGroups];
  uint8_t tails_[kLaneGroups][kTailBytes];
};

}  // namespace

size_t lane_segment_bound(uint64_t bits) {
  // The first and last word of each lane may be used in part, and kLaneWords follow the last.
  constexpr size_t kLaneBytes = (kLaneWords + 2) * kWordBytes;
  constexpr size_t kPaddingBits = kLaneBlock * kMostLaneCodeBits;
  return kLaneHeaderBytes + kLaneBlock * kLaneBytes +
         static_cast<size_t>((bits + kPaddingBits) / 8 + 1);
}

LaneSegmentWriter::LaneSegmentWriter(size_t most_symbols)
    : stream_capacity_(blocks_of(most_symbols) * kMostBlockBytes + kFirstBytes),
      memory_(new uint8_t[kLaneGroups * stream_capacity_]) {}

void LaneSegmentWriter::encode(const CodecKernels& kernels, const LaneEncodeTable& table,
                               const uint8_t* symbols, size_t count) {
  for (size_t group = 0; group < kLaneGroups; ++group) {
    LaneWriter& writer = writers_[group];
    std::memset(&writer.state, 0, sizeof(writer.state));
    writer.begin = memory_.get() + (group + 1) * stream_capacity_;
    ends_[group] = writer.begin;
  }
  const size_t whole_blocks = count / kLaneBlock;
  const size_t rest = count % kLaneBlock;
  if (rest > 0) {
    uint8_t block[kLaneBlock];
    std::memset(block, table.padding, kLaneBlock);
    std::memcpy(block, symbols + whole_blocks * kLaneBlock, rest);
    kernels.encode_lanes(table, block, 1, writers_);
  }
  kernels.encode_lanes(table, symbols, whole_blocks, writers_);
  for (size_t group = 0; group < kLaneGroups; ++group) finish_stream(group);
}

void LaneSegmentWriter::finish_stream(size_t group) {
  LaneWriter& writer = writers_[group];
  pack_positions(writer.state, positions_ + group * kPackedBytes / kLaneGroups);
  writer.begin -= kFirstBytes;
  std::memcpy(writer.begin, writer.state.words, kFirstBytes);
  begins_[group] = writer.begin;
  const uint8_t*& end = ends_[group];
  while (end != writer.begin && end[-1] == 0 && end[-2] == 0) end -= kWordBytes;
}

size_t LaneSegmentWriter::bytes() const {
  size_t sum = kLaneHeaderBytes;
  for (size_t group = 0; group < kLaneGroups; ++group) {
    sum += static_cast<size_t>(ends_[group] - begins_[group]);
  }
  return sum;
}

void LaneSegmentWriter::copy_to(uint8_t* output) const {
  std::memcpy(output, positions_, kPackedBytes);
  const uint32_t first_words = static_cast<uint32_t>((ends_[0] - begins_[0]) / kWordBytes);
  std::memcpy(output + kPackedBytes, &first_words, sizeof(first_words));
  output += kLaneHeaderBytes;
  for (size_t group = 0; group < kLaneGroups; ++group) {
    const size_t stored = static_cast<size_t>(ends_[group] - begins_[group]);
    std::memcpy(output, begins_[group], stored);
    output += stored;
  }
}

bool decode_lane_segment(const CodecKernels& kernels, const LaneDecodeTable& table,
                         const uint8_t* segment, size_t bytes, const LaneOutput& output) {
  const size_t count = output.count;
  SegmentStreams streams;
  if (!streams.open(segment, bytes)) return false;
  const size_t whole_blocks = count / kLaneBlock;
  const size_t rest = count % kLaneBlock;
  const bool aligned = reinterpret_cast<uintptr_t>(output.symbols) % kStreamedAlignment == 0;
  const DecodeLanes whole =
      output.streamed && aligned ? kernels.stream_lanes : kernels.decode_lanes;
  streams.decode(whole, table, whole_blocks, output.symbols);
  if (rest > 0) {
    uint8_t block[kLaneBlock];
    streams.decode(kernels.decode_lanes, table, 1, block);
    std::memcpy(output.symbols + whole_blocks * kLaneBlock, block, rest);
    const uint8_t padding = table.symbols[0];
    if (!std::all_of(block + rest, block + kLaneBlock, [=](uint8_t s) { return s == padding; })) {
      return false;
    }
  }
  return streams.ended_well();
}

}  // namespace entrofleet
