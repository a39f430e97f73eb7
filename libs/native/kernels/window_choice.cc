#include "kernels/window_choice.h"

#include <algorithm>

namespace entrofleet {
namespace {

constexpr size_t kSampledRun = 32;
constexpr size_t kSampledRuns = 128;

}  // namespace

SymbolCounts sample_symbols(const SymbolBlock& block) {
  // Four tables, for neighbours are often equal and an addition would wait for the one before.
  SymbolCounts counts[4] = {};
  const size_t runs = (block.columns + kSampledRun - 1) / kSampledRun;
  const size_t stride = std::max<size_t>(1, block.rows * runs / kSampledRuns);
  // Runs at different columns in each row, for columns differ in scale.
  for (size_t i = 0; i < block.rows * runs; i += stride) {
    const size_t row = i / runs;
    const size_t begin = (i + row * 5) % runs * kSampledRun;
    const size_t end = std::min(begin + kSampledRun, block.columns);
    const uint8_t* symbols = block.symbols + row * block.row_stride;
    for (size_t c = begin; c < end; ++c) ++counts[c % 4][symbols[c]];
  }
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    counts[0][symbol] += counts[1][symbol] + counts[2][symbol] + counts[3][symbol];
  }
  return counts[0];
}

WindowChoice choose_window(const SymbolCounts& counts, unsigned symbol_bits, unsigned least_bits) {
  std::array<uint32_t, 257> below{};
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    below[symbol + 1] = below[symbol] + counts[symbol];
  }
  const double total = below[256];
  const size_t symbols = size_t{1} << symbol_bits;
  Window best = {static_cast<uint8_t>(symbol_bits), 0};
  double least_cost = symbol_bits;
  for (unsigned bits = std::max(1u, least_bits); bits < symbol_bits; ++bits) {
    const size_t width = size_t{1} << bits;
    uint32_t most = 0;
    size_t best_low = 0;
    for (size_t low = 0; low + width <= symbols; ++low) {
      const uint32_t inside = below[low + width] - below[low];
      if (inside > most) {
        most = inside;
        best_low = low;
      }
    }
    const double outside = (total - most) / total;
    if (outside > kMostExceptions) continue;
    const double cost = bits + outside * kExceptionBits;
    if (cost < least_cost) {
      least_cost = cost;
      best = {static_cast<uint8_t>(bits), static_cast<uint8_t>(best_low)};
    }
  }
  return {best, least_cost};
}

}  // namespace entrofleet
