#include "binding/engine_arguments.h"

#include <cmath>
#include <string>
#include <utility>

#include "binding/engine_failure.h"
#include "binding/engine_matrix.h"
#include "kernels/float_matrix.h"
#include "kernels/window_resident.h"

namespace entrofleet {
namespace {

// Far past any known model, and small enough that no product of two overflows.
constexpr size_t kMostSize = size_t{1} << 24;
constexpr size_t kMostLayers = 1024;
constexpr size_t kMostHeads = 4096;
constexpr size_t kMostHeadSize = 4096;
constexpr size_t kMostContext = size_t{1} << 28;

std::string shape_text(size_t rows, size_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

[[noreturn]] void bad_shape(const std::string& tensor, const std::string& problem) {
  throw EngineFailure{"BadShape", "tensor " + tensor + ": " + problem};
}

double read_number(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) {
    throw EngineFailure{"BadArgument", std::string(name) + " must be a finite number"};
  }
  return value.As<Napi::Number>().DoubleValue();
}

template <typename Array>
Array read_array(const Napi::Object& object, const char* name, napi_typedarray_type type,
                 const std::string& tensor) {
  const Napi::Value value = object.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    bad_shape(tensor, std::string(name) + " is not the expected typed array");
  }
  return value.As<Array>();
}

class Reader {
 public:
  Reader(EngineArguments& arguments, int threads) : arguments_(arguments), team_(threads) {}

  SharedMatrix matrix(const Napi::Value& value, const std::string& name, size_t rows,
                      size_t columns) {
    const SharedMatrix matrix = any_matrix(value, name);
    if (matrix->rows() != rows || matrix->columns() != columns) {
      bad_shape(name, "expected " + shape_text(rows, columns) + ", found " +
                          shape_text(matrix->rows(), matrix->columns()));
    }
    arguments_.weight_bytes += matrix->resident_bytes();
    arguments_.quantized |= matrix->input_form() == InputForm::kQuantized;
    return matrix;
  }

  // A vector is small, so it is converted to float32 once. Either dimension may be 1.
  std::vector<float> vector(const Napi::Value& value, const std::string& name, size_t count) {
    const SharedMatrix matrix = any_matrix(value, name);
    const size_t rows = matrix->rows();
    const size_t columns = matrix->columns();
    if ((rows != 1 && columns != 1) || rows * columns != count) {
      bad_shape(name, "expected " + std::to_string(count) + " values, found " +
                          shape_text(rows, columns));
    }
    arguments_.weight_bytes += count * sizeof(float);
    std::vector<float> result(count);
    for (size_t row = 0; row < rows; ++row) matrix->read_row(row, result.data() + row * columns);
    return result;
  }

  std::vector<float> optional_vector(const Napi::Value& value, const std::string& name,
                                     size_t count) {
    if (value.IsUndefined()) return {};
    return vector(value, name, count);
  }

 private:
  SharedMatrix any_matrix(const Napi::Value& value, const std::string& name) {
    if (!value.IsObject()) bad_shape(name, "missing");
    const Napi::Object tensor = value.As<Napi::Object>();
    const Napi::Value format = tensor.Get("format");
    const std::string text = format.IsString() ? format.As<Napi::String>().Utf8Value() : "";
    if (text == "native") {
      SharedMatrix matrix = unwrap_matrix(tensor.Get("matrix"));
      if (matrix == nullptr) bad_shape(name, "matrix is no NativeMatrix");
      return matrix;
    }
    const size_t rows = read_count(tensor, "rows", 1, kMostSize);
    const size_t columns = read_count(tensor, "columns", 1, kMostSize);
    if (text == "f32") {
      return floats<Napi::Float32Array>(
          tensor, name, napi_float32_array,
          FloatWeights{FloatFormat::kFloat32, rows, columns, nullptr});
    }
    if (text == "f16" || text == "bf16") {
      const FloatFormat half = text == "f16" ? FloatFormat::kFloat16 : FloatFormat::kBfloat16;
      return floats<Napi::Uint16Array>(tensor, name, napi_uint16_array,
                                       FloatWeights{half, rows, columns, nullptr});
    }
    if (text == "u8") return windows(tensor, name, WindowShape{rows, columns, 8});
    if (text == "u4") return windows(tensor, name, WindowShape{rows, columns, 4});
    bad_shape(name, "format must be f32, f16, bf16, u8, u4 or native");
  }

