// Which window a group of rows gets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/engine_kernels.h"

namespace entrofleet {

// Costs of a weight, in bits of memory that a core reads meanwhile.
struct DenseCost {
  double bits;  // read
  double work;  // the arithmetic's time
};

// A window is a 38th of an exception's work; an index looked up half as much again.
constexpr double kWindowWork = 1.2;
constexpr double kCodeWork = 1.8;

// What a weight takes, of which a share of exceptions.
double cost_of(const DenseCost& dense, double exception_share);

using SymbolCounts = std::array<uint32_t, 256>;

// Counts a fixed sample of the block's symbols, or all of a small block's.
SymbolCounts sample_symbols(const SymbolBlock& block);

struct WindowChoice {
  Window window;
  double cost;  // of a weight, see cost_of()
};

// The cheapest window of at least `least_bits` for symbols so distributed; all symbol_bits wide
// (without exceptions) where no narrower one pays.
WindowChoice choose_window(const SymbolCounts& counts, unsigned symbol_bits, unsigned least_bits);

}  // namespace entrofleet
