// One segment of lanes: its header, its two streams and what makes it corrupt, around the kernels.
// libs/codec/LANES.md has the layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/codec_kernels.h"

namespace entrofleet {

// No segment whose symbols' code words have `bits` bits takes more bytes.
size_t lane_segment_bound(uint64_t bits);

// Encodes segments of up to a number of symbols, one after the other, in its own memory.
class LaneSegmentWriter {
 public:
  explicit LaneSegmentWriter(size_t most_symbols);

  // The segment is kept until the next one. A symbol without a code word takes no bits, and decodes
  // to something else.
  void encode(const CodecKernels& kernels, const LaneEncodeTable& table, const uint8_t* symbols,
              size_t count);
  // Of the segment.
  size_t bytes() const;
  void copy_to(uint8_t* output) const;

 private:
  void finish_stream(size_t group);

  size_t stream_capacity_;
  std::unique_ptr<uint8_t[]> memory_;
  uint8_t positions_[kLaneBlock / 2];
  // Where each group's stored words begin and end.
  const uint8_t* begins_[kLaneGroups];
  const uint8_t* ends_[kLaneGroups];
  LaneWriter writers_[kLaneGroups];
};

struct LaneOutput {
  uint8_t* symbols;
  size_t count;
  // Whether the symbols are part of more than the caches hold.
  bool streamed;
};

// Writes the symbols. False when the segment is not what an encoder would have written; what
// the output then holds is not defined. Reads nothing outside the segment.
bool decode_lane_segment(const CodecKernels& kernels, const LaneDecodeTable& table,
                         const uint8_t* segment, size_t bytes, const LaneOutput& output);

}  // namespace entrofleet
