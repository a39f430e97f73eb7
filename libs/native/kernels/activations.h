// The inputs of products with symbols: whole numbers of 15 bits with one scale per position, so that
// every sum of products is an exact integer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace entrofleet {

// x ~ scale * whole and whole = 128 * high + low, with |whole| <= 16319, high in [-127, 127] and
// low in [-64, 63]. A position's elements lie at `stride` times its index; those past the columns
// are 0.
struct Activations {
  const int8_t* high = nullptr;
  const int8_t* low = nullptr;
  const int16_t* whole = nullptr;
  const float* scales = nullptr;  // one per position
  const int64_t* sums = nullptr;  // of `whole`, one per position
  size_t stride = 0;              // a multiple of 64, at least the columns
  size_t positions = 0;
};

}  // namespace entrofleet
