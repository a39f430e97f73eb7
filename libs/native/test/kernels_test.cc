// Holds the codec's kernels of every instruction set of this machine against the portable ones:
// `make test-native`, or `make test-arm` for those of NEON.
#include <cstdio>
#include <cstdlib>

#include "kernels/cpu.h"
#include "test/differential.h"

namespace {

using entrofleet::codec_kernels;
using entrofleet::Isa;
using entrofleet::test::Random;

struct Comparison {
  const char* name;
  void (*run)(const entrofleet::CodecKernels&, const entrofleet::CodecKernels&, Random&);
};

constexpr Comparison kComparisons[] = {
    {"weights", entrofleet::test::compare_weights},
    {"bytes", entrofleet::test::compare_bytes},
    {"huffman", entrofleet::test::compare_huffman},
    {"lanes", entrofleet::test::compare_lanes},
    {"lane segments", entrofleet::test::compare_lane_segments},
};

// False, and says which round, at the first difference.
bool holds(Isa isa, const Comparison& comparison, unsigned long rounds) {
  for (unsigned long round = 0; round < rounds; ++round) {
    Random random(round);
    try {
      comparison.run(codec_kernels(Isa::kPortable), codec_kernels(isa), random);
    } catch (const entrofleet::test::Difference& difference) {
      std::printf("%s %s: round %lu: %s differs from the portable one\n", entrofleet::isa_name(isa),
                  comparison.name, round, difference.what());
      return false;
    }
  }
  std::printf("%s %s: %lu rounds agree\n", entrofleet::isa_name(isa), comparison.name, rounds);
  return true;
}

}  // namespace

// The first argument is the number of rounds, 300 without one. The portable kernels are compared
// with themselves too: that holds the test itself to round trips.
int main(int count, char** arguments) {
  const unsigned long rounds = count > 1 ? std::strtoul(arguments[1], nullptr, 10) : 300;
  bool all_hold = true;
  for (const Isa isa : entrofleet::kAllIsas) {
    if (!entrofleet::force_isa(entrofleet::isa_name(isa))) continue;
    for (const Comparison& comparison : kComparisons) {
      all_hold = holds(isa, comparison, rounds) && all_hold;
    }
  }
  return all_hold ? EXIT_SUCCESS : EXIT_FAILURE;
}
