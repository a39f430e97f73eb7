// Compiles the codec's inner loops for the instruction set whose file includes this; ENTROFLEET_ISA
// names the namespace. Everything is in an unnamed namespace and calls no inline function of a
// header, so that the linker cannot keep one file's copy for another (see lanes.h).

namespace entrofleet {
namespace ENTROFLEET_ISA {
namespace {

#include "kernels/codec_convert.body.h"

#include "kernels/codec_quantize.body.h"

#include "kernels/codec_huffman.body.h"

}  // namespace

extern const CodecKernels kCodecKernels;
const CodecKernels kCodecKernels = {convert,         measure,     quantize,
                                    quantize_to_fit, count_bytes, pack_nibbles,
                                    coded_bits,      encode_stream, decode_segment};

}  // namespace ENTROFLEET_ISA
}  // namespace entrofleet
