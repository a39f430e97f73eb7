// The codec's Node-API functions. Each checks its arguments on the event loop, computes on libuv's
// pool with a thread team of its own, and settles a promise.
#include <napi.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "binding/parts.h"
#include "kernels/codec_failure.h"
#include "kernels/codec_huffman.h"
#include "kernels/codec_quantize.h"

namespace entrofleet {
namespace {

constexpr double kThreadsMax = 256;
constexpr double kSegmentSymbolsMax = 1 << 24;
constexpr double kElementsMax = static_cast<double>(int64_t{1} << 40);
constexpr uint32_t kStepFactorsMax = 64;

struct Job {
  // Runs on the pool; may throw CodecFailure.
  std::function<void(ThreadTeam&)> run;
  // Runs on the event loop and gives the promise's value.
  std::function<Napi::Value(Napi::Env)> finish;
  // JavaScript arrays that `run` reads or writes.
  std::vector<Napi::ObjectReference> buffers;
  int threads = 1;
};

Napi::Error to_error(Napi::Env env, const CodecFailure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, failure.code));
  return error;
}

class CodecCall : public Napi::AsyncWorker {
 public:
  CodecCall(Napi::Env env, Job job)
      : Napi::AsyncWorker(env, "entrofleet.codec"),
        job_(std::move(job)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      ThreadTeam team(job_.threads);
      job_.run(team);
    } catch (const CodecFailure& failure) {
      failure_ = failure;
    } catch (const std::bad_alloc&) {
      failure_ = CodecFailure{"OutOfMemory", "not enough memory for the tensor"};
    } catch (const std::exception& error) {
      failure_ = CodecFailure{"Internal", error.what()};
    }
  }

  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (failure_) {
      deferred_.Reject(to_error(Env(), *failure_).Value());
    } else {
      deferred_.Resolve(job_.finish(Env()));
    }
  }

 private:
  Job job_;
  Napi::Promise::Deferred deferred_;
  std::optional<CodecFailure> failure_;
};

[[noreturn]] void refuse(const std::string& message) {
  throw CodecFailure{"BadArgument", message};
}

// The properties of a call's single argument, each checked as it is read.
class Input {
 public:
  Input(const Napi::CallbackInfo& info, Job& job) : job_(job) {
    if (info.Length() != 1 || !info[0].IsObject()) refuse("expected one object");
    object_ = info[0].As<Napi::Object>();
    job_.threads = static_cast<int>(integer("threads", 1, kThreadsMax));
  }

  double number(const char* name, double least, double most) const {
    const Napi::Value value = object_.Get(name);
    if (value.IsNumber()) {
      const double number = value.As<Napi::Number>().DoubleValue();
      if (number >= least && number <= most) return number;
    }
    refuse(std::string(name) + " must be a number from " + std::to_string(least) + " to " +
           std::to_string(most));
  }

  size_t integer(const char* name, double least, double most) const {
    const double value = number(name, least, most);
    if (value != std::floor(value)) refuse(std::string(name) + " must be an integer");
    return static_cast<size_t>(value);
  }

  std::span<uint8_t> bytes(const char* name) const {
    Napi::Uint8Array array = typed<Napi::Uint8Array>(name, napi_uint8_array);
    return std::span(array.Data(), array.ElementLength());
  }

  std::span<uint32_t> words(const char* name) const {
    Napi::Uint32Array array = typed<Napi::Uint32Array>(name, napi_uint32_array);
    return std::span(array.Data(), array.ElementLength());
  }

  FloatType type() const {
    const Napi::Value value = object_.Get("type");
    const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
    if (name == "f32") return FloatType::kF32;
    if (name == "f16") return FloatType::kF16;
    if (name == "bf16") return FloatType::kBf16;
    refuse("type must be f32, f16 or bf16");
  }

  WeightsView weights() const {
    const std::span<uint8_t> raw = bytes("weights");
    const FloatType element = type();
    if (raw.size() % float_size(element) != 0) refuse("weights must hold whole elements");
    return {raw.data(), element, raw.size() / float_size(element)};
  }

  // Weights as rows x columns; both at least 1.
  WeightsView matrix(size_t& rows, size_t& columns) const {
    rows = integer("rows", 1, kElementsMax);
    columns = integer("columns", 1, kElementsMax);
    const WeightsView view = weights();
    if (view.count % columns != 0 || view.count / columns != rows) {
      refuse("weights must hold rows x columns elements");
    }
    return view;
  }

