// How fast this machine does what a token is made of, measured in a few tens of milliseconds.
#pragma once

#include <cstddef>

namespace entrofleet {

// All with every thread at work.
struct MachineRates {
  // Bytes of memory that no cache holds.
  double read_bytes_per_second;
  // Symbols decoded from memory into the caches, at 5.6 bits each.
  double lane_symbols_per_second;
  double stream_symbols_per_second;
  // Symbols in the caches times the activations of one position.
  double product_weights_per_second;
};

// Enough memory to read that no cache of the machines this is for holds it.
constexpr size_t kMachineReadBytes = size_t{96} << 20;

// With less memory than that, what caches hold of it counts too. Throws std::bad_alloc or
// std::system_error.
MachineRates measure_machine(int threads, size_t read_bytes = kMachineReadBytes);

}  // namespace entrofleet
