// Quantization of whole tensors on several threads. Results depend on the weights alone, not on
// the number of threads: sums are kept per chunk or row and added in order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/codec_kernels.h"
#include "kernels/codec_tables.h"

namespace entrofleet {

// Memory that is handed over to JavaScript without a copy, and not cleared first.
template <typename Element>
struct OwnedArray {
  explicit OwnedArray(size_t count) : elements(new Element[count]), size(count) {}

  std::unique_ptr<Element[]> elements;
  size_t size;
};

// Raw little-endian elements at any alignment.
struct RawWeights {
  const uint8_t* bytes;
  FloatType type;
  size_t count;
};

struct RawMatrix {
  const uint8_t* bytes;
  FloatType type;
  size_t rows;
  size_t columns;
};

// QuantizedTensor of src/codec.types.ts.
struct QuantizedWeights {
  OwnedArray<uint8_t> symbols{0};
  Histogram histogram{};
  double zero_point = 0;
  OwnedArray<float> steps{0};
  double entropy_bits = 0;
  double signal_power = 0;
  double noise_power = 0;
};

// No more threads than items, and at least one.
int useful_threads(size_t threads, size_t items);

// All functions throw CodecFailure NonFiniteWeight with the index of the first NaN or infinity,
// std::bad_alloc, or std::system_error when the system refuses a thread.

// EntroLLM, section 2.1. With least and greatest the range of the weights and 0:
// step = (greatest - least) / (2^bits - 1), zero point = round(-least / step), half to even. So
// weights of one sign are on a grid from 0; for weights <= 0 the step is negative and the zero
// point 0. The step is rounded to float; where that gives 0 it is the smallest positive float, and
// if all weights are 0 (or there are none) it is 1. Two floats' range over 15 is never infinite.
QuantizedWeights quantize_affine(const RawWeights& weights, int bits, size_t threads);

OwnedArray<float> to_float32(const RawWeights& weights, size_t threads);

}  // namespace entrofleet
