#include "binding/engine_matrix.h"

#include <utility>

namespace entrofleet {
namespace {

using Held = std::shared_ptr<const ResidentMatrix>;

constexpr napi_type_tag kTag = {0x656e74726f666c65, 0x65742d6d61747269};

// Takes the matrix from its object, and its bytes from what the garbage collector counts.
void let_go(Napi::BasicEnv env, Held& held) {
  if (held == nullptr) return;
  const auto bytes = static_cast<int64_t>(held->resident_bytes());
  Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
  held.reset();
}

void throw_unless_ok(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

Napi::Object wrap_matrix(Napi::Env env, Held matrix) {
  Napi::Object object = Napi::Object::New(env);
  const auto number = [&](size_t value) {
    return Napi::Number::New(env, static_cast<double>(value));
  };
  object.Set("rows", number(matrix->rows()));
  object.Set("columns", number(matrix->columns()));
  object.Set("residentBytes", number(matrix->resident_bytes()));
  object.Freeze();
  const int64_t bytes = static_cast<int64_t>(matrix->resident_bytes());
  auto held = std::make_unique<Held>(std::move(matrix));
  throw_unless_ok(env, napi_wrap(
                           env, object, held.get(),
                           [](napi_env owner, void* data, void*) {
                             auto* const owned = static_cast<Held*>(data);
                             let_go(owner, *owned);
                             delete owned;
                           },
                           nullptr, nullptr));
  held.release();
  // The garbage collector must know what an unreachable matrix costs.
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  throw_unless_ok(env, napi_type_tag_object(env, object, &kTag));
  return object;
}

void release_matrix(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) return;
  void* held = nullptr;
  throw_unless_ok(value.Env(), napi_unwrap(value.Env(), value, &held));
  let_go(value.Env(), *static_cast<Held*>(held));
}

Held unwrap_matrix(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) return nullptr;
  void* held = nullptr;
  throw_unless_ok(value.Env(), napi_unwrap(value.Env(), value, &held));
  return *static_cast<Held*>(held);
}

}  // namespace entrofleet
