// The parts of the addon; each adds its functions or classes to the exports.
#pragma once

#include <napi.h>

namespace entrofleet {

void add_codec(Napi::Env env, Napi::Object exports);         // binding/codec.cc
void add_calibration(Napi::Env env, Napi::Object exports);  // binding/calibration.cc
void add_engine(Napi::Env env, Napi::Object exports);       // binding/engine.cc
void add_loader(Napi::Env env, Napi::Object exports);       // binding/loader.cc
void add_service(Napi::Env env, Napi::Object exports);      // binding/service_notice.cc

}  // namespace entrofleet
