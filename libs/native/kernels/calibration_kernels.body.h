// Compiles the inner loops of calibration for the instruction set whose file includes this;
// ENTROFLEET_ISA names the namespace.

namespace entrofleet {
namespace ENTROFLEET_ISA {
namespace {

#include "kernels/calibration_products.body.h"

}  // namespace

extern const CalibrationKernels kCalibrationKernels;
const CalibrationKernels kCalibrationKernels = {add_products, add_products_double};

}  // namespace ENTROFLEET_ISA
}  // namespace entrofleet
