// Why a codec call failed. Thrown on any thread by the parts around the kernels, never by a kernel
// that runs in a ThreadTeam; binding/codec.cc turns it into a JavaScript Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace entrofleet {

struct CodecFailure {
  // CamelCase and stable: callers decide by it.
  std::string code;
  std::string message;
  // Of the weight or segment that is to blame.
  std::optional<uint64_t> index;
};

}  // namespace entrofleet
