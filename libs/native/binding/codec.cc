// CodecBinding of src/codec.types.ts. Arguments are read on the JavaScript thread; the work runs on
// Node's pool.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "binding/codec_arguments.h"
#include "binding/codec_call.h"
#include "binding/parts.h"
#include "kernels/codec_residuals.h"
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

template <typename Array, typename Elements>
Array copied(Napi::Env env, const Elements& elements) {
  Array array = Array::New(env, elements.size());
  std::copy(elements.begin(), elements.end(), array.Data());
  return array;
}

template <typename Coded>
Napi::Object segments_value(Napi::Env env, Coded& coded) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("payload", hand_over<uint8_t, Napi::Uint8Array>(env, coded.payload));
  value.Set("segmentSizes", copied<Napi::Uint32Array>(env, coded.segment_sizes));
  return value;
}

size_t segment_symbols_of(const CodecArguments& arguments) {
  return static_cast<size_t>(arguments.integer("segmentSymbols", 1, kMostSegmentSymbols));
}

Napi::Value count_symbols_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "countSymbols");
    const std::span<uint8_t> symbols = arguments.bytes("symbols");
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] { return count_symbols(symbols.data(), symbols.size(), threads); },
        [](Napi::Env env, Histogram& counts) -> Napi::Value {
          return counts_array(env, {&counts, 1});
        });
  });
}

// The one call that does its work at once: it takes microseconds.
Napi::Value huffman_code_lengths_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    CodecArguments arguments(info, "huffmanCodeLengths");
    const CodeLengths lengths = optimal_code_lengths(arguments.histogram("histogram"));
    return copied<Napi::Uint8Array>(env, lengths);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_error(env, current_codec_failure());
  }
}

Napi::Value encode_huffman_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "encodeHuffman");
    const std::span<uint8_t> symbols = arguments.bytes("symbols");
    const size_t segment_symbols = segment_symbols_of(arguments);
    const size_t threads = arguments.threads();
    std::optional<CodeLengths> given;
    if (arguments.has("codeLengths")) given = arguments.code_lengths("codeLengths");
    return run(
        env, arguments.buffers(),
        [=] {
          return encode_huffman(symbols.data(), symbols.size(), segment_symbols, threads, given);
        },
        [](Napi::Env env, CodedSymbols& coded) -> Napi::Value {
          Napi::Object value = segments_value(env, coded);
          value.Set("codeLengths", copied<Napi::Uint8Array>(env, coded.code_lengths));
          return value;
        });
  });
}

Napi::Value encode_lanes_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "encodeLanes");
    const std::span<uint8_t> symbols = arguments.bytes("symbols");
    const size_t segment_symbols = segment_symbols_of(arguments);
    const size_t threads = arguments.threads();
    std::optional<std::vector<uint8_t>> given;
    if (arguments.has("code")) {
      const std::span<uint8_t> code = arguments.bytes("code");
      given.emplace(code.begin(), code.end());
    }
    return run(
        env, arguments.buffers(),
        [=] {
          return encode_lanes(symbols.data(), symbols.size(), segment_symbols, threads, given);
        },
        [](Napi::Env env, LaneCodedSymbols& coded) -> Napi::Value {
          Napi::Object value = segments_value(env, coded);
          value.Set("code", copied<Napi::Uint8Array>(env, coded.code));
          return value;
        });
  });
}

// All fields of a decode call but its code.
struct DecodeCall {
  SegmentedPayload segments;
  std::span<uint8_t> output;
  size_t threads;
  uint64_t seed;
  SegmentWatch watch;

  explicit DecodeCall(CodecArguments& arguments) {
    const std::span<uint8_t> payload = arguments.bytes("payload");
    segments.payload = payload.data();
    segments.payload_bytes = payload.size();
    segments.segment_sizes = arguments.words("segmentSizes");
    segments.segment_symbols = segment_symbols_of(arguments);
    segments.symbol_count = static_cast<size_t>(arguments.integer("symbolCount", 0, kMostInteger));
    output = arguments.bytes("output");
    if (output.size() != segments.symbol_count) {
      arguments.refuse("output", std::to_string(segments.symbol_count) +
                                     " bytes (symbolCount), not " + std::to_string(output.size()));
    }
    threads = arguments.threads();
    seed = arguments.has("seed") ? arguments.integer("seed", 0, kMostInteger) : 0;
    watch = arguments.watch();
  }
};

// Resolves to the seconds that `decode(input, output, threads, seed, watch)` took.
template <typename Input, typename Decode>
Napi::Value run_decode(Napi::Env env, const CodecArguments& arguments, const DecodeCall& call,
                       std::shared_ptr<Input> input, Decode decode) {
  return run(
      env, arguments.buffers(),
      [=] {
        const auto begin = std::chrono::steady_clock::now();
        decode(*input, call.output.data(), call.threads, call.seed, call.watch);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
        return elapsed.count();
      },
      [](Napi::Env env, double& seconds) -> Napi::Value {
        return Napi::Number::New(env, seconds);
      });
}