  template <typename Array>
  SharedMatrix floats(const Napi::Object& tensor, const std::string& name,
                      napi_typedarray_type type, FloatWeights weights) {
    const auto data = read_array<Array>(tensor, "data", type, name);
    if (data.ElementLength() != weights.rows * weights.columns) {
      bad_shape(name, "data does not have rows x columns values");
    }
    weights.data = data.Data();
    keep(data);
    return std::make_shared<FloatMatrix>(weights, nullptr);
  }

  SharedMatrix windows(const Napi::Object& tensor, const std::string& name, WindowShape shape) {
    const bool pairs = shape.symbol_bits == 4;
    const size_t count = shape.rows * shape.columns;
    const size_t bytes = pairs ? (count + 1) / 2 : count;
    const auto symbols = read_array<Napi::Uint8Array>(tensor, "symbols", napi_uint8_array, name);
    if (symbols.ElementLength() != bytes) {
      bad_shape(name, "symbols must have " + std::to_string(bytes) + " bytes");
    }
    const auto steps = read_array<Napi::Float32Array>(tensor, "steps", napi_float32_array, name);
    if (steps.ElementLength() != 1 && steps.ElementLength() != shape.rows) {
      bad_shape(name, "steps must have one value, or one per row");
    }
    if (shape.columns > kMostWindowColumns) {
      bad_shape(name, "quantized rows have at most " + std::to_string(kMostWindowColumns) +
                          " columns; give it as f16 or bf16");
    }
    const Napi::Value form = tensor.Get("form");
    const std::string text = form.IsString() ? form.As<Napi::String>().Utf8Value() : "window";
    if (text != "window" && text != "plain") bad_shape(name, "form must be window or plain");
    shape.form = text == "plain" ? WindowForm::kPlain : WindowForm::kWindow;
    return std::make_shared<WindowResident>(
        pack_windows(shape, {symbols.Data(), pairs}, engine_kernels(active_isa()), team_),
        static_cast<float>(read_number(tensor, "zeroPoint")),
        std::vector<float>(steps.Data(), steps.Data() + steps.ElementLength()));
  }

  void keep(const Napi::TypedArray& array) {
    arguments_.buffers.push_back(Napi::Persistent(array.As<Napi::Object>()));
  }

