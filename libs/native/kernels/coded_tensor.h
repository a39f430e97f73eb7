// A tensor of symbols that stays entropy coded: what its segments are, and where they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/codec_sharing.h"
#include "kernels/page_memory.h"
#include "kernels/segment_decoder.h"

namespace entrofleet {

// Where coded segments are read from, by any number of threads at once.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;

  // The bytes of a segment, which stay until it is released; the call may wait for them. Empty when
  // they cannot be had: then there is nothing to release. A thread holds one segment at a time.
  virtual std::span<const uint8_t> acquire(size_t segment) noexcept = 0;
  virtual void release(size_t segment) noexcept = 0;
  // Of main memory that is held for this tensor alone.
  virtual size_t resident_bytes() const = 0;
};

// Segments that lie one after the other in memory.
class MemorySegments final : public SegmentSource {
 public:
  // Segment i is memory[begins[i], begins[i + 1]).
  MemorySegments(PageMemory memory, std::vector<size_t> begins)
      : memory_(std::move(memory)), begins_(std::move(begins)) {}

  std::span<const uint8_t> acquire(size_t segment) noexcept override {
    return {memory_.data() + begins_[segment], begins_[segment + 1] - begins_[segment]};
  }
  void release(size_t) noexcept override {}
  size_t resident_bytes() const override { return memory_.size(); }

 private:
  PageMemory memory_;
  std::vector<size_t> begins_;
};

struct CodedTensor {
  SegmentCut cut;
  SegmentDecoder decoder;
  // For products, which ask for segments in ascending order, and for looking up rows.
  std::shared_ptr<SegmentSource> source;
  std::shared_ptr<SegmentSource> row_source;
  // Two weights a symbol, the first in the low nibble, over the whole tensor.
  bool nibble_pairs;
  size_t weights;

  size_t weights_per_symbol() const { return nibble_pairs ? 2 : 1; }
  size_t segment_weights() const { return cut.segment_symbols * weights_per_symbol(); }

  // False when the segment cannot be read or is corrupt. `symbols` has room for
  // cut.segment_symbols.
  bool decode(SegmentSource& from, size_t segment, uint8_t* symbols) const noexcept {
    const std::span<const uint8_t> bytes = from.acquire(segment);
    if (bytes.empty()) return false;
    const bool decoded = decoder.decode(bytes, {symbols, cut.symbols_of(segment)});
    from.release(segment);
    return decoded;
  }
};

}  // namespace entrofleet
