#include "kernels/segment_decoder.h"

#include "kernels/codec_lane_segment.h"

namespace entrofleet {

SegmentDecoder SegmentDecoder::huffman(const CodeLengths& lengths) {
  SegmentDecoder decoder;
  decoder.streams_ = std::make_shared<const DecodeTable>(lengths);
  return decoder;
}

SegmentDecoder SegmentDecoder::lanes(std::span<const uint8_t> code) {
  SegmentDecoder decoder;
  decoder.lanes_ = std::make_shared<const LaneDecodeTable>(read_lane_code(code));
  return decoder;
}

bool SegmentDecoder::decode(std::span<const uint8_t> segment, std::span<uint8_t> symbols) const {
  const CodecKernels& kernels = codec_kernels(active_isa());
  if (lanes_ != nullptr) {
    // Never past the caches: whoever decodes single segments reads them at once.
    return decode_lane_segment(kernels, *lanes_, segment.data(), segment.size(),
                               {symbols.data(), symbols.size(), false});
  }
  const CodedSegment coded = {segment.data(), segment.size(), 0, segment.size()};
  return kernels.decode_segment(*streams_, coded, symbols.data(), symbols.size());
}

}  // namespace entrofleet
