#include "binding/codec_arguments.h"

#include <algorithm>
#include <cmath>

#include "kernels/codec_failure.h"

namespace entrofleet {
namespace {

constexpr uint64_t kMostThreads = 256;
constexpr uint64_t kMostInteger = (uint64_t{1} << 53) - 1;

bool is_array_of(const Napi::Value& value, napi_typedarray_type type) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

}  // namespace

CodecArguments::CodecArguments(const Napi::CallbackInfo& info, const char* call) : call_(call) {
  if (info.Length() != 1 || !info[0].IsObject()) {
    throw CodecFailure{"BadArgument", std::string(call) + " takes one object", std::nullopt};
  }
  object_ = info[0].As<Napi::Object>();
  buffers_ = Napi::Array::New(info.Env());
}

void CodecArguments::refuse(const std::string& field, const std::string& wanted) const {
  throw CodecFailure{"BadArgument", std::string(call_) + ": " + field + " must be " + wanted,
                     std::nullopt};
}

Napi::Value CodecArguments::field(const char* name) const { return object_.Get(name); }

CodecArguments CodecArguments::object(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsObject()) refuse(name, "an object");
  return {call_, value.As<Napi::Object>(), buffers_};
}

std::vector<CodecArguments> CodecArguments::objects(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsArray()) refuse(name, "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<CodecArguments> all;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value entry = array.Get(i);
    if (!entry.IsObject()) refuse(std::string(name) + "[" + std::to_string(i) + "]", "an object");
    all.push_back({call_, entry.As<Napi::Object>(), buffers_});
  }
  return all;
}

