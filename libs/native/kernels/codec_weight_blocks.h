// Weights in blocks that stay in the first-level cache, and chunks that threads share out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/codec_kernels.h"
#include "kernels/codec_quantizer.h"

namespace entrofleet {

// Weights that are converted at once and stay in the first-level cache. A multiple of kSumLanes,
// so that partial sums continue from block to block, and even, so that nibble pairs do not cross.
constexpr size_t kBlockWeights = 2048;
// Weights of one work item.
constexpr size_t kChunkWeights = 32 * kBlockWeights;

inline size_t chunks_of(size_t count, size_t chunk) {
  return count / chunk + (count % chunk != 0);
}

// Calls visit(weights, first, size) for converted blocks of [begin, end).
template <typename Visit>
void for_each_block(const CodecKernels& kernels, const uint8_t* bytes, FloatType type,
                    size_t begin, size_t end, const Visit& visit) {
  alignas(64) float weights[kBlockWeights];
  for (size_t first = begin; first < end; first += kBlockWeights) {
    const size_t size = std::min(kBlockWeights, end - first);
    kernels.convert(bytes + first * element_size(type), type, size, weights);
    visit(weights, first, size);
  }
}

// Throws CodecFailure NonFiniteWeight for the first such weight from `begin` on.
[[noreturn]] void throw_non_finite(const CodecKernels& kernels, const RawWeights& weights,
                                   size_t begin);

// Throws for the first bad chunk of `chunk_weights` weights, if any is marked.
void require_finite(const CodecKernels& kernels, const RawWeights& weights,
                    const std::vector<uint8_t>& bad_chunks, size_t chunk_weights);

void add_counts(std::span<const Histogram> parts, Histogram* sum);

double sum_of(const std::vector<SumLanes>& parts);

}  // namespace entrofleet
