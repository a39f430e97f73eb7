#include <arm_neon.h>

#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA neon
#define ENTROFLEET_DECODE_LANES "kernels/codec_lanes_decode_neon.body.h"
#include "kernels/codec_kernels.body.h"
