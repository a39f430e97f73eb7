// Symbols with the statistics of a trained model's weights, at a wanted entropy.
#pragma once

#include <string>
#include <vector>

#include "bench/symbol_set.h"

namespace entrofleet::bench {

struct SymbolSpec {
  // 8 or 4.
  int bits;
  // Wanted, per symbol; met to about 0.01.
  double entropy_bits;
  size_t tensors;
  size_t rows;
  // Even.
  size_t columns;
};

// Normal weights whose scale differs by row and by column (log-normal, sigma 0.12 and 0.10), three
// in a thousand of them enlarged to heavy tails, rounded to an asymmetric grid whose range is
// found by bisection. The first two symbols of each tensor are the least and the greatest, so that
// the paper's quantizer finds the same grid again when the levels are given to it as weights. The
// same spec gives the same symbols in every run; tensor i does not depend on how many there are.
SymbolSet generate_symbols(const SymbolSpec& spec, int threads);

// A matrix, or a vector of norm weights, which has no columns.
struct WeightTensor {
  std::string name;
  size_t rows;
  size_t columns;
};

struct WeightSpec {
  std::vector<WeightTensor> tensors;
  // "f16" or "bf16".
  std::string type;
  // How far weights reach, in standard deviations: it sets the step of a grid from least to greatest,
  // hence the entropy. kDefaultReach gives u8 the 5.6 bits of trained models.
  double reach;
};
constexpr double kDefaultReach = 11.4;

// Writes a safetensors file of such weights, with the scale that trained matrices have. Throws
// std::runtime_error.
void write_checkpoint(const WeightSpec& spec, const std::string& path, int threads);

}  // namespace entrofleet::bench
