// Order-0 entropy with basic IEEE operations only, so that every machine gets the same bits. The
// same algorithm in TypeScript is libs/codec/src/entropy.ts; the tests compare them bit by bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace entrofleet {

// Bits per symbol; 0 without symbols.
double entropy_bits(const uint64_t* counts, size_t size);

// log2 of a number from 1 up.
double log2_of(double value);

}  // namespace entrofleet
