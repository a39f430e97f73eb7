// Which window a group of rows gets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/engine_kernels.h"

namespace entrofleet {

// What a weight takes, in bits of memory that a core reads in the time.
struct WeightCost {
  double memory;
  double work;  // arithmetic

  double total() const;
};

// The arithmetic of a weight, measured in the cache at 4.5 ps a bit: where memory is as fast as
// that, arithmetic begins to bound products. Of plain and listed windows, of windows with escapes,
// and of tuples, those of four by index bits from kLeastIndexBits on.
constexpr double kWindowWork = 1.4;
constexpr double kEscapeWork = 2.6;
constexpr double kPairWork = 3.0;
constexpr double kFourWork[] = {1.75, 1.75, 2.0, 1.85};
constexpr unsigned kLeastIndexBits = 5;
constexpr unsigned kMostIndexBits = 8;

// An escape's literal, and a tuple that is written behind the literals.
constexpr double kLiteralBits = 8;
constexpr double kWrittenBits = 16;
constexpr double kLiteralWork = 9;

using SymbolCounts = std::array<uint32_t, 256>;

// Counts a fixed sample of the block's symbols, or all of a small block's.
SymbolCounts sample_symbols(const SymbolBlock& block);

struct WindowChoice {
  Window window;
  double cost;  // of a weight, in total
};

struct WindowLimits {
  unsigned symbol_bits;
  unsigned least_bits;
  bool escapes;  // or else lists
};

// The cheapest window for symbols so distributed; all symbol_bits wide, so that it holds every
// symbol, where no narrower one pays.
WindowChoice choose_window(const SymbolCounts& counts, const WindowLimits& limits);

}  // namespace entrofleet
