#include <immintrin.h>

#include "kernels/engine_kernels.h"

#define ENTROFLEET_ISA avx2
#define ENTROFLEET_LANES_AVX2
#define ENTROFLEET_WINDOW_TILES "kernels/window_tiles_avx2.body.h"
#include "kernels/engine_kernels.body.h"
