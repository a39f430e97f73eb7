// Which window a group of rows gets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/engine_kernels.h"

namespace entrofleet {

using SymbolCounts = std::array<uint32_t, 256>;

// Counts a fixed sample of the block's symbols, or all of a small block's.
SymbolCounts sample_symbols(const SymbolBlock& block);

// The cheapest window of at least `least_bits` for symbols so distributed; all symbol_bits wide
// (without exceptions) where no narrower one pays.
Window choose_window(const SymbolCounts& counts, unsigned symbol_bits, unsigned least_bits);

}  // namespace entrofleet
