#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA avx512
#include "kernels/codec_kernels.body.h"
