#include "kernels/calibration_kernels.h"

#define ENTROFLEET_ISA avx512
#include "kernels/calibration_kernels.body.h"