  std::vector<double> numbers(const char* name, double least, double most) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsArray()) refuse(std::string(name) + " must be an array");
    const Napi::Array array = value.As<Napi::Array>();
    if (array.Length() > kStepFactorsMax) refuse(std::string(name) + " is too long");
    std::vector<double> result;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array.Get(i);
      const double number = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : NAN;
      if (!(number >= least && number <= most)) refuse(std::string(name) + " is out of range");
      result.push_back(number);
    }
    return result;
  }

 private:
  template <typename Array>
  Array typed(const char* name, napi_typedarray_type kind) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != kind) {
      refuse(std::string(name) + " must be a typed array of the documented kind");
    }
    job_.buffers.push_back(Napi::Persistent(value.As<Napi::Object>()));
    return value.As<Array>();
  }

  Napi::Object object_;
  Job& job_;
};

// Prepares a job with `prepare` and queues it; a bad argument rejects the promise.
template <typename Prepare>
Napi::Value queue_job(const Napi::CallbackInfo& info, const Prepare& prepare) {
  const Napi::Env env = info.Env();
  try {
    Job job;
    const Input input(info, job);
    prepare(input, job);
    auto* call = new CodecCall(env, std::move(job));
    const Napi::Promise promise = call->promise();
    call->Queue();
    return promise;
  } catch (const CodecFailure& failure) {
    const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(to_error(env, failure).Value());
    return deferred.Promise();
  }
}

// Memory that becomes a JavaScript array without a copy.
template <typename Element>
struct Block {
  std::unique_ptr<Element[]> data;
  size_t count = 0;

  void allocate(size_t elements) {
    data.reset(new Element[elements]);
    count = elements;
  }

  template <typename Array>
  Napi::Value release(Napi::Env env) {
    if (count == 0) return Array::New(env, 0);
    Element* raw = data.release();
    const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
        env, raw, count * sizeof(Element),
        [](Napi::Env, void* memory) { delete[] static_cast<Element*>(memory); });
    return Array::New(env, count, buffer, 0);
  }
};

Napi::Float64Array to_array(Napi::Env env, const std::vector<Histogram>& histograms) {
  Napi::Float64Array array = Napi::Float64Array::New(env, 256 * histograms.size());
  for (size_t i = 0; i < array.ElementLength(); ++i) {
    array[i] = static_cast<double>(histograms[i / 256][i % 256]);
  }
  return array;
}

struct Quantized {
  Block<uint8_t> symbols;
  Block<float> steps;
  int zero_point = 0;
  QuantizedStatistics statistics;

  Napi::Value to_object(Napi::Env env) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("symbols", symbols.release<Napi::Uint8Array>(env));
    result.Set("steps", steps.release<Napi::Float32Array>(env));
    result.Set("zeroPoint", zero_point);
    result.Set("histogram", to_array(env, {statistics.histogram}));
    result.Set("entropyBitsPerWeight", statistics.entropy_bits_per_weight);
    result.Set("signalPower", statistics.signal_power);
    result.Set("noisePower", statistics.noise_power);
    return result;
  }
};

Napi::Value quantize_affine_call(const Napi::CallbackInfo& info) {
  return queue_job(info, [](const Input& input, Job& job) {
    const WeightsView weights = input.weights();
    const int bits = static_cast<int>(input.integer("bits", 4, 8));
    if (bits != 4 && bits != 8) refuse("bits must be 4 or 8");
    auto quantized = std::make_shared<Quantized>();
    job.run = [=](ThreadTeam& team) {
      const AffineGrid grid = choose_affine_grid(weights, bits, team);
      quantized->zero_point = grid.zero_point;
      quantized->steps.allocate(1);
      quantized->steps.data[0] = grid.step;
      quantized->symbols.allocate(bits == 8 ? weights.count : (weights.count + 1) / 2);
      quantized->statistics =
          quantize_affine(weights, grid, bits, team, quantized->symbols.data.get());
    };
    job.finish = [=](Napi::Env env) { return quantized->to_object(env); };
  });
}

Napi::Value quantize_rows_call(const Napi::CallbackInfo& info) {
  return queue_job(info, [](const Input& input, Job& job) {
    size_t rows, columns;
    const WeightsView weights = input.matrix(rows, columns);
    const double factor = input.number("stepFactor", 0, 1e6);
    auto quantized = std::make_shared<Quantized>();
    job.run = [=](ThreadTeam& team) {
      quantized->zero_point = kRowZeroPoint;
      quantized->steps.allocate(rows);
      quantized->symbols.allocate(weights.count);
      quantized->statistics =
          quantize_rows(weights, columns, factor, team, quantized->symbols.data.get(),
                        quantized->steps.data.get());
    };
    job.finish = [=](Napi::Env env) { return quantized->to_object(env); };
  });
}

