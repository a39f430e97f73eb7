// Inner loops of the codec, one set per instruction set. Every set gives the same bits: sums are
// kept in kSumLanes partial sums whatever the width of the registers, and nothing is contracted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec_lanes.h"
#include "kernels/codec_tables.h"
#include "kernels/cpu.h"

namespace entrofleet {

enum class FloatType { kFloat32, kFloat16, kBfloat16 };

constexpr size_t element_size(FloatType type) { return type == FloatType::kFloat32 ? 4 : 2; }

// Element i of a row or chunk adds to partial sum i % kSumLanes.
constexpr size_t kSumLanes = 8;

struct SumLanes {
  double lanes[kSumLanes] = {};

  double total() const {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
           ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  }
};

// What a pass over weights finds out. `finite` is false when one is NaN or infinite, and then the
// other fields mean nothing.
struct WeightRange {
  float least = 0;
  float greatest = 0;
  bool finite = true;
  SumLanes squares;
};

// A weight is step * (symbol - zero_point), with symbols from least_symbol to greatest_symbol.
struct Grid {
  float step;
  float zero_point;
  float least_symbol;
  float greatest_symbol;
};

// Sums over the weights and levels of a row, from which the step that fits them best follows.
struct LevelFit {
  SumLanes products;
  SumLanes squares;
};

// One segment of a Huffman payload, see libs/codec/SEGMENT.md.
struct CodedSegment {
  const uint8_t* payload;
  size_t payload_bytes;
  // The segment is payload[begin, end).
  size_t begin;
  size_t end;
};

using DecodeLanes = size_t (*)(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                               uint8_t* output);

constexpr size_t kStreamedAlignment = 64;

struct CodecKernels {
  // Little-endian elements at any alignment to floats; NaN and infinity are kept.
  void (*convert)(const uint8_t* raw, FloatType type, size_t count, float* weights);
  // Widens `range` by `count` weights. Partial sums continue if earlier counts were multiples of
  // kSumLanes.
  void (*measure)(const float* weights, size_t count, WeightRange* range);
  // symbol = clamp(round half to even(weight / step as a float) + zero_point), for quotients below
  // 2^22; adds squared errors to noise.
  void (*quantize)(const float* weights, size_t count, const Grid& grid, uint8_t* symbols,
                   SumLanes* noise);
  // The same symbols; adds level * weight and level^2 to the fit, level = symbol - zero_point.
  void (*quantize_to_fit)(const float* weights, size_t count, const Grid& grid, uint8_t* symbols,
                          LevelFit* fit);
  // Adds to 256 counters.
  void (*count_bytes)(const uint8_t* bytes, size_t count, uint64_t* counts);
  // Symbols below 16 to (count + 1) / 2 bytes, the first of each pair in the low nibble.
  void (*pack_nibbles)(const uint8_t* symbols, size_t count, uint8_t* pairs);
  // Bits that a stream of these symbols takes.
  uint64_t (*coded_bits)(const EncodeTable& table, const uint8_t* symbols, size_t count);
  // Fills [output, output_end) exactly; false when the symbols do not, which happens only when
  // someone changed them since coded_bits().
  bool (*encode_stream)(const EncodeTable& table, const uint8_t* symbols, size_t count,
                        uint8_t* output, uint8_t* output_end);
  // Writes `count` symbols. False when the segment is not what an encoder would have written; what
  // the output then holds is not defined. Reads nothing outside the payload.
  bool (*decode_segment)(const DecodeTable& table, const CodedSegment& segment, uint8_t* output,
                         size_t count);
  // Decodes up to `blocks` blocks of kLaneBlock symbols, the first group's 64 before the second's,
  // and returns how many: it stops before a block that finds fewer than kGroupLanes words, which is
  // the most a block takes, left to read in either group. Advances both readers by what it decoded.
  DecodeLanes decode_lanes;
  // The same for an output that is aligned to kStreamedAlignment and too large to be read from a
  // cache afterwards: where the instruction set can, symbols go past the caches.
  DecodeLanes stream_lanes;
  // Encodes `blocks` blocks of kLaneBlock symbols, the last one first, by running decode_lanes
  // backwards. Each group's writer has room for kGroupLanes words a block before its begin.
  void (*encode_lanes)(const LaneEncodeTable& table, const uint8_t* symbols, size_t blocks,
                       LaneWriter* writers);
};

// The kernels for an instruction set that this machine has.
const CodecKernels& codec_kernels(Isa isa);

}  // namespace entrofleet
