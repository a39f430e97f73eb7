#include "binding/parts.h"

namespace entrofleet {

void add_codec(Napi::Env, Napi::Object) {}

}  // namespace entrofleet
