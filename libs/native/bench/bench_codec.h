// What is measured: something that codes all tensors of a set and decodes them again.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/symbol_set.h"

namespace entrofleet::bench {

class BenchCodec {
 public:
  virtual ~BenchCodec() = default;

  virtual std::string name() const = 0;

  // False: encode() is called once and not measured, as for a memory copy, which has nothing to
  // encode.
  virtual bool has_encoder() const { return true; }

  // Counts and codes the tensors, and keeps the result for decode(). What an earlier call kept is
  // freed before, so that its pages serve again; they have long left the caches.
  virtual void encode(const SymbolSet& set, int threads) = 0;

  // Writes all symbols; `output` has as many bytes as the set.
  virtual void decode(uint8_t* output, int threads) = 0;

  // What decode() reads: segments with their heads, or frames.
  virtual size_t coded_bytes() const = 0;

  // True: encode() is so slow that it codes a sample, and copies of it stand for the rest.
  virtual bool is_sample() const { return false; }

  // Bytes that the last encode() has coded.
  virtual size_t encoded_bytes() const = 0;

  // Whether `output` of decode() has the symbols that encode() has coded.
  virtual bool gave_back(const SymbolSet& set, const uint8_t* output) const {
    return std::equal(set.bytes.begin(), set.bytes.end(), output);
  }
};

std::unique_ptr<BenchCodec> memory_copy();
std::unique_ptr<BenchCodec> huffman_codec();
std::unique_ptr<BenchCodec> lanes_codec();

// zstd in frames of kZstdFrameBytes, each decoded by itself like our segments. Null when this
// program was built without libzstd.
constexpr size_t kZstdFrameBytes = size_t{1} << 18;
std::unique_ptr<BenchCodec> zstd_codec(int level);

}  // namespace entrofleet::bench
