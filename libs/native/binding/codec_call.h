// What the calls of the codec and of calibration share.
#pragma once

#include <napi.h>

#include <utility>

#include "binding/codec_worker.h"
#include "kernels/codec_quantizer.h"

namespace entrofleet {

// A typed array that owns the elements.
template <typename Element, typename Array>
Array hand_over(Napi::Env env, OwnedArray<Element>& owned) {
  if (owned.size == 0) return Array::New(env, 0);
  Element* elements = owned.elements.release();
  const Napi::ArrayBuffer buffer =
      Napi::ArrayBuffer::New(env, elements, owned.size * sizeof(Element),
                             [](Napi::Env, void* data) { delete[] static_cast<Element*>(data); });
  return Array::New(env, owned.size, buffer, 0);
}

Napi::Value quantized_value(Napi::Env env, QuantizedWeights& weights);

// Turns whatever `start` throws into a rejected promise.
template <typename Start>
Napi::Value rejecting(Napi::Env env, const Start& start) {
  try {
    return start();
  } catch (const Napi::Error& error) {
    const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(error.Value());
    return deferred.Promise();
  } catch (...) {
    const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(to_error(env, current_codec_failure()).Value());
    return deferred.Promise();
  }
}

template <typename Work, typename ToValue>
Napi::Value run(Napi::Env env, const Napi::Object& buffers, Work work, ToValue to_value) {
  using Result = decltype(work());
  auto* worker =
      new CodecWorker<Result>(env, buffers, std::move(work), std::move(to_value));
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace entrofleet
