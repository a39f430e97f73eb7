// Inner loops of calibration, one set per instruction set. Unlike the engine's, every set gives the
// same bits: each sum is taken term by term in order, vectors only hold several sums side by side,
// and nothing is contracted. So what is calibrated on one machine is the same on every other.
#pragma once

#include <cstddef>

#include "kernels/cpu.h"

namespace entrofleet {

// sums[r][w] += sum over d of left[r][d] * right[d][w], adding in the order of d. Element (r, d) of
// the left side lies at left[r * left_row + d * left_depth]; rows of the others are contiguous.
template <typename Element>
struct ProductSum {
  const Element* left;
  size_t left_row;
  size_t left_depth;
  const Element* right;
  size_t right_stride;
  Element* sums;
  size_t sums_stride;
  size_t rows;
  size_t depth;
  size_t width;
};

struct CalibrationKernels {
  void (*add_products)(const ProductSum<float>& product);
  void (*add_products_double)(const ProductSum<double>& product);
};

// The kernels for an instruction set that this machine has.
const CalibrationKernels& calibration_kernels(Isa isa);

}  // namespace entrofleet
