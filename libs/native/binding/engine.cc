#include "binding/parts.h"

namespace entrofleet {

void add_engine(Napi::Env, Napi::Object) {}

}  // namespace entrofleet
