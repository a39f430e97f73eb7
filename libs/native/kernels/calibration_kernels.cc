#include "kernels/calibration_kernels.h"

#define ENTROFLEET_ISA portable
#include "kernels/calibration_kernels.body.h"

namespace entrofleet {

#if defined(__x86_64__)
namespace avx2 {
extern const CalibrationKernels kCalibrationKernels;
}
namespace avx512 {
extern const CalibrationKernels kCalibrationKernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const CalibrationKernels kCalibrationKernels;
}
#endif

const CalibrationKernels& calibration_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512::kCalibrationKernels;
  if (isa == Isa::kAvx2) return avx2::kCalibrationKernels;
#elif defined(__aarch64__)
  if (isa == Isa::kNeon || isa == Isa::kNeonDot) return neon::kCalibrationKernels;
#endif
  static_cast<void>(isa);
  return portable::kCalibrationKernels;
}

}  // namespace entrofleet
