// NativeMatrix of src/engine.types.ts: a matrix that JavaScript holds without seeing into it.
#pragma once

#include <napi.h>

#include <memory>

#include "kernels/resident_matrix.h"

namespace entrofleet {

Napi::Object wrap_matrix(Napi::Env env, std::shared_ptr<const ResidentMatrix> matrix);

// Lets go of the matrix now, not when the object is collected; models that have it keep it.
// Nothing happens to what is no NativeMatrix.
void release_matrix(const Napi::Value& value);

// Null when the value is no NativeMatrix, or a released one.
std::shared_ptr<const ResidentMatrix> unwrap_matrix(const Napi::Value& value);

}  // namespace entrofleet
