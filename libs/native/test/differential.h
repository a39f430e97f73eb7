// What the differential tests of the kernels share. Every set of kernels is held against
// the portable one on the same inputs, random ones and degenerate ones; the results, down to the
// sums' bits and the verdicts on corrupt input, must be the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/codec_kernels.h"
#include "kernels/engine_kernels.h"

namespace entrofleet::test {

struct Difference : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws Difference naming `what` unless `same`.
void require_same(bool same, const std::string& what);

// splitmix64 (Steele, Lea and Flood 2014): the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next();
  size_t below(size_t bound) { return static_cast<size_t>(next() % bound); }
  bool one_in(size_t count) { return below(count) == 0; }
  std::vector<uint8_t> bytes(size_t count);

 private:
  uint64_t state_;
};

// Symbols of one of many shapes: uniform, bell-shaped, steep, few levels, one level, or none.
std::vector<uint8_t> random_symbols(Random& random, size_t most);

Histogram histogram(const std::vector<uint8_t>& symbols);

// Memory next to a page that cannot be touched, so that one byte too far ends the program.
class GuardedBytes {
 public:
  enum class Guard { kBefore, kAfter };

  GuardedBytes(size_t size, Guard guard);
  GuardedBytes(const std::vector<uint8_t>& bytes, Guard guard);
  ~GuardedBytes();
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  uint8_t* end() const { return data_ + size_; }
  bool operator==(const GuardedBytes& other) const {
    return size_ == other.size_ && std::memcmp(data_, other.data_, size_) == 0;
  }

 private:
  void* pages_;
  size_t mapped_bytes_;
  uint8_t* data_;
  size_t size_;
};

// One comparison each, on inputs drawn from `random`.
void compare_weights(const CodecKernels& expected, const CodecKernels& actual, Random& random);
void compare_bytes(const CodecKernels& expected, const CodecKernels& actual, Random& random);
void compare_huffman(const CodecKernels& expected, const CodecKernels& actual, Random& random);
void compare_lanes(const CodecKernels& expected, const CodecKernels& actual, Random& random);
void compare_lane_segments(const CodecKernels& expected, const CodecKernels& actual,
                           Random& random);
void compare_sha256(const CodecKernels& expected, const CodecKernels& actual, Random& random);
void compare_float_products(const EngineKernels& expected, const EngineKernels& actual,
                            Random& random);
void compare_attention(const EngineKernels& expected, const EngineKernels& actual, Random& random);
void compare_elementwise(const EngineKernels& expected, const EngineKernels& actual,
                         Random& random);
void compare_activations(const EngineKernels& expected, const EngineKernels& actual,
                         Random& random);
void compare_window_groups(const EngineKernels& expected, const EngineKernels& actual,
                           Random& random);
void compare_coded_groups(const EngineKernels& expected, const EngineKernels& actual,
                          Random& random);
void compare_window_products(const EngineKernels& expected, const EngineKernels& actual,
                             Random& random);
void compare_window_matrices(const EngineKernels& expected, const EngineKernels& actual,
                             Random& random);
void compare_symbol_products(const EngineKernels& expected, const EngineKernels& actual,
                             Random& random);

}  // namespace entrofleet::test
