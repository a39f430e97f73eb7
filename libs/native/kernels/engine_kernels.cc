#include "kernels/engine_kernels.h"

#define ENTROFLEET_ISA portable
#include "kernels/engine_kernels.body.h"

namespace entrofleet {

#if defined(__x86_64__)
namespace avx2 {
extern const EngineKernels kEngineKernels;
}
namespace avx512 {
extern const EngineKernels kEngineKernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const EngineKernels kEngineKernels;
}
namespace neondot {
extern const EngineKernels kEngineKernels;
}
#endif

const EngineKernels& engine_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512::kEngineKernels;
  if (isa == Isa::kAvx2) return avx2::kEngineKernels;
#elif defined(__aarch64__)
  if (isa == Isa::kNeonDot) return neondot::kEngineKernels;
  if (isa == Isa::kNeon) return neon::kEngineKernels;
#endif
  static_cast<void>(isa);
  return portable::kEngineKernels;
}

}  // namespace entrofleet
