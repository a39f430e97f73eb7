#include "kernels/cpu.h"

#include <atomic>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace entrofleet {
namespace {

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vbmi") &&
                      __builtin_cpu_supports("avx512vbmi2") &&
                      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("gfni");
  if (avx2 && avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
  return Isa::kPortable;
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 ? Isa::kNeonDot : Isa::kNeon;
#else
  return Isa::kPortable;
#endif
}

std::atomic<Isa>& active() {
  static std::atomic<Isa> isa{best_isa()};
  return isa;
}

bool machine_has(Isa isa) {
  if (isa == Isa::kPortable || isa == best_isa()) return true;
  return (isa == Isa::kAvx2 && best_isa() == Isa::kAvx512) ||
         (isa == Isa::kNeon && best_isa() == Isa::kNeonDot);
}

}  // namespace

Isa best_isa() {
  static const Isa isa = detect();
  return isa;
}

Isa active_isa() { return active().load(std::memory_order_relaxed); }

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonDot:
      return "neon-dot";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "portable";
}

bool force_isa(const std::string& name) {
  for (const Isa isa : kAllIsas) {
    if (name == isa_name(isa) && machine_has(isa)) {
      active().store(isa);
      return true;
    }
  }
  return false;
}

std::vector<std::string> cpu_features() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
#define ENTROFLEET_FEATURE(name) \
  if (__builtin_cpu_supports(name)) found.emplace_back(name);
  ENTROFLEET_FEATURE("avx2")
  ENTROFLEET_FEATURE("fma")
  ENTROFLEET_FEATURE("bmi2")
  ENTROFLEET_FEATURE("avx512f")
  ENTROFLEET_FEATURE("avx512bw")
  ENTROFLEET_FEATURE("avx512vbmi2")
  ENTROFLEET_FEATURE("avx512vnni")
#undef ENTROFLEET_FEATURE
#elif defined(__aarch64__)
  found.emplace_back("neon");
  const unsigned long capabilities = getauxval(AT_HWCAP);
  if (capabilities & HWCAP_ASIMDDP) found.emplace_back("dotprod");
  if (capabilities & HWCAP_FPHP) found.emplace_back("fp16");
#endif
  return found;
}

}  // namespace entrofleet
