// EngineBinding of src/engine.types.ts: models and sessions as JavaScript objects.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "binding/engine_arguments.h"
#include "binding/engine_failure.h"
#include "binding/engine_queue.h"
#include "binding/parts.h"

namespace entrofleet {
namespace {

constexpr size_t kMostThreads = 256;
constexpr size_t kMostTokens = size_t{1} << 24;
// 1 GiB of logits in one answer; longer texts are scored, or asked for in parts.
constexpr size_t kMostLogits = size_t{1} << 28;

// Runs a callback and turns EngineFailure and allocation failures into JavaScript errors.
template <typename Work>
auto guarded(Napi::Env env, const Work& work) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw current_failure().to_error(env);
  }
}

template <typename Work>
Napi::Value rejecting(Napi::Env env, const Work& work) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(current_failure().to_error(env).Value());
    return deferred.Promise();
  }
}

std::vector<uint32_t> read_tokens(const Napi::Value& value, size_t vocabulary_size) {
  if (!value.IsTypedArray() ||
      value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    throw EngineFailure{"BadArgument", "tokens must be a Uint32Array"};
  }
  const Napi::Uint32Array array = value.As<Napi::Uint32Array>();
  const size_t count = array.ElementLength();
  if (count == 0 || count > kMostTokens) {
    throw EngineFailure{"BadArgument", "tokens must hold from 1 to " +
                                           std::to_string(kMostTokens) + " tokens"};
  }
  std::vector<uint32_t> tokens(array.Data(), array.Data() + count);
  for (const uint32_t token : tokens) {
    if (token >= vocabulary_size) {
      throw EngineFailure{"BadToken", "token " + std::to_string(token) +
                                          " is outside the vocabulary of " +
                                          std::to_string(vocabulary_size)};
    }
  }
  return tokens;
}

// Checked when the call runs: calls made before it may have filled the cache.
void require_room(const KeyValueCache& cache, size_t tokens) {
  if (tokens > cache.capacity() - cache.length()) {
    throw EngineFailure{"ContextExceeded",
                        std::to_string(tokens) + " more tokens do not fit a context of " +
                            std::to_string(cache.capacity()) + " that holds " +
                            std::to_string(cache.length())};
  }
}

class Session : public Napi::ObjectWrap<Session> {
 public:
  // Made by Model::create_session only: arguments are externals to the queue and the cache.
  explicit Session(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Session>(info) {
    if (info.Length() != 2 || !info[0].IsExternal() || !info[1].IsExternal()) {
      throw Napi::TypeError::New(info.Env(), "make sessions with model.createSession()");
    }
    queue_ = *info[0].As<Napi::External<std::shared_ptr<EngineQueue>>>().Data();
    state_ = std::make_shared<EngineSessionState>();
    state_->cache = *info[1].As<Napi::External<std::shared_ptr<KeyValueCache>>>().Data();
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSession",
                       {InstanceAccessor<&Session::length>("length"),
                        InstanceMethod<&Session::forward>("forward"),
                        InstanceMethod<&Session::score>("score"),
                        InstanceMethod<&Session::truncate>("truncate"),
                        InstanceMethod<&Session::cancel>("cancel"),
                        InstanceMethod<&Session::close>("close")});
  }

