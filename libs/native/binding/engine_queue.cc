#include "binding/engine_queue.h"

#include <utility>

namespace entrofleet {

EngineQueue::EngineQueue(EngineArguments arguments, const EngineOptions& options)
    : geometry_(arguments.geometry),
      context_length_(arguments.context_length),
      weight_bytes_(arguments.weight_bytes),
      quantized_(arguments.quantized),
      buffers_(std::move(arguments.buffers)),
      model_(std::make_unique<EngineModel>(std::move(arguments.geometry),
                                           std::move(arguments.weights), options)) {}

EngineQueue::~EngineQueue() = default;

void EngineQueue::submit(std::unique_ptr<EngineCall> call) {
  waiting_.push_back(std::move(call));
  if (!running_) start_next();
}

void EngineQueue::start_next() {
  running_ = !waiting_.empty();
  if (!running_) return;
  // Napi::AsyncWorker deletes itself once it has settled.
  EngineCall* call = waiting_.front().release();
  waiting_.pop_front();
  call->Queue();
}

void EngineQueue::close() {
  closed_ = true;
  // refuse() may run no JavaScript before the event loop turns, so the list cannot change here.
  for (const std::unique_ptr<EngineCall>& call : waiting_) {
    call->refuse({"ModelClosed", "the model was closed before this call ran"});
  }
  waiting_.clear();
  if (!running_) drop_weights();
}

void EngineQueue::drop_weights() {
  model_.reset();
  buffers_.clear();
}

EngineCall::EngineCall(Napi::Env env, std::shared_ptr<EngineQueue> queue, Request request)
    : Napi::AsyncWorker(env, "entrofleet.engine"),
      queue_(std::move(queue)),
      sessions_(std::move(request.sessions)),
      tokens_(std::move(request.tokens)),
      stop_(sessions_.front()->stop.get_token()),
      result_(Napi::Persistent(request.result.As<Napi::Object>())),
      run_(std::move(request.run)),
      deferred_(Napi::Promise::Deferred::New(env)) {
  for (const std::shared_ptr<EngineSessionState>& session : sessions_) {
    caches_.push_back(session->cache);
    ++session->pending;
  }
}

void EngineCall::Execute() {
  try {
    if (stop_.stop_requested()) throw PassStopped{};
    run_(queue_->model(), *this);
  } catch (...) {
    failure_ = current_failure();
  }
}

void EngineCall::settle() {
  for (const std::shared_ptr<EngineSessionState>& session : sessions_) --session->pending;
  if (failure_.has_value()) {
    deferred_.Reject(failure_->to_error(Env()).Value());
  } else {
    deferred_.Resolve(result_.Value());
  }
}

void EngineCall::refuse(const EngineFailure& failure) {
  Napi::HandleScope scope(Env());
  failure_ = failure;
  settle();
}

void EngineCall::OnOK() {
  settle();
  if (queue_->closed()) {
    queue_->running_ = false;
    queue_->drop_weights();
  } else {
    queue_->start_next();
  }
}

void EngineCall::OnError(const Napi::Error& error) {
  failure_ = EngineFailure{"Internal", error.Message()};
  OnOK();
}

}  // namespace entrofleet
