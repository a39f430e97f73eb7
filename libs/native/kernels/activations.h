// Activations as 15-bit integers. One scale per position:
//   x ~ scale * whole, whole = 128 * high + low,
// where scale = max|x| / kActivationPeak and whole = x / scale, rounded to nearest, ties to even.
// A dot product with symbols is then an exact integer, whatever order or tile shape it is taken
// in: only the rounding here and the conversion of the result to float lose anything.
#pragma once

#include <cstddef>
#include <cstdint>

namespace entrofleet {

// 128 * 127 + 63: high stays within [-127, 127] and low within [-64, 63].
constexpr int kActivationPeak = 16319;

// Elements of a position are padded with zeros to a multiple of this.
constexpr size_t kActivationAlignment = 64;

static constexpr size_t activation_stride(size_t columns) {
  return (columns + kActivationAlignment - 1) / kActivationAlignment * kActivationAlignment;
}

// positions x stride, row-major; every array begins at a multiple of 64 bytes. Products take the
// 8-bit halves or the 16-bit wholes, whichever their instruction set multiplies faster.
struct Activations {
  const int8_t* high = nullptr;
  const int8_t* low = nullptr;
  const int16_t* whole = nullptr;
  const float* scales = nullptr;  // one per position
  const int64_t* sums = nullptr;  // of each position's wholes
  size_t stride = 0;        // a multiple of kActivationAlignment, at least the number of columns
  size_t positions = 0;
};

}  // namespace entrofleet
