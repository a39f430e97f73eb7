// The one dispatch point: which instruction set the kernels may use on this machine.
#pragma once

#include <string>
#include <vector>

namespace entrofleet {

// Ordered: on x86 a machine that has kAvx512 also has kAvx2. kPortable runs everywhere.
enum class Isa { kPortable, kNeon, kAvx2, kAvx512 };

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
