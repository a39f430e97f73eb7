#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA portable
#include "kernels/codec_kernels.body.h"

namespace entrofleet {

#if defined(__x86_64__)
namespace avx2 {
extern const CodecKernels kCodecKernels;
}
namespace avx512 {
extern const CodecKernels kCodecKernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const CodecKernels kCodecKernels;
}
#endif

const CodecKernels& codec_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512::kCodecKernels;
  if (isa == Isa::kAvx2) return avx2::kCodecKernels;
#elif defined(__aarch64__)
  if (isa == Isa::kNeon || isa == Isa::kNeonDot) return neon::kCodecKernels;
#endif
  static_cast<void>(isa);
  return portable::kCodecKernels;
}

}  // namespace entrofleet
