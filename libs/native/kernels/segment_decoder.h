// Decodes single segments of a tensor, in either layout, with tables that are made once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/codec_kernels.h"

namespace entrofleet {

class SegmentDecoder {
 public:
  // Throw CodecFailure BadCodeTable.
  static SegmentDecoder huffman(const CodeLengths& lengths);
  static SegmentDecoder lanes(std::span<const uint8_t> code);

  // False when the segment is corrupt; what the output then holds is not defined. Reads nothing
  // outside the segment and writes nothing outside the output. Any number of threads at once.
  bool decode(std::span<const uint8_t> segment, std::span<uint8_t> symbols) const;

 private:
  std::shared_ptr<const DecodeTable> streams_;
  std::shared_ptr<const LaneDecodeTable> lanes_;
};

}  // namespace entrofleet
