// Adaptive binary arithmetic coding: the range coder of LZMA (carries resolved by a cached byte) with
// probabilities that are averages of the bits seen. libs/artifact/DELTA.md specifies all of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace entrofleet {

// How likely a bit is 0, of 2^kProbabilityBits; the first bits count most.
struct AdaptiveBit {
  static constexpr int kProbabilityBits = 22;
  // Bits after which all newer ones count alike.
  static constexpr uint32_t kMostSeen = 255;

  uint32_t probability = uint32_t{1} << (kProbabilityBits - 1);
  uint32_t seen = 0;

  // Of 2^16, never 0 or 2^16.
  uint32_t zero() const {
    const uint32_t scaled = probability >> (kProbabilityBits - 16);
    return scaled == 0 ? 1 : scaled;
  }

  void update(bool bit) {
    const int64_t goal = bit ? 0 : (int64_t{1} << kProbabilityBits) - 1;
    const int64_t distance = goal - static_cast<int64_t>(probability);
    probability = static_cast<uint32_t>(probability + ((distance * kShares[seen]) >> 16));
    if (seen < kMostSeen) ++seen;
  }

 private:
  // 2^16 / (n + 1.5): the Krichevsky-Trofimov estimate moves so far towards the bit after n others.
  static constexpr std::array<uint16_t, kMostSeen + 1> kShares = [] {
    std::array<uint16_t, kMostSeen + 1> shares{};
    for (uint32_t n = 0; n <= kMostSeen; ++n) {
      shares[n] = static_cast<uint16_t>((uint32_t{1} << 17) / (2 * n + 3));
    }
    return shares;
  }();
};

constexpr uint32_t kLeastRange = uint32_t{1} << 24;

class RangeEncoder {
 public:
  // Codes and returns the bit.
  bool code(AdaptiveBit& state, bool bit) {
    const uint32_t bound = (range_ >> 16) * state.zero();
    if (bit) {
      low_ += bound;
      range_ -= bound;
    } else {
      range_ = bound;
    }
    state.update(bit);
    while (range_ < kLeastRange) {
      range_ <<= 8;
      shift_low();
    }
    return bit;
  }

  // Ends the stream with the value of the range that has the most zero bits at its end; zero bytes
  // there are left out.
  std::vector<uint8_t> finish() {
    const uint64_t last = low_ + range_ - 1;
    for (int zeros = 31; zeros >= 0; --zeros) {
      const uint64_t value = last >> zeros << zeros;
      if (value < low_) continue;
      low_ = value;
      break;
    }
    for (int i = 0; i < 5; ++i) shift_low();
    while (!bytes_.empty() && bytes_.back() == 0) bytes_.pop_back();
    return std::move(bytes_);
  }

 private:
  // The byte that leaves `low_` waits, with the 0xFF behind it, for a carry that may still come.
  void shift_low() {
    if (low_ < 0xFF000000 || low_ > UINT32_MAX) {
      const uint8_t carry = static_cast<uint8_t>(low_ >> 32);
      if (started_) bytes_.push_back(static_cast<uint8_t>(cache_ + carry));
      for (; waiting_ > 0; --waiting_) bytes_.push_back(static_cast<uint8_t>(0xFF + carry));
      started_ = true;
      cache_ = static_cast<uint8_t>(low_ >> 24);
    } else {
      ++waiting_;
    }
    low_ = (low_ & 0x00FFFFFF) << 8;
  }

  std::vector<uint8_t> bytes_;
  uint64_t low_ = 0;
  uint32_t range_ = UINT32_MAX;
  size_t waiting_ = 0;
  uint8_t cache_ = 0;
  bool started_ = false;
};

// Reads any bytes; past their end there are zeros.
class RangeDecoder {
 public:
  explicit RangeDecoder(std::span<const uint8_t> bytes) : bytes_(bytes) {
    for (int i = 0; i < 4; ++i) value_ = value_ << 8 | next();
  }

  // The bit; its second argument is what an encoder takes.
  bool code(AdaptiveBit& state, bool) {
    const uint32_t bound = (range_ >> 16) * state.zero();
    const bool bit = value_ >= bound;
    if (bit) {
      value_ -= bound;
      range_ -= bound;
    } else {
      range_ = bound;
    }
    state.update(bit);
    while (range_ < kLeastRange) {
      range_ <<= 8;
      value_ = value_ << 8 | next();
    }
    return bit;
  }

  // True when no stored byte is left, and the last one was worth storing.
  bool ended_well() const {
    return read_ >= bytes_.size() && (bytes_.empty() || bytes_.back() != 0);
  }

 private:
  uint8_t next() {
    const size_t at = read_++;
    return at < bytes_.size() ? bytes_[at] : 0;
  }

  std::span<const uint8_t> bytes_;
  size_t read_ = 0;
  uint32_t value_ = 0;
  uint32_t range_ = UINT32_MAX;
};

}  // namespace entrofleet