Napi::Value decode_huffman_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "decodeHuffman");
    const DecodeCall call(arguments);
    auto input = std::make_shared<CodedInput>(
        CodedInput{call.segments, arguments.code_lengths("codeLengths")});
    return run_decode(env, arguments, call, std::move(input), decode_huffman);
  });
}

Napi::Value decode_lanes_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "decodeLanes");
    const DecodeCall call(arguments);
    const std::span<uint8_t> code = arguments.bytes("code");
    auto input = std::make_shared<LaneCodedInput>(
        LaneCodedInput{call.segments, {code.begin(), code.end()}});
    return run_decode(env, arguments, call, std::move(input), decode_lanes);
  });
}

// All fields of a residual call but what is coded. The ratios are a copy, so that no one changes
// them after they were checked.
struct ResidualCall {
  ResidualBlock block;
  std::vector<int32_t> ratios;
  size_t symbols;

  explicit ResidualCall(CodecArguments& arguments) {
    constexpr uint64_t kMostColumns = uint64_t{1} << 35;
    ResidualGrids& grids = block.grids;
    grids.bits = static_cast<int>(arguments.integer("bits", 4, 8));
    if (grids.bits != 4 && grids.bits != 8) arguments.refuse("bits", "8 or 4");
    const uint64_t most_level = (1u << grids.bits) - 1;
    grids.base_zero = static_cast<int>(arguments.integer("baseZeroPoint", 0, most_level));
    grids.target_zero = static_cast<int>(arguments.integer("targetZeroPoint", 0, most_level));
    grids.columns = static_cast<size_t>(arguments.integer("columns", 1, kMostColumns));
    block.first_column = static_cast<size_t>(arguments.integer("firstColumn", 0, grids.columns - 1));
    block.weights = static_cast<size_t>(arguments.integer("weights", 1, kMostResidualWeights));
    symbols = grids.bits == 8 ? block.weights : (block.weights + 1) / 2;
    block.base = symbols_of(arguments, "base").data();
    ratios = arguments.integers("ratios", kMostRatio);
    const size_t rows = residual_rows(grids.columns, block.first_column, block.weights);
    if (ratios.size() != 1 && ratios.size() != rows) {
      arguments.refuse("ratios", "1 or " + std::to_string(rows) + " integers");
    }
  }

  std::span<uint8_t> symbols_of(CodecArguments& arguments, const char* field) const {
    const std::span<uint8_t> bytes = arguments.bytes(field);
    if (bytes.size() != symbols) {
      arguments.refuse(field, std::to_string(symbols) + " bytes, not " + std::to_string(bytes.size()));
    }
    return bytes;
  }

  ResidualBlock with_ratios() const {
    ResidualBlock complete = block;
    complete.grids.ratios = ratios;
    return complete;
  }
};

Napi::Value encode_residuals_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "encodeResiduals");
    const ResidualCall call(arguments);
    const std::span<uint8_t> target = call.symbols_of(arguments, "target");
    return run(
        env, arguments.buffers(),
        [=] { return encode_residuals(call.with_ratios(), target.data()); },
        [](Napi::Env env, std::vector<uint8_t>& coded) -> Napi::Value {
          return copied<Napi::Uint8Array>(env, coded);
        });
  });
}

Napi::Value decode_residuals_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "decodeResiduals");
    const ResidualCall call(arguments);
    const std::span<uint8_t> coded = arguments.bytes("coded");
    return run(
        env, arguments.buffers(),
        [=] {
          OwnedArray<uint8_t> target(call.symbols);
          decode_residuals(call.with_ratios(), coded, target.elements.get());
          return target;
        },
        [](Napi::Env env, OwnedArray<uint8_t>& target) -> Napi::Value {
          return hand_over<uint8_t, Napi::Uint8Array>(env, target);
        });
  });
}

// Fresh memory in whole pages: zero, aligned for any store, and in huge pages where the system has
// them, since touching it for the first time page by page takes longer than decoding into it.
Napi::Value allocate_output_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    CodecArguments arguments(info, "allocateOutput");
    const size_t bytes = static_cast<size_t>(arguments.integer("sizeBytes", 0, kMostInteger));
    if (bytes == 0) return Napi::Uint8Array::New(env, 0);
    void* const memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    madvise(memory, bytes, MADV_HUGEPAGE);
    const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
        env, memory, bytes, [bytes](Napi::Env, void* mapped) { munmap(mapped, bytes); });
    return Napi::Uint8Array::New(env, bytes, buffer, 0);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_error(env, current_codec_failure());
  }
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
  add("countSymbols", count_symbols_call);
  add("huffmanCodeLengths", huffman_code_lengths_call);
  add("encodeHuffman", encode_huffman_call);
  add("decodeHuffman", decode_huffman_call);
  add("encodeLanes", encode_lanes_call);
  add("decodeLanes", decode_lanes_call);
  add("encodeResiduals", encode_residuals_call);
  add("decodeResiduals", decode_residuals_call);
  add("allocateOutput", allocate_output_call);
  add("toFloat32", to_float32_call);
}

}  // namespace entrofleet