Napi::Value histogram_rows_call(const Napi::CallbackInfo& info) {
  return queue_job(info, [](const Input& input, Job& job) {
    size_t rows, columns;
    const WeightsView weights = input.matrix(rows, columns);
    const std::vector<double> factors = input.numbers("stepFactors", 0, 1e6);
    const size_t stride = input.integer("rowStride", 1, kElementsMax);
    auto histograms = std::make_shared<std::vector<Histogram>>();
    job.run = [=](ThreadTeam& team) {
      *histograms = histogram_rows(weights, columns, factors, stride, team);
    };
    job.finish = [=](Napi::Env env) { return to_array(env, *histograms); };
  });
}

Napi::Value encode_huffman_call(const Napi::CallbackInfo& info) {
  return queue_job(info, [](const Input& input, Job& job) {
    const std::span<const uint8_t> symbols = input.bytes("symbols");
    const size_t segment_symbols = input.integer("segmentSymbols", 1, kSegmentSymbolsMax);
    struct Encoded {
      Block<uint8_t> payload;
      EncodedSegments segments;
      CodeLengths lengths;
    };
    auto encoded = std::make_shared<Encoded>();
    job.run = [=](ThreadTeam& team) {
      encoded->lengths = choose_code_lengths(histogram_bytes(symbols, team));
      encoded->segments = measure_segments(symbols, segment_symbols, encoded->lengths, team);
      encoded->payload.allocate(encoded->segments.total_bytes);
      encode_segments(symbols, segment_symbols, encoded->lengths, encoded->segments, team,
                      encoded->payload.data.get());
    };
    job.finish = [=](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("payload", encoded->payload.release<Napi::Uint8Array>(env));
      const std::vector<uint32_t>& sizes = encoded->segments.sizes;
      Napi::Uint32Array segment_sizes = Napi::Uint32Array::New(env, sizes.size());
      std::copy(sizes.begin(), sizes.end(), segment_sizes.Data());
      result.Set("segmentSizes", segment_sizes);
      Napi::Uint8Array lengths = Napi::Uint8Array::New(env, encoded->lengths.size());
      std::copy(encoded->lengths.begin(), encoded->lengths.end(), lengths.Data());
      result.Set("codeLengths", lengths);
      return result;
    };
  });
}

Napi::Value decode_huffman_call(const Napi::CallbackInfo& info) {
  return queue_job(info, [](const Input& input, Job& job) {
    const std::span<const uint8_t> payload = input.bytes("payload");
    const std::span<const uint32_t> sizes = input.words("segmentSizes");
    const std::span<const uint8_t> code = input.bytes("codeLengths");
    const std::span<uint8_t> output = input.bytes("output");
    const size_t segment_symbols = input.integer("segmentSymbols", 1, kSegmentSymbolsMax);
    const size_t symbol_count = input.integer("symbolCount", 0, kElementsMax);
    const uint64_t seed = input.integer("seed", 0, 9007199254740991.0);
    if (code.size() != 256) refuse("codeLengths must have 256 entries");
    if (output.size() != symbol_count) refuse("output must have symbolCount bytes");
    if (sizes.size() != (symbol_count + segment_symbols - 1) / segment_symbols) {
      refuse("segmentSizes must have one entry per segmentSymbols symbols");
    }
    uint64_t total = 0;
    for (uint32_t size : sizes) total += size;
    if (total != payload.size()) refuse("segmentSizes must add up to the payload");
    CodeLengths lengths;
    std::copy(code.begin(), code.end(), lengths.begin());
    auto seconds = std::make_shared<double>(0);
    job.run = [=](ThreadTeam& team) {
      const auto start = std::chrono::steady_clock::now();
      decode_segments(payload, sizes, segment_symbols, lengths, seed, team, output);
      *seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    job.finish = [=](Napi::Env env) { return Napi::Number::New(env, *seconds); };
  });
}

Napi::Value to_float32_call(const Napi::CallbackInfo& info) {
  return queue_job(info, [](const Input& input, Job& job) {
    const WeightsView weights = input.weights();
    auto values = std::make_shared<Block<float>>();
    job.run = [=](ThreadTeam& team) {
      values->allocate(weights.count);
      weights_to_float(weights, team, values->data.get());
    };
    job.finish = [=](Napi::Env env) { return values->release<Napi::Float32Array>(env); };
  });
}

}  // namespace

void add_codec(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("quantizeAffine", quantize_affine_call);
  add("quantizeRows", quantize_rows_call);
  add("histogramRows", histogram_rows_call);
  add("encodeHuffman", encode_huffman_call);
  add("decodeHuffman", decode_huffman_call);
  add("toFloat32", to_float32_call);
}

}  // namespace entrofleet
