#include <arm_neon.h>

#include "kernels/engine_kernels.h"

#define ENTROFLEET_ISA neon
#define ENTROFLEET_LANES_NEON
#include "kernels/engine_kernels.body.h"