  // Null when the value is no session.
  static Session* from(const Napi::Value& value) {
    if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) return nullptr;
    return Unwrap(value.As<Napi::Object>());
  }

  const std::shared_ptr<EngineQueue>& queue() const { return queue_; }
  const std::shared_ptr<EngineSessionState>& state() const { return state_; }

  void require_open() const {
    if (queue_->closed()) throw EngineFailure{"ModelClosed", "the model is closed"};
    if (state_->cache == nullptr) throw EngineFailure{"SessionClosed", "the session is closed"};
  }

 private:
  static constexpr napi_type_tag kTag = {0x656e74726f666c65, 0x65742d73657373};

  Napi::Value length(const Napi::CallbackInfo& info) {
    const size_t length = state_->cache == nullptr ? 0 : state_->cache->length();
    return Napi::Number::New(info.Env(), static_cast<double>(length));
  }

  Napi::Value forward(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return rejecting(env, [&]() -> Napi::Value {
      require_open();
      const size_t vocabulary = queue_->geometry().vocabulary_size;
      std::vector<uint32_t> tokens = read_tokens(info[0], vocabulary);
      const std::string want = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
      if (want != "last" && want != "all") {
        throw EngineFailure{"BadArgument", "want must be 'last' or 'all'"};
      }
      const bool every = want == "all";
      // Before the result is allocated, since no call can free room in the cache.
      require_room_at_all(tokens.size());
      const size_t rows = every ? tokens.size() : 1;
      if (rows > kMostLogits / vocabulary) {
        throw EngineFailure{"OutOfMemory", "the logits of so many positions do not fit one answer"};
      }
      Napi::Float32Array result = Napi::Float32Array::New(env, rows * vocabulary);
      float* logits = result.Data();
      return submit(env, std::move(tokens), result,
                    [every, logits](EngineModel& model, const EngineCall& call) {
                      KeyValueCache& cache = *call.caches().front();
                      require_room(cache, call.tokens().size());
                      model.forward(cache, call.tokens(), every, logits, call.stop());
                    });
    });
  }

  Napi::Value score(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return rejecting(env, [&]() -> Napi::Value {
      require_open();
      std::vector<uint32_t> tokens = read_tokens(info[0], queue_->geometry().vocabulary_size);
      require_room_at_all(tokens.size());
      Napi::Float64Array result = Napi::Float64Array::New(env, tokens.size() - 1);
      double* losses = result.Data();
      return submit(env, std::move(tokens), result,
                    [losses](EngineModel& model, const EngineCall& call) {
                      KeyValueCache& cache = *call.caches().front();
                      require_room(cache, call.tokens().size());
                      model.score(cache, call.tokens(), losses, call.stop());
                    });
    });
  }

  Napi::Value truncate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      require_open();
      if (state_->pending > 0) {
        throw EngineFailure{"SessionBusy", "truncate() while a call of the session is running"};
      }
      const double length = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
      if (!(length >= 0 && length <= static_cast<double>(state_->cache->length()) &&
            length == static_cast<double>(static_cast<size_t>(length)))) {
        throw EngineFailure{"BadArgument", "truncate() takes an integer from 0 to the length, " +
                                               std::to_string(state_->cache->length())};
      }
      state_->cache->set_length(static_cast<size_t>(length));
      return info.Env().Undefined();
    });
  }

  Napi::Value cancel(const Napi::CallbackInfo& info) {
    state_->stop.request_stop();
    // Calls to come heed the next one.
    state_->stop = std::stop_source();
    return info.Env().Undefined();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    state_->cache.reset();
    return info.Env().Undefined();
  }

  void require_room_at_all(size_t tokens) const {
    if (tokens > state_->cache->capacity()) require_room(*state_->cache, tokens);
  }

  Napi::Value submit(Napi::Env env, std::vector<uint32_t> tokens, Napi::TypedArray result,
                     std::function<void(EngineModel&, const EngineCall&)> run) {
    auto call = std::make_unique<EngineCall>(
        env, queue_,
        EngineCall::Request{{state_}, std::move(tokens), result, std::move(run)});
    const Napi::Promise promise = call->promise();
    queue_->submit(std::move(call));
    return promise;
  }

  std::shared_ptr<EngineQueue> queue_;
  std::shared_ptr<EngineSessionState> state_;
};

constexpr napi_type_tag Session::kTag;

class Model : public Napi::ObjectWrap<Model> {
 public:
  // Arguments: external to the queue, the session class.
  explicit Model(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Model>(info) {
    if (info.Length() != 2 || !info[0].IsExternal() || !info[1].IsFunction()) {
      throw Napi::TypeError::New(info.Env(), "make models with createModel()");
    }
    queue_ = *info[0].As<Napi::External<std::shared_ptr<EngineQueue>>>().Data();
    session_class_ = Napi::Persistent(info[1].As<Napi::Function>());
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeModel",
                       {InstanceAccessor<&Model::weight_bytes>("weightBytes"),
                        InstanceAccessor<&Model::key_value_format>("keyValueFormat"),
                        InstanceMethod<&Model::create_session>("createSession"),
                        InstanceMethod<&Model::step>("step"),
                        InstanceMethod<&Model::close>("close")});
  }

