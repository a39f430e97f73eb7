// Which window a group of rows gets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/engine_kernels.h"

namespace entrofleet {

// What an exception costs beside a bit of a window: its entry's 16 bits and, for its part of a
// core's time, twice as many more. (Measured on Zen 5: 0.8 ns, in which a core that shares 42 GB/s
// with another reads 130 bits; but as long as a product waits for memory that time is free.)
constexpr double kExceptionBits = 48;
// More exceptions than this are slower than a wider window, whatever their bits.
constexpr double kMostExceptions = 0.03;
// More bits per symbol than any form costs.
constexpr double kNeverPays = 16;

using SymbolCounts = std::array<uint32_t, 256>;

// Counts a fixed sample of the block's symbols, or all of a small block's.
SymbolCounts sample_symbols(const SymbolBlock& block);

struct WindowChoice {
  Window window;
  double cost;  // bits per symbol, time included
};

// The cheapest window of at least `least_bits` for symbols so distributed; all symbol_bits wide
// (without exceptions) where no narrower one pays.
WindowChoice choose_window(const SymbolCounts& counts, unsigned symbol_bits, unsigned least_bits);

}  // namespace entrofleet
