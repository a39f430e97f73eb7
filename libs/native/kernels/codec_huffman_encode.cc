#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/codec_huffman.h"
#include "kernels/codec_huffman_table.h"

namespace entrofleet {
namespace {

size_t run_length(size_t symbols) { return (symbols + kStreams - 1) / kStreams; }

std::span<const uint8_t> run_of(std::span<const uint8_t> segment, size_t stream) {
  const size_t length = run_length(segment.size());
  const size_t first = std::min(stream * length, segment.size());
  return segment.subspan(first, std::min(length, segment.size() - first));
}

size_t stream_bytes(std::span<const uint8_t> run, const CodeLengths& lengths) {
  uint64_t bits[4] = {};
  size_t i = 0;
  for (; i + 4 <= run.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) bits[k] += lengths[run[i + k]];
  }
  for (; i < run.size(); ++i) bits[0] += lengths[run[i]];
  return (bits[0] + bits[1] + bits[2] + bits[3] + 7) / 8;
}

struct PackedWord {
  uint16_t bits;
  uint16_t length;
};

// Writes exactly stream_bytes(run) bytes: whole 32-bit words, then the rest byte by byte, so that
// a neighbour that another thread writes is never touched.
uint8_t* write_stream(std::span<const uint8_t> run, const PackedWord* words, uint8_t* out) {
  uint64_t pending = 0;
  unsigned held = 0;
  for (uint8_t symbol : run) {
    pending |= static_cast<uint64_t>(words[symbol].bits) << held;
    held += words[symbol].length;
    if (held < 32) continue;
    const uint32_t word = static_cast<uint32_t>(pending);
    std::memcpy(out, &word, 4);
    out += 4;
    pending >>= 32;
    held -= 32;
  }
  for (; held > 0; held -= std::min(held, 8u), pending >>= 8) *out++ = static_cast<uint8_t>(pending);
  return out;
}

std::span<const uint8_t> segment_of(std::span<const uint8_t> symbols, size_t segment_symbols,
                                    size_t segment) {
  const size_t first = segment * segment_symbols;
  return symbols.subspan(first, std::min(segment_symbols, symbols.size() - first));
}

}  // namespace

EncodedSegments measure_segments(std::span<const uint8_t> symbols, size_t segment_symbols,
                                 const CodeLengths& lengths, ThreadTeam& team) {
  EncodedSegments measured;
  measured.sizes.resize((symbols.size() + segment_symbols - 1) / segment_symbols);
  std::atomic<size_t> next{0};
  team.run([&](int) {
    for (size_t s; (s = next.fetch_add(1)) < measured.sizes.size();) {
      const std::span<const uint8_t> segment = segment_of(symbols, segment_symbols, s);
      size_t bytes = kSegmentHeaderBytes;
      for (size_t k = 0; k < kStreams; ++k) bytes += stream_bytes(run_of(segment, k), lengths);
      measured.sizes[s] = static_cast<uint32_t>(bytes);
    }
  });
  for (uint32_t size : measured.sizes) measured.total_bytes += size;
  return measured;
}

void encode_segments(std::span<const uint8_t> symbols, size_t segment_symbols,
                     const CodeLengths& lengths, const EncodedSegments& measured,
                     ThreadTeam& team, uint8_t* out) {
  const CodeWords codes = assign_code_words(lengths);
  PackedWord words[256];
  for (size_t s = 0; s < 256; ++s) words[s] = {codes[s], lengths[s]};
  std::vector<size_t> offsets(measured.sizes.size());
  size_t offset = 0;
  for (size_t s = 0; s < offsets.size(); ++s) {
    offsets[s] = offset;
    offset += measured.sizes[s];
  }
  std::atomic<size_t> next{0};
  team.run([&](int) {
    for (size_t s; (s = next.fetch_add(1)) < offsets.size();) {
      const std::span<const uint8_t> segment = segment_of(symbols, segment_symbols, s);
      uint8_t* const start = out + offsets[s];
      uint8_t* at = start + kSegmentHeaderBytes;
      for (size_t k = 0; k < kStreams; ++k) {
        uint8_t* const end = write_stream(run_of(segment, k), words, at);
        const uint32_t size = static_cast<uint32_t>(end - at);
        if (k + 1 < kStreams) std::memcpy(start + 4 * k, &size, 4);
        at = end;
      }
    }
  });
}

}  // namespace entrofleet
