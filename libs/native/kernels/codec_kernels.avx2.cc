#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA avx2
#include "kernels/codec_kernels.body.h"