double CodecArguments::number(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsNumber()) refuse(name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

std::string CodecArguments::text(const char* name) const {
  const Napi::Value value = field(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
}

uint64_t CodecArguments::integer(const char* name, uint64_t least, uint64_t most) const {
  const Napi::Value value = field(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) ||
      number != std::floor(number)) {
    refuse(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<uint64_t>(number);
}

double CodecArguments::positive_value(const Napi::Value& value, const std::string& name) const {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (!(number > 0) || !std::isfinite(number)) refuse(name, "a finite number above 0");
  return number;
}

double CodecArguments::positive(const char* name) const {
  return positive_value(field(name), name);
}

std::vector<double> CodecArguments::positives(const char* name, size_t most) const {
  const Napi::Value value = field(name);
  const uint32_t count = value.IsArray() ? value.As<Napi::Array>().Length() : 0;
  if (count < 1 || count > most) {
    refuse(name, "an array of 1 to " + std::to_string(most) + " numbers");
  }
  std::vector<double> numbers;
  for (uint32_t i = 0; i < count; ++i) {
    numbers.push_back(positive_value(value.As<Napi::Array>().Get(i),
                                     std::string(name) + "[" + std::to_string(i) + "]"));
  }
  return numbers;
}

std::span<uint8_t> CodecArguments::bytes(const char* name) {
  const Napi::Value value = field(name);
  if (!is_array_of(value, napi_uint8_array)) refuse(name, "a Uint8Array");
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  buffers_.Set(buffers_.Length(), array);
  return {array.Data(), array.ElementLength()};
}

std::vector<uint32_t> CodecArguments::words(const char* name) const {
  const Napi::Value value = field(name);
  if (!is_array_of(value, napi_uint32_array)) refuse(name, "a Uint32Array");
  const Napi::Uint32Array array = value.As<Napi::Uint32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

CodeLengths CodecArguments::code_lengths(const char* name) {
  const std::span<uint8_t> given = bytes(name);
  CodeLengths lengths;
  if (given.size() != lengths.size()) refuse(name, "256 code lengths");
  std::copy(given.begin(), given.end(), lengths.begin());
  return lengths;
}

Histogram CodecArguments::histogram(const char* name) {
  const Napi::Value value = field(name);
  if (!is_array_of(value, napi_float64_array)) refuse(name, "a Float64Array");
  const Napi::Float64Array array = value.As<Napi::Float64Array>();
  Histogram counts;
  if (array.ElementLength() != counts.size()) refuse(name, "256 counts");
  double left = static_cast<double>(kMostInteger);
  for (size_t i = 0; i < counts.size(); ++i) {
    const double count = array.Data()[i];
    if (!(count >= 0 && count <= left) || count != std::floor(count)) {
      refuse(name, "integers from 0 that sum to less than 2^53");
    }
    left -= count;
    counts[i] = static_cast<uint64_t>(count);
  }
  return counts;
}

SegmentWatch CodecArguments::watch() {
  constexpr const char* kField = "control";
  if (!has(kField)) return {};
  const Napi::Value value = field(kField);
  if (!is_array_of(value, napi_int32_array)) refuse(kField, "an Int32Array");
  Napi::Int32Array array = value.As<Napi::Int32Array>();
  if (array.ElementLength() != 2) refuse(kField, "two elements: cancel and done");
  buffers_.Set(buffers_.Length(), array);
  return {array.Data(), array.Data() + 1};
}

size_t CodecArguments::threads() const {
  return static_cast<size_t>(integer("threads", 1, kMostThreads));
}

RawWeights CodecArguments::weights() {
  const std::span<uint8_t> raw = bytes("weights");
  const std::string name = text("type");
  FloatType type = FloatType::kFloat32;
  if (name == "f16") {
    type = FloatType::kFloat16;
  } else if (name == "bf16") {
    type = FloatType::kBfloat16;
  } else if (name != "f32") {
    refuse("type", "'f32', 'f16' or 'bf16'");
  }
  const size_t size = element_size(type);
  if (raw.size() % size != 0) {
    refuse("weights", "whole elements of " + std::to_string(size) + " bytes, not " +
                          std::to_string(raw.size()) + " bytes");
  }
  return {raw.data(), type, raw.size() / size};
}

RawMatrix CodecArguments::matrix() {
  const RawWeights raw = weights();
  const uint64_t rows = integer("rows", 0, kMostInteger);
  const uint64_t columns = integer("columns", 0, kMostInteger);
  // Rows without columns are refused: their number would bound nothing.
  const bool fits = rows == 0 || columns == 0
                        ? rows == columns && raw.count == 0
                        : raw.count % rows == 0 && raw.count / rows == columns;
  if (!fits) {
    refuse("weights", std::to_string(rows) + " rows of " + std::to_string(columns) +
                          " elements, not " + std::to_string(raw.count) + " elements");
  }
  return {raw.bytes, raw.type, static_cast<size_t>(rows), static_cast<size_t>(columns)};
}

std::vector<RowBlock> CodecArguments::row_blocks(size_t rows) const {
  const Napi::Value value = field("blocks");
  if (!value.IsArray()) refuse("blocks", "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<RowBlock> blocks;
  size_t left = rows;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const std::string name = "blocks[" + std::to_string(i) + "]";
    const Napi::Value entry = array.Get(i);
    if (!entry.IsObject()) refuse(name, "an object");
    const Napi::Object block = entry.As<Napi::Object>();
    const Napi::Value shared = block.Get("sharedRms");
    const bool none = shared.IsNumber() && shared.As<Napi::Number>().DoubleValue() == 0;
    const double count = positive_value(block.Get("rows"), name + ".rows");
    if (count != std::floor(count) || count > static_cast<double>(left)) {
      refuse(name + ".rows", "an integer; all blocks together have " + std::to_string(rows));
    }
    left -= static_cast<size_t>(count);
    blocks.push_back({static_cast<size_t>(count),
                      positive_value(block.Get("stepFactor"), name + ".stepFactor"),
                      none ? 0 : positive_value(shared, name + ".sharedRms")});
  }
  if (left != 0) refuse("blocks", "of " + std::to_string(rows) + " rows together");
  return blocks;
}

bool CodecArguments::flag(const char* name) const {
  const Napi::Value value = field(name);
  if (!value.IsBoolean()) refuse(name, "true or false");
  return value.As<Napi::Boolean>().Value();
}

template <typename Array, typename Element>
std::span<Element> CodecArguments::elements(const char* name, napi_typedarray_type type,
                                            const char* wanted) {
  const Napi::Value value = field(name);
  if (!is_array_of(value, type)) refuse(name, wanted);
  Array array = value.As<Array>();
  buffers_.Set(buffers_.Length(), array);
  return {array.Data(), array.ElementLength()};
}

std::span<float> CodecArguments::floats(const char* name) {
  return elements<Napi::Float32Array, float>(name, napi_float32_array, "a Float32Array");
}

std::span<double> CodecArguments::doubles(const char* name) {
  return elements<Napi::Float64Array, double>(name, napi_float64_array, "a Float64Array");
}

std::span<uint32_t> CodecArguments::indices(const char* name) {
  return elements<Napi::Uint32Array, uint32_t>(name, napi_uint32_array, "a Uint32Array");
}

std::vector<int32_t> CodecArguments::integers(const char* name, int32_t most) {
  const std::span<int32_t> given =
      elements<Napi::Int32Array, int32_t>(name, napi_int32_array, "an Int32Array");
  const auto is_bounded = [=](int32_t value) { return -most <= value && value <= most; };
  if (!std::all_of(given.begin(), given.end(), is_bounded)) {
    refuse(name, "integers from -" + std::to_string(most) + " to " + std::to_string(most));
  }
  return {given.begin(), given.end()};
}

bool CodecArguments::has(const char* name) const {
  const Napi::Value value = field(name);
  return !value.IsUndefined() && !value.IsNull();
}

std::span<const float> CodecArguments::spreads(size_t rows) {
  if (!has("spreads")) return {};
  const std::span<float> given = floats("spreads");
  const bool usable = std::all_of(given.begin(), given.end(), [](float spread) {
    return spread > 0 && std::isfinite(spread);
  });
  if (given.size() != rows || !usable) {
    refuse("spreads", std::to_string(rows) + " finite numbers above 0");
  }
  return given;
}

}  // namespace entrofleet