  EngineArguments& arguments_;
  ThreadTeam team_;
};

void read_windows(const Napi::Object& from, EngineGeometry& geometry) {
  const auto windows = read_array<Napi::Uint32Array>(from, "slidingWindows", napi_uint32_array,
                                                     "slidingWindows");
  if (windows.ElementLength() != geometry.layers) {
    throw EngineFailure{"BadArgument", "slidingWindows must have one entry per layer"};
  }
  geometry.sliding_windows.assign(windows.Data(), windows.Data() + geometry.layers);
}

std::vector<double> read_frequencies(const Napi::Object& from, const char* name) {
  const auto array = read_array<Napi::Float64Array>(from, name, napi_float64_array, name);
  std::vector<double> frequencies(array.Data(), array.Data() + array.ElementLength());
  for (const double frequency : frequencies) {
    if (!std::isfinite(frequency)) {
      throw EngineFailure{"BadArgument", "a rotary frequency is not finite"};
    }
  }
  return frequencies;
}

void read_long_rotary(const Napi::Value& value, EngineGeometry& geometry) {
  const Napi::Object from = value.As<Napi::Object>();
  geometry.long_rotary_frequencies = read_frequencies(from, "frequencies");
  geometry.short_context = read_count(from, "shortContextLength", 1, kMostContext);
  if (geometry.long_rotary_frequencies.size() == geometry.rotary_frequencies.size()) return;
  throw EngineFailure{"BadArgument",
                      "longRotary must have as many frequencies as rotaryFrequencies"};
}

void read_geometry(const Napi::Object& from, EngineArguments& arguments) {
  EngineGeometry& g = arguments.geometry;
  g.vocabulary_size = read_count(from, "vocabularySize", 1, kMostSize);
  g.hidden_size = read_count(from, "hiddenSize", 1, kMostSize);
  g.intermediate_size = read_count(from, "intermediateSize", 1, kMostSize);
  g.layers = read_count(from, "layers", 1, kMostLayers);
  g.heads = read_count(from, "heads", 1, kMostHeads);
  g.key_value_heads = read_count(from, "keyValueHeads", 1, kMostHeads);
  g.head_size = read_count(from, "headSize", 1, kMostHeadSize);
  read_windows(from, g);
  g.rotary_scale = read_number(from, "rotaryScale");
  arguments.context_length = read_count(from, "contextLength", 1, kMostContext);
  g.norm_epsilon = read_number(from, "normEpsilon");
  if (g.heads % g.key_value_heads != 0) {
    throw EngineFailure{"BadArgument", "heads must be a multiple of keyValueHeads"};
  }
  if (g.norm_epsilon < 0) throw EngineFailure{"BadArgument", "normEpsilon is negative"};
  g.rotary_frequencies = read_frequencies(from, "rotaryFrequencies");
  if (g.rotary_frequencies.size() * 2 > g.head_size) {
    throw EngineFailure{"BadArgument", "more than headSize / 2 rotaryFrequencies"};
  }
  if (from.Get("longRotary").IsObject()) read_long_rotary(from.Get("longRotary"), g);
}

EngineLayer read_layer(Reader& reader, const EngineGeometry& g, const Napi::Object& from,
                       const std::string& prefix) {
  const size_t query_size = g.heads * g.head_size;
  const size_t key_size = g.key_value_heads * g.head_size;
  const auto matrix = [&](const char* name, size_t rows, size_t columns) {
    return reader.matrix(from.Get(name), prefix + name, rows, columns);
  };
  const auto optional = [&](const char* name, size_t count) {
    return reader.optional_vector(from.Get(name), prefix + name, count);
  };
  EngineLayer layer;
  layer.query = matrix("query", query_size, g.hidden_size);
  layer.key = matrix("key", key_size, g.hidden_size);
  layer.value = matrix("value", key_size, g.hidden_size);
  layer.output = matrix("output", g.hidden_size, query_size);
  layer.gate = matrix("gate", g.intermediate_size, g.hidden_size);
  layer.up = matrix("up", g.intermediate_size, g.hidden_size);
  layer.down = matrix("down", g.hidden_size, g.intermediate_size);
  layer.attention_norm =
      reader.vector(from.Get("attentionNorm"), prefix + "attentionNorm", g.hidden_size);
  layer.mlp_norm = reader.vector(from.Get("mlpNorm"), prefix + "mlpNorm", g.hidden_size);
  layer.query_norm = optional("queryNorm", g.head_size);
  layer.key_norm = optional("keyNorm", g.head_size);
  layer.query_bias = optional("queryBias", query_size);
  layer.key_bias = optional("keyBias", key_size);
  layer.value_bias = optional("valueBias", key_size);
  layer.output_bias = optional("outputBias", g.hidden_size);
  layer.gate_bias = optional("gateBias", g.intermediate_size);
  layer.up_bias = optional("upBias", g.intermediate_size);
  layer.down_bias = optional("downBias", g.hidden_size);
  return layer;
}

}  // namespace

size_t read_count(const Napi::Object& object, const char* name, size_t least, size_t most) {
  const double value = read_number(object, name);
  if (value < static_cast<double>(least) || value > static_cast<double>(most) ||
      value != std::floor(value)) {
    throw EngineFailure{"BadArgument", std::string(name) + " must be an integer from " +
                                           std::to_string(least) + " to " + std::to_string(most)};
  }
  return static_cast<size_t>(value);
}

EngineArguments read_engine_arguments(const Napi::Object& geometry, const Napi::Object& tensors,
                                      int threads) {
  EngineArguments arguments;
  read_geometry(geometry, arguments);
  const EngineGeometry& g = arguments.geometry;
  Reader reader(arguments, threads);
  arguments.weights.embedding =
      reader.matrix(tensors.Get("embedding"), "embedding", g.vocabulary_size, g.hidden_size);
  const bool tied = geometry.Get("tiedEmbeddings").ToBoolean();
  arguments.weights.head =
      tied ? arguments.weights.embedding
           : reader.matrix(tensors.Get("head"), "head", g.vocabulary_size, g.hidden_size);
  arguments.weights.final_norm =
      reader.vector(tensors.Get("finalNorm"), "finalNorm", g.hidden_size);
  const Napi::Value layers = tensors.Get("layers");
  if (!layers.IsArray() || layers.As<Napi::Array>().Length() != g.layers) {
    bad_shape("layers", "expected an array of " + std::to_string(g.layers) + " layers");
  }
  for (size_t i = 0; i < g.layers; ++i) {
    const Napi::Value layer = layers.As<Napi::Array>().Get(static_cast<uint32_t>(i));
    const std::string prefix = "layers[" + std::to_string(i) + "].";
    if (!layer.IsObject()) bad_shape(prefix, "missing");
    arguments.weights.layers.push_back(
        read_layer(reader, g, layer.As<Napi::Object>(), prefix));
  }
  return arguments;
}

}  // namespace entrofleet
