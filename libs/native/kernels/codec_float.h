// Reads the element types of a checkpoint. Input is little endian and may be unaligned.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace entrofleet {

enum class FloatType { kF32, kF16, kBf16 };

inline size_t float_size(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

inline float half_to_float(uint16_t half) {
  // Shifting exponent and mantissa into place and multiplying by 2^112 rebias the exponent and
  // normalize subnormals in one exact step; infinities and NaN need their exponent restored.
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  if ((half & 0x7c00) == 0x7c00) value = std::bit_cast<float>(magnitude | 0x7f800000u);
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

inline float bfloat_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// The nearest bf16 to a finite, not huge value; ties to even.
inline float round_to_bfloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  bits += 0x7fff + ((bits >> 16) & 1);
  return std::bit_cast<float>(bits & 0xffff0000u);
}

// Converts `count` elements that start at element `first` of `bytes`.
inline void read_floats(const uint8_t* bytes, FloatType type, size_t first, size_t count,
                        float* out) {
  if (type == FloatType::kF32) {
    std::memcpy(out, bytes + 4 * first, 4 * count);
    return;
  }
  const uint8_t* from = bytes + 2 * first;
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, 2);
    out[i] = type == FloatType::kF16 ? half_to_float(bits) : bfloat_to_float(bits);
  }
}

inline bool is_finite(float value) {
  return (std::bit_cast<uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
}

}  // namespace entrofleet
