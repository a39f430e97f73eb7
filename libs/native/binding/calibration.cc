// CalibrationBinding of src/calibration.types.ts. Arguments are read on the JavaScript thread; the
// work runs on Node's pool.
#include <algorithm>
#include <memory>
#include <vector>

#include "binding/codec_arguments.h"
#include "binding/codec_call.h"
#include "binding/parts.h"
#include "kernels/calibration_forward.h"
#include "kernels/engine_kernels.h"
#include "kernels/feedback_quantizer.h"
#include "kernels/gram_factor.h"

namespace entrofleet {
namespace {

// So that the square of a side fits any size_t.
constexpr uint64_t kMostSide = uint64_t{1} << 24;

size_t side(const CodecArguments& arguments, const char* field) {
  return static_cast<size_t>(arguments.integer(field, 1, kMostSide));
}

void require_rows(const CodecArguments& arguments, const char* field, size_t size,
                  size_t columns) {
  if (size % columns != 0) {
    arguments.refuse(field, "whole rows of " + std::to_string(columns) + " elements");
  }
}

void require_size(const CodecArguments& arguments, const char* field, size_t size,
                  size_t wanted) {
  if (size != wanted) arguments.refuse(field, std::to_string(wanted) + " elements");
}

Napi::Value float_value(Napi::Env env, OwnedArray<float>& floats) {
  return hand_over<float, Napi::Float32Array>(env, floats);
}

Napi::Value nothing(Napi::Env env, bool&) { return env.Undefined(); }

Napi::Value linear_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "linear");
    LinearInput input;
    input.inputs = arguments.floats("inputs");
    input.weights = arguments.floats("weights");
    input.columns = side(arguments, "columns");
    input.rows = side(arguments, "rows");
    if (arguments.has("bias")) input.bias = arguments.floats("bias");
    require_rows(arguments, "inputs", input.inputs.size(), input.columns);
    require_size(arguments, "weights", input.weights.size(), input.rows * input.columns);
    if (!input.bias.empty()) require_size(arguments, "bias", input.bias.size(), input.rows);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(), [=] { return linear(input, threads); },
        [](Napi::Env env, LinearOutput& output) -> Napi::Value {
          Napi::Object value = Napi::Object::New(env);
          value.Set("outputs", float_value(env, output.outputs));
          value.Set("power", output.power);
          return value;
        });
  });
}

Napi::Value add_gram_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "addGram");
    const std::span<double> sums = arguments.doubles("sums");
    const std::span<const float> inputs = arguments.floats("inputs");
    const size_t columns = side(arguments, "columns");
    require_rows(arguments, "inputs", inputs.size(), columns);
    require_size(arguments, "sums", sums.size(), columns * columns);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] {
          add_gram(sums, inputs, columns, threads);
          return true;
        },
        nothing);
  });
}

Napi::Value normalize_rows_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "normalizeRows");
    const std::span<const float> inputs = arguments.floats("inputs");
    const std::span<const float> weight = arguments.floats("weight");
    const double epsilon = arguments.positive("epsilon");
    if (weight.empty()) arguments.refuse("weight", "not empty");
    require_rows(arguments, "inputs", inputs.size(), weight.size());
    return run(
        env, arguments.buffers(),
        [=] {
          // These two kernels of the engine sum in fixed lanes, and so give the same bits on every
          // instruction set.
          const EngineKernels& kernels = engine_kernels(active_isa());
          OwnedArray<float> outputs(inputs.size());
          for (size_t at = 0; at < inputs.size(); at += weight.size()) {
            kernels.normalize(inputs.data() + at, weight.data(), weight.size(), epsilon,
                              outputs.elements.get() + at);
          }
          return outputs;
        },
        float_value);
  });
}

Napi::Value gate_rows_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "gateRows");
    const std::span<const float> gate = arguments.floats("gate");
    const std::span<const float> up = arguments.floats("up");
    require_size(arguments, "up", up.size(), gate.size());
    return run(
        env, arguments.buffers(),
        [=] {
          OwnedArray<float> outputs(gate.size());
          std::copy(gate.begin(), gate.end(), outputs.elements.get());
          engine_kernels(active_isa()).gate(outputs.elements.get(), up.data(), gate.size());
          return outputs;
        },
        float_value);
  });
}

