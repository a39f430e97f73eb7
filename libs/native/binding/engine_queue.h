// A model with its waiting calls. Calls run on libuv's pool, one at a time and in the order they
// were made, so that a model never occupies more than one of the pool's threads.
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "binding/engine_arguments.h"
#include "binding/engine_failure.h"
#include "kernels/engine_model.h"

namespace entrofleet {

class EngineCall;

// Touched by the event loop only, except for the model, which the running call uses.
class EngineQueue : public std::enable_shared_from_this<EngineQueue> {
 public:
  EngineQueue(EngineArguments arguments, const EngineOptions& options);
  ~EngineQueue();

  void submit(std::unique_ptr<EngineCall> call);
  // Rejects calls that wait, and drops the weights once the running call is done.
  void close();
  bool closed() const { return closed_; }

  EngineModel& model() { return *model_; }
  const EngineGeometry& geometry() const { return geometry_; }
  size_t context_length() const { return context_length_; }
  size_t weight_bytes() const { return weight_bytes_; }
  bool quantized() const { return quantized_; }

 private:
  friend class EngineCall;
  void start_next();
  void drop_weights();

  EngineGeometry geometry_;
  size_t context_length_;
  size_t weight_bytes_;
  bool quantized_;
  std::vector<Napi::ObjectReference> buffers_;
  std::unique_ptr<EngineModel> model_;
  std::deque<std::unique_ptr<EngineCall>> waiting_;
  bool running_ = false;
  bool closed_ = false;
};

// A sequence as JavaScript sees it. The cache is shared with calls in flight, so that closing the
// session or losing it to the garbage collector never frees memory in use.
struct EngineSessionState {
  std::shared_ptr<KeyValueCache> cache;  // null once closed
  int pending = 0;                       // calls submitted and not yet settled
  std::stop_source stop;                 // of the calls submitted since the last cancel()
};

// One asynchronous call: checks and computes on the pool, settles a promise on the event loop.
class EngineCall : public Napi::AsyncWorker {
 public:
  struct Request {
    std::vector<std::shared_ptr<EngineSessionState>> sessions;
    std::vector<uint32_t> tokens;
    // Where `run` writes, and what the promise resolves to.
    Napi::TypedArray result;
    // Throws EngineFailure. Runs with no other call on the model.
    std::function<void(EngineModel&, const EngineCall&)> run;
  };

  EngineCall(Napi::Env env, std::shared_ptr<EngineQueue> queue, Request request);

  Napi::Promise promise() const { return deferred_.Promise(); }
  const std::vector<std::shared_ptr<KeyValueCache>>& caches() const { return caches_; }
  const std::vector<uint32_t>& tokens() const { return tokens_; }
  const std::stop_token& stop() const { return stop_; }

  // Settles a call that never ran.
  void refuse(const EngineFailure& failure);

 protected:
  void Execute() override;
  void OnOK() override;
  void OnError(const Napi::Error& error) override;

 private:
  void settle();

  std::shared_ptr<EngineQueue> queue_;
  std::vector<std::shared_ptr<EngineSessionState>> sessions_;
  std::vector<std::shared_ptr<KeyValueCache>> caches_;
  std::vector<uint32_t> tokens_;
  std::stop_token stop_;  // of the first session
  Napi::ObjectReference result_;
  std::function<void(EngineModel&, const EngineCall&)> run_;
  Napi::Promise::Deferred deferred_;
  std::optional<EngineFailure> failure_;
};

}  // namespace entrofleet
