// Reads the fields of a codec call's argument object, checking every type and bound.
#pragma once

#include <napi.h>

#include <span>
#include <string>
#include <vector>

#include "kernels/codec_quantizer.h"
#include "kernels/codec_row_quantizer.h"
#include "kernels/codec_sharing.h"
#include "kernels/codec_tables.h"

namespace entrofleet {

// All members throw CodecFailure BadArgument, naming the call and the field.
class CodecArguments {
 public:
  CodecArguments(const Napi::CallbackInfo& info, const char* call);

  // The fields of an object in a field, and of each object of an array there. Their arrays are kept
  // alive by this one's buffers() too.
  CodecArguments object(const char* field) const;
  std::vector<CodecArguments> objects(const char* field) const;
  // Any number; empty text for what is no text.
  double number(const char* field) const;
  std::string text(const char* field) const;

  uint64_t integer(const char* field, uint64_t least, uint64_t most) const;
  // Finite numbers above 0.
  double positive(const char* field) const;
  std::vector<double> positives(const char* field, size_t most) const;
  // The bytes of a Uint8Array, which buffers() keeps alive.
  std::span<uint8_t> bytes(const char* field);
  std::vector<uint32_t> words(const char* field) const;
  CodeLengths code_lengths(const char* field);
  // 256 counts of a Float64Array that sum to less than 2^53.
  Histogram histogram(const char* field);
  // The field `control`, an Int32Array that buffers() keeps alive, if there is one.
  SegmentWatch watch();
  bool has(const char* field) const;
  // 1 to kMostThreads.
  size_t threads() const;
  // The fields `weights` and `type`.
  RawWeights weights();
  // The fields `weights`, `type`, `rows` and `columns`.
  RawMatrix matrix();

  // The field `blocks`: they tile `rows` rows.
  std::vector<RowBlock> row_blocks(size_t rows) const;
  bool flag(const char* field) const;
  // The elements of a typed array, which buffers() keeps alive.
  std::span<float> floats(const char* field);
  std::span<double> doubles(const char* field);
  std::span<uint32_t> indices(const char* field);
  // The integers of an Int32Array, from -most to most.
  std::vector<int32_t> integers(const char* field, int32_t most);
  // None, or `rows` of the field `spreads`, all finite and above 0.
  std::span<const float> spreads(size_t rows);

  // Holds every array whose bytes were asked for: whoever keeps this may read and write them.
  const Napi::Array& buffers() const { return buffers_; }
  [[noreturn]] void refuse(const std::string& field, const std::string& wanted) const;

 private:
  CodecArguments(const char* call, const Napi::Object& object, const Napi::Array& buffers)
      : call_(call), object_(object), buffers_(buffers) {}

  Napi::Value field(const char* name) const;
  template <typename Array, typename Element>
  std::span<Element> elements(const char* field, napi_typedarray_type type, const char* wanted);
  double positive_value(const Napi::Value& value, const std::string& name) const;

  const char* call_;
  Napi::Object object_;
  Napi::Array buffers_;
};

}  // namespace entrofleet
