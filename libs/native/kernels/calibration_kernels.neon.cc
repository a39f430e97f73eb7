#include "kernels/calibration_kernels.h"

#define ENTROFLEET_ISA neon
#include "kernels/calibration_kernels.body.h"
