// One codec call on Node's thread pool, as a promise.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "kernels/codec_failure.h"

namespace entrofleet {

// Describes the exception that is being handled.
inline CodecFailure current_codec_failure() {
  try {
    throw;
  } catch (const CodecFailure& failure) {
    return failure;
  } catch (const std::bad_alloc&) {
    return {"OutOfMemory", "not enough memory for the tensor", std::nullopt};
  } catch (const std::length_error&) {
    return {"OutOfMemory", "not enough memory for the tensor", std::nullopt};
  } catch (const std::system_error& error) {
    return {"ThreadsUnavailable", std::string("the system refused a thread: ") + error.what(),
            std::nullopt};
  } catch (const std::exception& error) {
    return {"Internal", error.what(), std::nullopt};
  }
}

inline Napi::Error to_error(Napi::Env env, const CodecFailure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, failure.code));
  if (failure.index.has_value()) {
    error.Set("index", Napi::Number::New(env, static_cast<double>(*failure.index)));
  }
  return error;
}

// Runs `work` on a pool thread and resolves to `to_value` of its result. The argument object, and
// through it every buffer, stays alive meanwhile.
template <typename Result>
class CodecWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using ToValue = std::function<Napi::Value(Napi::Env, Result&)>;

  CodecWorker(Napi::Env env, const Napi::Object& buffers, Work work, ToValue to_value)
      : Napi::AsyncWorker(env, "entrofleet.codec"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        to_value_(std::move(to_value)),
        buffers_(Napi::Persistent(buffers)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_.emplace(work_());
    } catch (...) {
      failure_ = current_codec_failure();
    }
  }

  void OnOK() override {
    const Napi::Env env = Env();
    if (failure_.has_value()) {
      deferred_.Reject(to_error(env, *failure_).Value());
      return;
    }
    try {
      deferred_.Resolve(to_value_(env, *result_));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    } catch (...) {
      deferred_.Reject(to_error(env, current_codec_failure()).Value());
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  Work work_;
  ToValue to_value_;
  Napi::ObjectReference buffers_;
  std::optional<Result> result_;
  std::optional<CodecFailure> failure_;
};

}  // namespace entrofleet
