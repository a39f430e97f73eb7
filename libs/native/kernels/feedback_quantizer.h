// Quantization on the int8 grid where the error of each column is made up for by the columns after
// it, as far as the inputs of the layer correlate (GPTQ: Frantar et al. 2022).
#pragma once

#include <span>

#include "kernels/codec_row_quantizer.h"

namespace entrofleet {

// See GramFactor.
struct FeedbackFactor {
  std::span<const uint32_t> order;
  std::span<const double> pivots;
  std::span<const float> feedback;
};

// Steps as quantize_rows has them. Column by column in the factor's order, a level is the one of the
// two next to (weight + what it takes over) that has the least pivot * (step * distance)^2 + lambda
// * bits, where `bits` is the level's ideal code length in a plain rounding of the matrix and lambda
// // what a bit buys of a uniform quantizer at this step (Sullivan 1996): 2 ln 2 / 12 * step^2 * mean
// pivot. The price counts in matrices of less than 2 bits per weight: measured on stories15M, it
// saves a tenth of a bit there, and costs perplexity at higher rates. Then the steps are fitted
// to the levels, in the same norm. The order names every column
// once. Results depend on the arguments alone.
QuantizedWeights quantize_with_feedback(const RawMatrix& matrix, const RowSteps& steps,
                                        const FeedbackFactor& factor, size_t threads);

}  // namespace entrofleet
