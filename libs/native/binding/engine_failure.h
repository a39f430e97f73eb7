// An error with a stable reason, thrown by kernels' callers on any thread and turned into a
// JavaScript Error whose `code` is that reason.
#pragma once

#include <napi.h>

#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "kernels/engine_model.h"

namespace entrofleet {

struct EngineFailure {
  std::string code;
  std::string message;

  Napi::Error to_error(Napi::Env env) const {
    Napi::Error error = Napi::Error::New(env, message);
    error.Set("code", Napi::String::New(env, code));
    return error;
  }
};

// Describes the exception that is being handled.
inline EngineFailure current_failure() {
  try {
    throw;
  } catch (const EngineFailure& failure) {
    return failure;
  } catch (const PassStopped&) {
    return {"Cancelled", "the session's calls were cancelled"};
  } catch (const std::bad_alloc&) {
    return {"OutOfMemory", "not enough memory for the model; use a smaller context or model"};
  } catch (const std::system_error& error) {
    return {"ThreadsUnavailable", std::string("the system refused a thread: ") + error.what()};
  } catch (const std::exception& error) {
    return {"Internal", error.what()};
  }
}

}  // namespace entrofleet
