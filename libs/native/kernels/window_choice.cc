#include "kernels/window_choice.h"

#include <algorithm>

namespace entrofleet {
namespace {

// An entry of a list takes 0.65 ns, measured with two cores at 21 GB/s each (6 ps a bit) on a model
// that memory has to deliver.
constexpr double kEntryBits = 16;
constexpr double kEntryWork = 108;
// Memory and arithmetic overlap, but not all of the shorter one.
constexpr double kNotHidden = 0.25;

constexpr size_t kSampledRun = 32;
constexpr size_t kSampledRuns = 128;

}  // namespace

double WeightCost::total() const {
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

WindowChoice choose_window(const SymbolCounts& counts, const WindowLimits& limits) {
  std::array<uint32_t, 257> below{};
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    below[symbol + 1] = below[symbol] + counts[symbol];
  }
  const double total = below[256];
  const size_t symbols = size_t{1} << limits.symbol_bits;
  WindowChoice best = {{static_cast<uint8_t>(limits.symbol_bits), 0},
                       WeightCost{static_cast<double>(limits.symbol_bits), kWindowWork}.total()};
  for (unsigned bits = std::max(1u, limits.least_bits); bits < limits.symbol_bits; ++bits) {
    Window window = {static_cast<uint8_t>(bits), 0, limits.escapes};
    const size_t width = window_width(window);
    uint32_t most = 0;
    for (size_t low = 0; low + width <= symbols; ++low) {
      const uint32_t inside = below[low + width] - below[low];
      if (inside <= most) continue;
      most = inside;
      window.low = static_cast<uint8_t>(low);
    }
    const double outside = (total - most) / total;
    const WeightCost cost =
        limits.escapes
            ? WeightCost{bits + kLiteralBits * outside, kEscapeWork}
            : WeightCost{bits + kEntryBits * outside, kWindowWork + kEntryWork * outside};
    if (cost.total() < best.cost) best = {window, cost.total()};
  }
  return best;
}

}  // namespace entrofleet
