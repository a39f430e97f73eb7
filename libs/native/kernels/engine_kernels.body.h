// Compiles the bodies for the instruction set whose file includes this. ENTROFLEET_ISA names the
// namespace, ENTROFLEET_LANES_<ISA> the vector type. Products with windows differ too much between
// instruction sets for one text: a file may name its own in ENTROFLEET_WINDOW_TILES, and those with
// escapes in ENTROFLEET_WINDOW_ESCAPES.

#ifndef ENTROFLEET_WINDOW_TILES
#define ENTROFLEET_WINDOW_TILES "kernels/window_tiles.body.h"
#endif
#ifndef ENTROFLEET_WINDOW_ESCAPES
#define ENTROFLEET_WINDOW_ESCAPES "kernels/window_escapes.body.h"
#endif

namespace entrofleet {
namespace ENTROFLEET_ISA {
namespace {

#include "kernels/half_floats.body.h"

#include "kernels/lanes.h"

#include "kernels/exponential.body.h"

#include "kernels/matrix_product.body.h"

#include "kernels/elementwise.body.h"

#include "kernels/attention.body.h"

#include "kernels/activations.body.h"

#include "kernels/window_ahead.body.h"

#include "kernels/window_exceptions.body.h"

#include ENTROFLEET_WINDOW_TILES

#include "kernels/window_literals.body.h"

#include "kernels/window_code_index.body.h"

#include ENTROFLEET_WINDOW_ESCAPES

#include "kernels/window_pack.body.h"

#include "kernels/window_code_pack.body.h"

#include "kernels/window_product.body.h"

#include "kernels/nibbles.body.h"

#include "kernels/symbol_product.body.h"

}  // namespace

extern const EngineKernels kEngineKernels;
const EngineKernels kEngineKernels = {
    multiply,         read_row,
    attend,           merge_attention,
    store_key_value,  normalize,
    gate_by,          log_sum_exp,
    quantize_activations, multiply_windows,
    multiply_symbol_rows, pack_group,
    pack_coded_group, kHasFastEscapes,
    unpack_row};

}  // namespace ENTROFLEET_ISA
}  // namespace entrofleet
