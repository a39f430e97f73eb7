// An error of the codec with a stable reason; binding/codec.cc gives it to JavaScript as `code`.
#pragma once

#include <string>

namespace entrofleet {

struct CodecFailure {
  std::string code;
  std::string message;
};

}  // namespace entrofleet
