// Reads a model's geometry and tensors from JavaScript, checking every number and size.
#pragma once

#include <napi.h>

#include <vector>

#include "kernels/engine_model.h"

namespace entrofleet {

struct EngineArguments {
  EngineGeometry geometry;
  EngineWeights weights;
  size_t context_length = 0;
  size_t weight_bytes = 0;
  bool quantized = false;  // any matrix is
  // The JavaScript arrays that float weights point into.
  std::vector<Napi::ObjectReference> buffers;
};

// Symbols are packed on so many threads. Throws EngineFailure with code BadShape or BadArgument,
// naming the field or tensor; std::bad_alloc or std::system_error.
EngineArguments read_engine_arguments(const Napi::Object& geometry, const Napi::Object& tensors,
                                      int threads);

// Reads an integer property within bounds. Throws EngineFailure BadArgument.
size_t read_count(const Napi::Object& object, const char* name, size_t least, size_t most);

}  // namespace entrofleet
