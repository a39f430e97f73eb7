// GCC 12 takes the undefined pass-through operand of its own intrinsics for an uninitialised
// variable.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

#include <immintrin.h>

#include "kernels/engine_kernels.h"

#define ENTROFLEET_ISA avx512
#define ENTROFLEET_LANES_AVX512
#define ENTROFLEET_WINDOW_ESCAPES "kernels/window_escapes_avx512.body.h"
#define ENTROFLEET_WINDOW_TILES "kernels/window_tiles_avx512.body.h"
#include "kernels/engine_kernels.body.h"
