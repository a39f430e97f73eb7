// Holds the kernels of every instruction set of this machine against the portable ones:
// `make test-native`, or `make test-arm` for those of NEON.
#include <cstdio>
#include <cstdlib>

#include "kernels/cpu.h"
#include "test/differential.h"

namespace {

using entrofleet::codec_kernels;
using entrofleet::CodecKernels;
using entrofleet::engine_kernels;
using entrofleet::EngineKernels;
using entrofleet::Isa;
using entrofleet::test::Random;

template <typename Kernels>
struct Comparison {
  const char* name;
  void (*run)(const Kernels&, const Kernels&, Random&);
};

constexpr Comparison<CodecKernels> kCodecComparisons[] = {
    {"weights", entrofleet::test::compare_weights},
    {"bytes", entrofleet::test::compare_bytes},
    {"huffman", entrofleet::test::compare_huffman},
    {"lanes", entrofleet::test::compare_lanes},
    {"lane segments", entrofleet::test::compare_lane_segments},
    {"SHA-256", entrofleet::test::compare_sha256},
};

constexpr Comparison<EngineKernels> kEngineComparisons[] = {
    {"float products", entrofleet::test::compare_float_products},
    {"attention", entrofleet::test::compare_attention},
    {"elementwise", entrofleet::test::compare_elementwise},
    {"activations", entrofleet::test::compare_activations},
    {"window groups", entrofleet::test::compare_window_groups},
    {"coded groups", entrofleet::test::compare_coded_groups},
    {"window products", entrofleet::test::compare_window_products},
    {"window matrices", entrofleet::test::compare_window_matrices},
    {"symbol products", entrofleet::test::compare_symbol_products},
};

// False, and says which round, at the first difference.
template <typename Kernels>
bool holds(Isa isa, const Comparison<Kernels>& comparison, const Kernels& (*kernels)(Isa),
           unsigned long rounds) {
  for (unsigned long round = 0; round < rounds; ++round) {
    Random random(round);
    try {
      comparison.run(kernels(Isa::kPortable), kernels(isa), random);
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
    for (const auto& comparison : kCodecComparisons) {
      all_hold = holds(isa, comparison, codec_kernels, rounds) && all_hold;
    }
    for (const auto& comparison : kEngineComparisons) {
      all_hold = holds(isa, comparison, engine_kernels, rounds) && all_hold;
    }
  }
  return all_hold ? EXIT_SUCCESS : EXIT_FAILURE;
}
