// NativeMatrix of src/engine.types.ts: a matrix that JavaScript holds without seeing into it.
#pragma once

#include <napi.h>

#include <memory>

#include "kernels/resident_matrix.h"

namespace entrofleet {

Napi::Object wrap_matrix(Napi::Env env, std::shared_ptr<const ResidentMatrix> matrix);

// Null when the value is no NativeMatrix.
std::shared_ptr<const ResidentMatrix> unwrap_matrix(const Napi::Value& value);

}  // namespace entrofleet
