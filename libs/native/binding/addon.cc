// Entry point of the addon. Everything under binding/ is Node-API; kernels/ knows nothing of it.
#include <napi.h>

#include "binding/parts.h"
#include "kernels/cpu.h"

namespace entrofleet {
namespace {

Napi::Value cpu(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("isa", isa_name(active_isa()));
  const std::vector<std::string> features = cpu_features();
  Napi::Array names = Napi::Array::New(env, features.size());
  for (uint32_t i = 0; i < features.size(); ++i) names.Set(i, features[i]);
  result.Set("features", names);
  return result;
}

Napi::Value force_isa_by_name(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(env, "forceIsa takes the name of an instruction set");
  }
  return Napi::Boolean::New(env, force_isa(info[0].As<Napi::String>().Utf8Value()));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("cpu", Napi::Function::New(env, cpu, "cpu"));
  exports.Set("forceIsa", Napi::Function::New(env, force_isa_by_name, "forceIsa"));
  add_codec(env, exports);
  add_calibration(env, exports);
  add_engine(env, exports);
  add_loader(env, exports);
  add_service(env, exports);
  return exports;
}

}  // namespace
}  // namespace entrofleet

static Napi::Object entrofleet_initialize(Napi::Env env, Napi::Object exports) {
  return entrofleet::initialize(env, exports);
}
NODE_API_MODULE(entrofleet, entrofleet_initialize)
