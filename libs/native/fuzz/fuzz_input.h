// What the drivers here share. Buffers they hand out have their exact sizes on the heap, so that
// AddressSanitizer sees any access outside of them (a vector's capacity could hide one).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/codec_failure.h"
#include "kernels/cpu.h"

namespace entrofleet::fuzz {

// Not assert(): it must hold in every build.
inline void require(bool condition) {
  if (!condition) std::abort();
}

// Takes an input apart; zeros after its end.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  uint32_t number(size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= uint32_t{byte()} << (8 * i);
    return value;
  }

  std::vector<uint8_t> rest() const { return {data_, data_ + left_}; }
  size_t left() const { return left_; }

 private:
  const uint8_t* data_;
  size_t left_;
};

struct ExactBytes {
  explicit ExactBytes(const std::vector<uint8_t>& bytes)
      : elements(new uint8_t[bytes.size()]), size(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), elements.get());
  }

  std::unique_ptr<uint8_t[]> elements;
  size_t size;
};

// One of the instruction sets that this machine has besides the portable one, or that one again.
inline std::string pick_isa(FuzzInput& input) {
  static const std::vector<std::string> kFound = [] {
    std::vector<std::string> found;
    for (const char* name : {"avx2", "avx512", "neon"}) {
      if (force_isa(name)) found.push_back(name);
    }
    if (found.empty()) found.push_back("portable");
    return found;
  }();
  return kFound[input.byte() % kFound.size()];
}

// Calls work() with the portable kernels and with those of `isa`. Each gives the same.
template <typename Work>
auto same_on(const std::string& isa, const Work& work) {
  require(force_isa("portable"));
  auto expected = work();
  require(force_isa(isa));
  require(work() == expected);
  return expected;
}

// A failure as a value that can be compared.
inline std::string verdict_of(const CodecFailure& failure) {
  return failure.code + "@" + (failure.index ? std::to_string(*failure.index) : "");
}

}  // namespace entrofleet::fuzz
