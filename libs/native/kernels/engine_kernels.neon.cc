#include <arm_neon.h>

#include "kernels/engine_kernels.h"

#define ENTROFLEET_ISA neon
#define ENTROFLEET_LANES_NEON
#define ENTROFLEET_WINDOW_TILES "kernels/window_sums_neon.body.h"
#include "kernels/engine_kernels.body.h"
