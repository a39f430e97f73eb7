// Huffman coding of whole tensors as independent segments, on several threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/codec_quantizer.h"
#include "kernels/codec_tables.h"

namespace entrofleet {

// Bounds a stream to 2^22 symbols of 15 bits, far below what 32 bits count.
constexpr size_t kMostSegmentSymbols = size_t{1} << 24;

struct CodedSymbols {
  OwnedArray<uint8_t> payload{0};
  std::vector<uint32_t> segment_sizes;
  CodeLengths code_lengths{};
};

struct CodedInput {
  const uint8_t* payload;
  size_t payload_bytes;
  std::vector<uint32_t> segment_sizes;
  // 1 to kMostSegmentSymbols.
  size_t segment_symbols;
  size_t symbol_count;
  CodeLengths code_lengths;
};

// The payload depends on the symbols and segment_symbols alone. Throws CodecFailure BadArgument
// when someone changes the symbols meanwhile.
CodedSymbols encode_huffman(const uint8_t* symbols, size_t count, size_t segment_symbols,
                            size_t threads);

// Decodes into `output`, which has symbol_count bytes. Segments are shuffled by `seed` and dealt
// out to the threads beforehand, so that they need neither locks nor shared counters (EntroLLM,
// section 2.3). Throws CodecFailure BadArgument when the sizes do not fit the payload or
// the symbol count, BadCodeTable, or CorruptSegment with the index of the first corrupt segment.
void decode_huffman(const CodedInput& input, uint8_t* output, size_t threads, uint64_t seed);

}  // namespace entrofleet
