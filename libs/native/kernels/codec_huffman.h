// Canonical Huffman code, limited to 12 bits, over bytes; libs/codec/SEGMENT.md has the layout.
//
// A segment holds up to a fixed number of symbols and is decodable alone. Its symbols are split
// into four runs of equal length (the last may be shorter), each coded as a bit stream of its own,
// so that a decoder can work on four dependency chains at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/codec_quantize.h"
#include "kernels/thread_team.h"

namespace entrofleet {

constexpr int kCodeLengthMax = 12;
constexpr size_t kStreams = 4;
// Byte sizes of the first three streams, u32 little endian; the fourth is the rest.
constexpr size_t kSegmentHeaderBytes = 12;

using CodeLengths = std::array<uint8_t, 256>;

// Optimal lengths under the limit (package-merge; Larmore and Hirschberg 1990). A lone symbol gets
// length 1; an empty histogram gives all zeros.
CodeLengths choose_code_lengths(const Histogram& histogram);

// True when the lengths form a complete prefix code, or name exactly one symbol with length 1.
bool code_lengths_valid(const CodeLengths& lengths);

struct EncodedSegments {
  std::vector<uint32_t> sizes;
  size_t total_bytes = 0;
};

// Sizes of all segments, for encode_segments.
EncodedSegments measure_segments(std::span<const uint8_t> symbols, size_t segment_symbols,
                                 const CodeLengths& lengths, ThreadTeam& team);

// Writes the segments one after the other; `out` has measured.total_bytes bytes.
void encode_segments(std::span<const uint8_t> symbols, size_t segment_symbols,
                     const CodeLengths& lengths, const EncodedSegments& measured,
                     ThreadTeam& team, uint8_t* out);

// Decodes into `out`, all of it. Segments are dealt to the team's members by a shuffle; no member
// waits for another. Reads nothing outside `payload` and writes nothing outside `out`.
// Throws CodecFailure BadCodeTable or CorruptSegment.
void decode_segments(std::span<const uint8_t> payload, std::span<const uint32_t> segment_sizes,
                     size_t segment_symbols, const CodeLengths& lengths, uint64_t seed,
                     ThreadTeam& team, std::span<uint8_t> out);

}  // namespace entrofleet
