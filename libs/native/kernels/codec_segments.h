// Entropy coding of whole tensors as independent segments, on several threads: Huffman
// (libs/codec/SEGMENT.md) and lanes (libs/codec/LANES.md).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/codec_quantizer.h"
#include "kernels/codec_sharing.h"
#include "kernels/codec_tables.h"

namespace entrofleet {

// Bounds a Huffman stream to 2^22 symbols of 15 bits and a lane stream to 2^23 of 14, far below
// what 32 bits count.
constexpr size_t kMostSegmentSymbols = size_t{1} << 24;

struct CodedSymbols {
  OwnedArray<uint8_t> payload{0};
  std::vector<uint32_t> segment_sizes;
  CodeLengths code_lengths{};
};

struct CodedInput : SegmentedPayload {
  CodeLengths code_lengths;
};

struct LaneCodedSymbols {
  OwnedArray<uint8_t> payload{0};
  std::vector<uint32_t> segment_sizes;
  // In the byte form of LANES.md.
  std::vector<uint8_t> code;
};

struct LaneCodedInput : SegmentedPayload {
  std::vector<uint8_t> code;
};

// How often each value occurs.
Histogram count_symbols(const uint8_t* symbols, size_t count, size_t threads);

// The payload depends on the symbols, segment_symbols and the code lengths alone, which are optimal
// for the symbols unless given. Throws CodecFailure BadCodeTable when the given ones are no prefix
// code or have none for a symbol that occurs (its index), or BadArgument when someone changes the
// symbols meanwhile.
CodedSymbols encode_huffman(const uint8_t* symbols, size_t count, size_t segment_symbols,
                            size_t threads,
                            const std::optional<CodeLengths>& given = std::nullopt);

// Throws what decode_segments does, or BadCodeTable.
void decode_huffman(const CodedInput& input, uint8_t* output, size_t threads, uint64_t seed,
                    const SegmentWatch& watch = {});

// As encode_huffman; the code is in the byte form of LANES.md.
LaneCodedSymbols encode_lanes(const uint8_t* symbols, size_t count, size_t segment_symbols,
                              size_t threads,
                              const std::optional<std::vector<uint8_t>>& given = std::nullopt);

// Throws what decode_segments does, or BadCodeTable.
void decode_lanes(const LaneCodedInput& input, uint8_t* output, size_t threads, uint64_t seed,
                  const SegmentWatch& watch = {});

}  // namespace entrofleet
