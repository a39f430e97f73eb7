// The one dispatch point: which instruction set the kernels may use on this machine.
#pragma once

#include <string>
#include <vector>

namespace entrofleet {

// Ordered: of one processor's family, a machine that has a later one also has the earlier. kNeonDot
// is NEON with dot products of bytes (Armv8.2's dotprod), which a Cortex-A57 lacks. kPortable runs
// everywhere.
enum class Isa { kPortable, kNeon, kNeonDot, kAvx2, kAvx512 };

constexpr Isa kAllIsas[] = {Isa::kPortable, Isa::kNeon, Isa::kNeonDot, Isa::kAvx2, Isa::kAvx512};

// The best instruction set of this machine, detected once.
Isa best_isa();

// What the kernels use now: the best, unless force_isa() has lowered it.
Isa active_isa();

// Lowers (or restores) the instruction set for tests. Returns false, and changes nothing, when the
// machine does not have it or the name is unknown.
bool force_isa(const std::string& name);

const char* isa_name(Isa isa);

// Names of the extensions found, for a device's capabilities.
std::vector<std::string> cpu_features();

}  // namespace entrofleet
