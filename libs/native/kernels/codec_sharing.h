// What all layouts share: symbols cut into segments, and segments dealt out to threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/codec_kernels.h"
#include "kernels/thread_team.h"

namespace entrofleet {

struct SegmentCut {
  size_t symbol_count;
  // At least 1.
  size_t segment_symbols;

  size_t segments() const {
    return symbol_count / segment_symbols + (symbol_count % segment_symbols != 0);
  }

  size_t symbols_of(size_t segment) const {
    return std::min(segment_symbols, symbol_count - segment * segment_symbols);
  }
};

// Segments one after the other, as a decoder is given them: nothing here is trusted.
struct SegmentedPayload {
  const uint8_t* payload;
  size_t payload_bytes;
  std::vector<uint32_t> segment_sizes;
  // 1 to kMostSegmentSymbols.
  size_t segment_symbols;
  size_t symbol_count;
};

// How a caller follows and stops a call that runs. Both may be null; they may be read and written
// by other threads, and by JavaScript, at any time.
struct SegmentWatch {
  // Not 0: stop before the next segment.
  int32_t* cancel = nullptr;
  // Counts segments that are done.
  int32_t* done = nullptr;
};

// A list of segments for each member, in ascending order. Which member gets a segment depends on a
// shuffle by `seed`; how much each gets does not: segments go, the largest first, to whoever has
// the fewest bytes, so that no two members differ by more than one segment's bytes.
std::vector<std::vector<size_t>> dealt_segments(const std::vector<uint32_t>& segment_sizes,
                                                size_t members, uint64_t seed);

// How many threads are worth waking for so many segments.
int decoding_threads(size_t threads, size_t segments);

// Where the segments begin, and where the last one ends. Throws CodecFailure BadArgument when the
// sizes do not fit the payload or the symbol count.
std::vector<size_t> segment_begins(const SegmentedPayload& input);

// False when the segment is corrupt.
using DecodeSegment = std::function<bool(const CodedSegment& segment, uint8_t* output,
                                         size_t symbols)>;

// Decodes all segments into `output` of symbol_count bytes. Segments are dealt out to the threads
// beforehand, which then run without locks or shared counters but the caller's own (EntroLLM,
// section 2.3). Throws what segment_begins does, CorruptSegment with the index of the first corrupt
// segment, or Cancelled.
void decode_segments(const SegmentedPayload& input, uint8_t* output, size_t threads, uint64_t seed,
                     const SegmentWatch& watch, const DecodeSegment& decode);

// How often each value occurs.
Histogram count_symbols(const CodecKernels& kernels, ThreadTeam& team, const uint8_t* symbols,
                        size_t count);

// Pieces that count_symbols is shared out in.
size_t counting_pieces(size_t count);

}  // namespace entrofleet
