#include "kernels/calibration_kernels.h"

#define ENTROFLEET_ISA avx2
#include "kernels/calibration_kernels.body.h"
