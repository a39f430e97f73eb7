// What error feedback needs of a Gram matrix: H = U D U^T with U unit upper triangular (LDLQ: Chee
// et al., QuIP, 2023, which is GPTQ's update without the inverse).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/codec_quantizer.h"

namespace entrofleet {

struct GramFactor {
  // Columns in the order they are quantized, largest diagonal element first.
  std::vector<uint32_t> order;
  // D: what a squared error in a column costs once all later columns have made up for it.
  std::vector<double> pivots;
  // Row k holds U[j][k] for j < k: how much of column j's error column k takes over. Rows follow
  // each other, n (n - 1) / 2 in all.
  OwnedArray<float> feedback{0};
};

constexpr size_t feedback_row(size_t k) { return k * (k - 1) / 2; }

// `gram` (columns x columns, only on and below the diagonal) is overwritten. `damping` times the
// mean of the diagonal is added to it; a matrix of zeros counts as the identity. Throws
// CodecFailure BadArgument when an element is not finite.
GramFactor factor_gram(std::span<double> gram, size_t columns, double damping, size_t threads);

}  // namespace entrofleet
