// Compiles the codec's inner loops for the instruction set whose file includes this; ENTROFLEET_ISA
// names the namespace. Everything is in an unnamed namespace and calls no inline function of a
// header, so that the linker cannot keep one file's copy for another (see lanes.h).
//
// The lanes' kernels differ too much between instruction sets for one text. A file may name its own
// in ENTROFLEET_DECODE_LANES and ENTROFLEET_ENCODE_LANES; else they are the portable ones. Where it
// has no stream_lanes, decode_lanes serves.

#ifndef ENTROFLEET_DECODE_LANES
#define ENTROFLEET_DECODE_LANES "kernels/codec_lanes_decode.body.h"
#endif
#ifndef ENTROFLEET_ENCODE_LANES
#define ENTROFLEET_ENCODE_LANES "kernels/codec_lanes_encode.body.h"
#endif
#ifndef ENTROFLEET_STREAM_LANES
#define ENTROFLEET_STREAM_LANES decode_lanes
#endif

namespace entrofleet {
namespace ENTROFLEET_ISA {
namespace {

#include "kernels/codec_convert.body.h"

#include "kernels/codec_quantize.body.h"

#include "kernels/codec_huffman.body.h"

#include ENTROFLEET_DECODE_LANES

#include ENTROFLEET_ENCODE_LANES

}  // namespace

extern const CodecKernels kCodecKernels;
const CodecKernels kCodecKernels = {
    convert,       measure,        quantize,     quantize_to_fit,         count_bytes, pack_nibbles,
    coded_bits,    encode_stream,  decode_segment,
    decode_lanes,  ENTROFLEET_STREAM_LANES,      encode_lanes};

}  // namespace ENTROFLEET_ISA
}  // namespace entrofleet
