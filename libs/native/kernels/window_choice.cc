#include "kernels/window_choice.h"

#include <algorithm>

namespace entrofleet {
namespace {

// Measured with two cores at 21 GB/s each (6 ps a bit) on a model that memory has to deliver: an
// exception takes 0.65 ns, as long as reading 108 bits.
constexpr double kEntryBits = 16;
constexpr double kExceptionWork = 108;
// Memory and arithmetic overlap, but not all of the shorter one.
constexpr double kNotHidden = 0.25;

constexpr size_t kSampledRun = 32;
constexpr size_t kSampledRuns = 128;

}  // namespace

double cost_of(const DenseCost& dense, double exception_share) {
  const double memory = dense.bits + kEntryBits * exception_share;
  const double work = dense.work + kExceptionWork * exception_share;
  return std::max(memory, work) + kNotHidden * std::min(memory, work);
}

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
  double least_cost = cost_of({static_cast<double>(symbol_bits), kWindowWork}, 0);
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
    const double cost = cost_of({static_cast<double>(bits), kWindowWork}, (total - most) / total);
    if (cost < least_cost) {
      least_cost = cost;
      best = {static_cast<uint8_t>(bits), static_cast<uint8_t>(best_low)};
    }
  }
  return {best, least_cost};
}

}  // namespace entrofleet
