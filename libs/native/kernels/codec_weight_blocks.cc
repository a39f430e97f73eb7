#include "kernels/codec_weight_blocks.h"

#include <cmath>
#include <string>

#include "kernels/codec_failure.h"

namespace entrofleet {

void throw_non_finite(const CodecKernels& kernels, const RawWeights& weights,
                                   size_t begin) {
  size_t index = begin;
  float value = 0;
  for (; index < weights.count; ++index) {
    kernels.convert(weights.bytes + index * element_size(weights.type), weights.type, 1, &value);
    if (!std::isfinite(value)) break;
  }
  throw CodecFailure{"NonFiniteWeight",
                     "weight " + std::to_string(index) + " is " +
                         (std::isnan(value) ? "NaN" : value > 0 ? "infinite" : "-infinite"),
                     index};
}

void require_finite(const CodecKernels& kernels, const RawWeights& weights,
                    const std::vector<uint8_t>& bad_chunks, size_t chunk_weights) {
  const auto bad = std::find(bad_chunks.begin(), bad_chunks.end(), 1);
  if (bad == bad_chunks.end()) return;
  throw_non_finite(kernels, weights,
                   static_cast<size_t>(bad - bad_chunks.begin()) * chunk_weights);
}

void add_counts(std::span<const Histogram> parts, Histogram* sum) {
  for (const Histogram& part : parts) {
    for (size_t value = 0; value < part.size(); ++value) (*sum)[value] += part[value];
  }
}

double sum_of(const std::vector<SumLanes>& parts) {
  double sum = 0;
  for (const SumLanes& part : parts) sum += part.total();
  return sum;
}

}  // namespace entrofleet
