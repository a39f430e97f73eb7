// Symbols of several tensors as they stand in memory before coding: the input of every codec here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace entrofleet::bench {

struct SymbolSet {
  // 8: a symbol per byte. 4: nibble pairs, the first symbol in the low nibble.
  int bits = 8;
  std::vector<size_t> tensor_bytes;
  // All tensors, one after the other.
  std::vector<uint8_t> bytes;

  std::span<const uint8_t> tensor(size_t index) const;

  // Order-0 entropy of the symbols (nibbles for 4 bits) of each tensor by itself, averaged over all
  // symbols, in bits per symbol: what no code with a table per tensor can beat.
  double entropy_bits() const;

  // The tensors `copies` times over, so that a small model fills more than the caches.
  SymbolSet repeated(size_t copies) const;
};

// A file is little-endian 64-bit words (bits, number of tensors, bytes of each), then the bytes.
// Both throw std::runtime_error that names the file.
SymbolSet read_symbols(const std::string& path);
void write_symbols(const SymbolSet& set, const std::string& path);

}  // namespace entrofleet::bench