Napi::Value attend_sequences_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "attendSequences");
    auto input = std::make_shared<AttentionInput>();
    input->queries = arguments.floats("queries");
    input->keys = arguments.floats("keys");
    input->values = arguments.floats("values");
    input->heads = side(arguments, "heads");
    input->key_value_heads = side(arguments, "keyValueHeads");
    input->head_size = side(arguments, "headSize");
    input->lengths = arguments.words("lengths");
    const std::span<const double> frequencies = arguments.doubles("rotaryFrequencies");
    input->rotary_frequencies.assign(frequencies.begin(), frequencies.end());
    input->window = static_cast<size_t>(arguments.integer("slidingWindow", 0, kMostSide));
    if (input->heads % input->key_value_heads != 0) {
      arguments.refuse("heads", "a multiple of keyValueHeads");
    }
    if (2 * frequencies.size() > input->head_size) {
      arguments.refuse("rotaryFrequencies", "at most half of headSize");
    }
    size_t tokens = 0;
    for (const uint32_t length : input->lengths) tokens += length;
    const size_t key_width = input->key_value_heads * input->head_size;
    require_size(arguments, "queries", input->queries.size(),
                 tokens * input->heads * input->head_size);
    require_size(arguments, "keys", input->keys.size(), tokens * key_width);
    require_size(arguments, "values", input->values.size(), tokens * key_width);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(), [=] { return attend_sequences(*input, threads); }, float_value);
  });
}

Napi::Value add_probabilities_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "addProbabilities");
    const std::span<const float> logits = arguments.floats("logits");
    const std::span<double> sums = arguments.doubles("sums");
    const std::span<double> spreads = arguments.doubles("variances");
    if (sums.empty()) arguments.refuse("sums", "not empty");
    require_rows(arguments, "logits", logits.size(), sums.size());
    require_size(arguments, "variances", spreads.size(), sums.size());
    return run(
        env, arguments.buffers(),
        [=] {
          add_probabilities(logits, sums, spreads);
          return true;
        },
        nothing);
  });
}

Napi::Value factor_gram_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "factorGram");
    const std::span<double> gram = arguments.doubles("gram");
    const size_t columns = side(arguments, "columns");
    const double damping = arguments.positive("damping");
    require_size(arguments, "gram", gram.size(), columns * columns);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(), [=] { return factor_gram(gram, columns, damping, threads); },
        [](Napi::Env env, GramFactor& factor) -> Napi::Value {
          Napi::Object value = Napi::Object::New(env);
          Napi::Uint32Array order = Napi::Uint32Array::New(env, factor.order.size());
          std::copy(factor.order.begin(), factor.order.end(), order.Data());
          Napi::Float64Array pivots = Napi::Float64Array::New(env, factor.pivots.size());
          std::copy(factor.pivots.begin(), factor.pivots.end(), pivots.Data());
          value.Set("order", order);
          value.Set("pivots", pivots);
          value.Set("feedback", float_value(env, factor.feedback));
          return value;
        });
  });
}

// The fields `order` and `pivots`, copied: they are checked once and then relied on.
struct CheckedOrder {
  std::vector<uint32_t> order;
  std::vector<double> pivots;
};

std::shared_ptr<CheckedOrder> checked_order(CodecArguments& arguments, size_t columns) {
  auto checked = std::make_shared<CheckedOrder>();
  const std::span<uint32_t> order = arguments.indices("order");
  const std::span<double> pivots = arguments.doubles("pivots");
  checked->order.assign(order.begin(), order.end());
  checked->pivots.assign(pivots.begin(), pivots.end());
  require_size(arguments, "pivots", pivots.size(), columns);
  std::vector<bool> seen(columns);
  for (const uint32_t column : checked->order) {
    if (column >= columns || seen[column]) arguments.refuse("order", "every column once");
    seen[column] = true;
  }
  require_size(arguments, "order", order.size(), columns);
  for (const double pivot : checked->pivots) {
    if (!(pivot > 0)) arguments.refuse("pivots", "above 0");
  }
  return checked;
}

Napi::Value quantize_with_feedback_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "quantizeWithFeedback");
    const RawMatrix matrix = arguments.matrix();
    const std::vector<RowBlock> blocks = arguments.row_blocks(matrix.rows);
    const std::span<const float> spreads = arguments.spreads(matrix.rows);
    const auto checked = checked_order(arguments, matrix.columns);
    const std::span<const float> feedback = arguments.floats("feedback");
    const size_t pairs = matrix.columns < 2 ? 0 : matrix.columns * (matrix.columns - 1) / 2;
    require_size(arguments, "feedback", feedback.size(), pairs);
    const size_t threads = arguments.threads();
    return run(
        env, arguments.buffers(),
        [=] {
          return quantize_with_feedback(matrix, {blocks, spreads},
                                        {checked->order, checked->pivots, feedback}, threads);
        },
        quantized_value);
  });
}

}  // namespace

void add_calibration(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("linear", linear_call);
  add("addGram", add_gram_call);
  add("normalizeRows", normalize_rows_call);
  add("gateRows", gate_rows_call);
  add("attendSequences", attend_sequences_call);
  add("addProbabilities", add_probabilities_call);
  add("factorGram", factor_gram_call);
  add("quantizeWithFeedback", quantize_with_feedback_call);
}

}  // namespace entrofleet
