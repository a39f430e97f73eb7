// SHA-256 (FIPS 180-4) of memory, with the instructions for it where the machine has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace entrofleet {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest sha256(std::span<const uint8_t> bytes);

// Both digests. Rounds of one hash wait for each other, so two at a time take hardly longer than
// one: what the second has ready fills the first one's waits.
std::array<Sha256Digest, 2> sha256_pair(std::span<const uint8_t> first,
                                        std::span<const uint8_t> second);

// Hash state and blocks of one or two messages; each advances by the same number of blocks.
struct Sha256Kernels {
  using Advance = void (*)(uint32_t (*states)[8], const uint8_t* const* messages, size_t blocks);
  Advance one;
  Advance two;
};

// With the machine's instructions, or portable ones when it has none or `portable` asks for them.
const Sha256Kernels& sha256_kernels(bool portable);

Sha256Digest sha256_with(const Sha256Kernels& kernels, std::span<const uint8_t> bytes);
std::array<Sha256Digest, 2> sha256_pair_with(const Sha256Kernels& kernels,
                                             std::span<const uint8_t> first,
                                             std::span<const uint8_t> second);

}  // namespace entrofleet
