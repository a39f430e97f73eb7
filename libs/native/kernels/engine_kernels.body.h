// Compiles the bodies for the instruction set whose file includes this. ENTROFLEET_ISA names the
// namespace, ENTROFLEET_LANES_<ISA> the vector type.

namespace entrofleet {
namespace ENTROFLEET_ISA {
namespace {

#include "kernels/half_floats.body.h"

#include "kernels/lanes.h"

#include "kernels/exponential.body.h"

#include "kernels/matrix_product.body.h"

#include "kernels/attention.body.h"

#include "kernels/elementwise.body.h"

}  // namespace

extern const EngineKernels kEngineKernels;
const EngineKernels kEngineKernels = {multiply, read_row, attend, normalize, gate_by, sum, log_sum_exp};

}  // namespace ENTROFLEET_ISA
}  // namespace entrofleet
