#include "kernels/codec_kernels.h"

#define ENTROFLEET_ISA neon
#include "kernels/codec_kernels.body.h"
