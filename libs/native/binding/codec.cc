// CodecBinding of src/codec.types.ts. Arguments are read on the JavaScript thread; the work runs on
// Node's pool.
#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "binding/codec_arguments.h"
#include "binding/codec_call.h"
#include "binding/parts.h"
#include "kernels/codec_row_quantizer.h"
#include "kernels/codec_segments.h"

namespace entrofleet {
namespace {

constexpr size_t kMostStepFactors = 64;
constexpr uint64_t kMostInteger = (uint64_t{1} << 53) - 1;

Napi::Float64Array counts_array(Napi::Env env, std::span<const Histogram> histograms) {
  Napi::Float64Array array = Napi::Float64Array::New(env, 256 * histograms.size());
  double* next = array.Data();
  for (const Histogram& histogram : histograms) {
    for (const uint64_t count : histogram) *next++ = static_cast<double>(count);
  }
  return array;
}

Napi::Value quantize_affine_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "quantizeAffine");
    const RawWeights weights = arguments.weights();
    const int bits = static_cast<int>(arguments.integer("bits", 4, 8));
    if (bits != 4 && bits != 8) arguments.refuse("bits", "8 or 4");
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] { return quantize_affine(weights, bits, threads); },
        quantized_value);
  });
}

Napi::Value quantize_rows_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "quantizeRows");
    const RawMatrix matrix = arguments.matrix();
    const std::vector<RowBlock> blocks = arguments.row_blocks(matrix.rows);
    const std::span<const float> spreads = arguments.spreads(matrix.rows);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] { return quantize_rows(matrix, {blocks, spreads}, threads); },
        quantized_value);
  });
}

Napi::Value curve_value(Napi::Env env, RateCurve& curve) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("histograms", counts_array(env, curve.histograms));
  Napi::Float64Array noise = Napi::Float64Array::New(env, curve.noise_powers.size());
  std::copy(curve.noise_powers.begin(), curve.noise_powers.end(), noise.Data());
  value.Set("noisePowers", noise);
  value.Set("signalPower", curve.signal_power);
  value.Set("rms", curve.rms);
  return value;
}

Napi::Value rate_curve_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "rateCurve");
    const RawMatrix matrix = arguments.matrix();
    const std::vector<double> factors = arguments.positives("stepFactors", kMostStepFactors);
    const bool shared = arguments.flag("shared");
    const std::span<const float> spreads = arguments.spreads(matrix.rows);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] { return rate_curve(matrix, {factors, shared, spreads}, threads); },
        curve_value);
  });
}

Napi::Value encode_huffman_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "encodeHuffman");
    const std::span<uint8_t> symbols = arguments.bytes("symbols");
    const size_t segment_symbols =
        static_cast<size_t>(arguments.integer("segmentSymbols", 1, kMostSegmentSymbols));
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] { return encode_huffman(symbols.data(), symbols.size(), segment_symbols, threads); },
        [](Napi::Env env, CodedSymbols& coded) -> Napi::Value {
          Napi::Object value = Napi::Object::New(env);
          value.Set("payload", hand_over<uint8_t, Napi::Uint8Array>(env, coded.payload));
          Napi::Uint32Array sizes = Napi::Uint32Array::New(env, coded.segment_sizes.size());
          std::copy(coded.segment_sizes.begin(), coded.segment_sizes.end(), sizes.Data());
          value.Set("segmentSizes", sizes);
          Napi::Uint8Array lengths = Napi::Uint8Array::New(env, coded.code_lengths.size());
          std::copy(coded.code_lengths.begin(), coded.code_lengths.end(), lengths.Data());
          value.Set("codeLengths", lengths);
          return value;
        });
  });
}

Napi::Value decode_huffman_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "decodeHuffman");
    const std::span<uint8_t> payload = arguments.bytes("payload");
    const std::span<uint8_t> output = arguments.bytes("output");
    auto input = std::make_shared<CodedInput>();
    input->payload = payload.data();
    input->payload_bytes = payload.size();
    input->segment_sizes = arguments.words("segmentSizes");
    input->segment_symbols =
        static_cast<size_t>(arguments.integer("segmentSymbols", 1, kMostSegmentSymbols));
    input->symbol_count = static_cast<size_t>(arguments.integer("symbolCount", 0, kMostInteger));
    input->code_lengths = arguments.code_lengths("codeLengths");
    if (output.size() != input->symbol_count) {
      arguments.refuse("output", std::to_string(input->symbol_count) +
                                     " bytes (symbolCount), not " + std::to_string(output.size()));
    }
    const size_t threads = arguments.threads();
    const uint64_t seed = arguments.integer("seed", 0, kMostInteger);
    return run(
        env, arguments.buffers(),
        [=] {
          const auto begin = std::chrono::steady_clock::now();
          decode_huffman(*input, output.data(), threads, seed);
          const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
          return elapsed.count();
        },
        [](Napi::Env env, double& seconds) -> Napi::Value {
          return Napi::Number::New(env, seconds);
        });
  });
}

Napi::Value to_float32_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "toFloat32");
    const RawWeights weights = arguments.weights();
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] { return to_float32(weights, threads); },
        [](Napi::Env env, OwnedArray<float>& floats) -> Napi::Value {
          return hand_over<float, Napi::Float32Array>(env, floats);
        });
  });
}

}  // namespace

Napi::Value quantized_value(Napi::Env env, QuantizedWeights& weights) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("symbols", hand_over<uint8_t, Napi::Uint8Array>(env, weights.symbols));
  value.Set("histogram", counts_array(env, {&weights.histogram, 1}));
  value.Set("zeroPoint", weights.zero_point);
  value.Set("steps", hand_over<float, Napi::Float32Array>(env, weights.steps));
  value.Set("entropyBitsPerWeight", weights.entropy_bits);
  value.Set("signalPower", weights.signal_power);
  value.Set("noisePower", weights.noise_power);
  return value;
}

void add_codec(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("quantizeAffine", quantize_affine_call);
  add("quantizeRows", quantize_rows_call);
  add("rateCurve", rate_curve_call);
  add("encodeHuffman", encode_huffman_call);
  add("decodeHuffman", decode_huffman_call);
  add("toFloat32", to_float32_call);
}

}  // namespace entrofleet
