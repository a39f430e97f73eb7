#include <immintrin.h>

#include "kernels/engine_kernels.h"

#define ENTROFLEET_ISA avx2
#define ENTROFLEET_LANES_AVX2
#include "kernels/engine_kernels.body.h"