 private:
  Napi::Value weight_bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(queue_->weight_bytes()));
  }

  Napi::Value key_value_format(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), queue_->quantized() ? "f16" : "f32");
  }

  Napi::Value create_session(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
      if (queue_->closed()) throw EngineFailure{"ModelClosed", "the model is closed"};
      const double asked = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
      const double most = static_cast<double>(queue_->context_length());
      if (!(asked >= 1 && asked <= most && asked == static_cast<double>(
                                                        static_cast<size_t>(asked)))) {
        throw EngineFailure{"ContextExceeded", "a session's context must be an integer from 1 to " +
                                                   std::to_string(queue_->context_length())};
      }
      const EngineGeometry& g = queue_->geometry();
      auto* cache = new KeyValueCache(
          {g.layers, g.key_value_heads, g.head_size, static_cast<size_t>(asked)},
          read_format(info[1]));
      const int64_t bytes = static_cast<int64_t>(cache->size_bytes());
      // The garbage collector must know what an unreachable session costs.
      Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
      std::shared_ptr<KeyValueCache> shared(cache, [env, bytes](KeyValueCache* owned) {
        delete owned;
        Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
      });
      return session_class_.New(
          {Napi::External<std::shared_ptr<EngineQueue>>::New(env, &queue_),
           Napi::External<std::shared_ptr<KeyValueCache>>::New(env, &shared)});
    });
  }

  // Quantized weights lose more than float16 keys and values do; float weights lose nothing.
  KeyValueFormat read_format(const Napi::Value& options) const {
    const Napi::Value value = options.IsObject() ? options.As<Napi::Object>().Get("keyValueFormat")
                                                 : options;
    if (value.IsUndefined()) {
      return queue_->quantized() ? KeyValueFormat::kFloat16 : KeyValueFormat::kFloat32;
    }
    const std::string text = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
    if (text == "f32") return KeyValueFormat::kFloat32;
    if (text == "f16") return KeyValueFormat::kFloat16;
    if (text == "int8") return KeyValueFormat::kInt8;
    throw EngineFailure{"BadArgument", "keyValueFormat must be f32, f16 or int8"};
  }

  Napi::Value step(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return rejecting(env, [&]() -> Napi::Value {
      if (queue_->closed()) throw EngineFailure{"ModelClosed", "the model is closed"};
      const size_t vocabulary = queue_->geometry().vocabulary_size;
      EngineCall::Request request;
      request.sessions = read_sessions(info[0]);
      request.tokens = read_tokens(info[1], vocabulary);
      if (request.tokens.size() != request.sessions.size()) {
        throw EngineFailure{"BadArgument", "step() takes one token for each session"};
      }
      if (request.tokens.size() > kMostLogits / vocabulary) {
        throw EngineFailure{"OutOfMemory", "the logits of so many sessions do not fit one answer"};
      }
      Napi::Float32Array result =
          Napi::Float32Array::New(env, request.tokens.size() * vocabulary);
      request.result = result;
      float* logits = result.Data();
      request.run = [logits](EngineModel& model, const EngineCall& call) {
        std::vector<KeyValueCache*> caches;
        for (const std::shared_ptr<KeyValueCache>& cache : call.caches()) {
          require_room(*cache, 1);
          caches.push_back(cache.get());
        }
        model.step(caches, call.tokens(), logits);
      };
      auto call = std::make_unique<EngineCall>(env, queue_, std::move(request));
      const Napi::Promise promise = call->promise();
      queue_->submit(std::move(call));
      return promise;
    });
  }

  std::vector<std::shared_ptr<EngineSessionState>> read_sessions(const Napi::Value& value) const {
    if (!value.IsArray()) throw EngineFailure{"BadArgument", "step() takes an array of sessions"};
    const Napi::Array array = value.As<Napi::Array>();
    std::vector<std::shared_ptr<EngineSessionState>> sessions;
    std::unordered_set<EngineSessionState*> seen;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Session* session = Session::from(array.Get(i));
      if (session == nullptr || session->queue() != queue_) {
        throw EngineFailure{"BadArgument", "step() takes sessions of this model"};
      }
      session->require_open();
      if (!seen.insert(session->state().get()).second) {
        throw EngineFailure{"BadArgument", "step() takes each session once"};
      }
      sessions.push_back(session->state());
    }
    return sessions;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    queue_->close();
    return info.Env().Undefined();
  }

  std::shared_ptr<EngineQueue> queue_;
  Napi::FunctionReference session_class_;
};

// The classes of one environment (the main thread or a worker thread).
struct EngineClasses {
  Napi::FunctionReference model;
  Napi::FunctionReference session;
};

Napi::Value create_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    if (info.Length() != 3 || !info[0].IsObject() || !info[1].IsObject() || !info[2].IsObject()) {
      throw EngineFailure{"BadArgument", "createModel takes geometry, tensors and options"};
    }
    const Napi::Object options = info[2].As<Napi::Object>();
    const size_t threads = read_count(options, "threads", 1, kMostThreads);
    const bool pin = options.Get("pinThreads").ToBoolean();
    auto queue = std::make_shared<EngineQueue>(
        read_engine_arguments(info[0].As<Napi::Object>(), info[1].As<Napi::Object>(),
                              static_cast<int>(threads)),
        EngineOptions{static_cast<int>(threads), pin});
    const EngineClasses& classes = *static_cast<EngineClasses*>(info.Data());
    return classes.model.New({Napi::External<std::shared_ptr<EngineQueue>>::New(env, &queue),
                              classes.session.Value()});
  });
}

}  // namespace

void add_engine(Napi::Env env, Napi::Object exports) {
  auto* classes = new EngineClasses{Napi::Persistent(Model::define(env)),
                                    Napi::Persistent(Session::define(env))};
  env.AddCleanupHook([](EngineClasses* owned) { delete owned; }, classes);
  exports.Set("createModel", Napi::Function::New(env, create_model, "createModel", classes));
}

}  // namespace entrofleet
