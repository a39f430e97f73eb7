// GCC 12 takes the undefined pass-through operand of its own intrinsics for an uninitialised
// variable.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <immintrin.h>

#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA avx512
#define ENTROFLEET_DECODE_LANES "kernels/codec_lanes_decode_avx512.body.h"
#define ENTROFLEET_STREAM_LANES stream_lanes
#define ENTROFLEET_ENCODE_LANES "kernels/codec_lanes_encode_avx512.body.h"
#include "kernels/codec_kernels.body.h"
