// SHA-256 with the machine's instructions, and of two messages at a time, against the portable one
// and the examples of FIPS 180-4.
#include <algorithm>
#include <string_view>

#include "kernels/sha256.h"
#include "test/differential.h"

namespace entrofleet::test {
namespace {

std::string hexadecimal(const Sha256Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void compare_sha256(const CodecKernels&, const CodecKernels&, Random& random) {
  const Sha256Kernels& portable = sha256_kernels(true);
  const Sha256Kernels& accelerated = sha256_kernels(false);
  require_same(hexadecimal(sha256_with(portable, bytes_of("abc"))) ==
                   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
               "the digest of abc");
  const std::string_view two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  require_same(hexadecimal(sha256_with(portable, bytes_of(two_blocks))) ==
                   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
               "the digest of two blocks");
  const GuardedBytes first(random.bytes(random.below(400)), GuardedBytes::Guard::kAfter);
  const GuardedBytes second(random.bytes(random.below(400)), GuardedBytes::Guard::kAfter);
  const std::span<const uint8_t> a(first.data(), first.size());
  const std::span<const uint8_t> b(second.data(), second.size());
  const Sha256Digest expected_a = sha256_with(portable, a);
  const Sha256Digest expected_b = sha256_with(portable, b);
  require_same(sha256_with(accelerated, a) == expected_a, "a digest");
  for (const Sha256Kernels* kernels : {&portable, &accelerated}) {
    const std::array<Sha256Digest, 2> both = sha256_pair_with(*kernels, a, b);
    require_same(both[0] == expected_a && both[1] == expected_b, "a digest of a pair");
  }
}

}  // namespace entrofleet::test
