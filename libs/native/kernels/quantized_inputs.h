// The activations of a block of positions, with their memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/aligned_memory.h"
#include "kernels/engine_kernels.h"

namespace entrofleet {

class QuantizedInputs {
 public:
  // Throws std::bad_alloc.
  QuantizedInputs(size_t positions, size_t most_columns)
      : positions_(positions), most_stride_(activation_stride(most_columns)) {
    high_ = allocate_aligned<int8_t>(positions * most_stride_);
    low_ = allocate_aligned<int8_t>(positions * most_stride_);
    whole_ = allocate_aligned<int16_t>(positions * most_stride_);
    scales_ = allocate_aligned<float>(positions);
    sums_ = allocate_aligned<int64_t>(positions);
  }

  // Different positions may be quantized at the same time, all with as many columns.
  void quantize(const EngineKernels& kernels, const float* values, size_t columns,
                size_t position) {
    const size_t stride = activation_stride(columns);
    const size_t at = position * stride;
    kernels.quantize_activations(values, columns, stride,
                                 {high_.get() + at, low_.get() + at, whole_.get() + at,
                                  scales_.get() + position, sums_.get() + position});
  }

  Activations view(size_t columns, size_t positions) const {
    return {high_.get(),   low_.get(), whole_.get(), scales_.get(), sums_.get(),
            activation_stride(columns), positions};
  }

 private:
  size_t positions_, most_stride_;
  AlignedArray<int8_t> high_, low_;
  AlignedArray<int16_t> whole_;
  AlignedArray<float> scales_;
  AlignedArray<int64_t> sums_;
};

}  // namespace entrofleet
