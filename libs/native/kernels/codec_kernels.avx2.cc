#include <immintrin.h>

#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA avx2
#define ENTROFLEET_DECODE_LANES "kernels/codec_lanes_decode_avx2.body.h"
#define ENTROFLEET_ENCODE_LANES "kernels/codec_lanes_encode_avx2.body.h"
#include "kernels/codec_kernels.body.h"
