// LoaderBinding of src/loader.types.ts. Arguments are read on the JavaScript thread; the work runs
// on Node's pool and the threads it starts.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "binding/artifact_loader.h"
#include "binding/codec_arguments.h"
#include "binding/codec_call.h"
#include "binding/engine_matrix.h"
#include "binding/parts.h"
#include "kernels/codec_segments.h"
#include "kernels/machine_rates.h"
#include "kernels/page_memory.h"
#include "kernels/window_format.h"

namespace entrofleet {
namespace {

constexpr uint64_t kMostInteger = (uint64_t{1} << 53) - 1;
// As in FORMAT.md; a product of two is far from overflowing.
constexpr uint64_t kMostRows = uint64_t{1} << 24;
constexpr uint64_t kMostBuffers = 4096;
constexpr uint64_t kMostBufferBytes = uint64_t{1} << 30;

LoadForm form_of(const CodecArguments& arguments) {
  const std::string name = arguments.text("form");
  if (name == "plain") return LoadForm::kPlain;
  if (name == "window") return LoadForm::kWindow;
  if (name == "coded") return LoadForm::kCoded;
  if (name == "disk") return LoadForm::kDisk;
  arguments.refuse("form", "'plain', 'window', 'coded' or 'disk'");
}

std::vector<LoadPart> parts_of(const CodecArguments& arguments) {
  std::vector<LoadPart> parts;
  for (CodecArguments& part : arguments.objects("parts")) {
    parts.push_back({static_cast<size_t>(part.integer("firstRow", 0, kMostRows)),
                     static_cast<size_t>(part.integer("rows", 1, kMostRows))});
  }
  return parts;
}

LoadTensor tensor_of(CodecArguments& arguments) {
  LoadTensor tensor;
  tensor.rows = static_cast<size_t>(arguments.integer("rows", 1, kMostRows));
  tensor.columns = static_cast<size_t>(arguments.integer("columns", 1, kMostWindowColumns));
  tensor.symbol_bits = static_cast<unsigned>(arguments.integer("bits", 4, 8));
  if (tensor.symbol_bits != 4 && tensor.symbol_bits != 8) arguments.refuse("bits", "8 or 4");
  tensor.zero_point = static_cast<float>(arguments.integer("zeroPoint", 0, 255));
  tensor.step = arguments.has("step") ? static_cast<float>(arguments.number("step")) : 0;
  if (arguments.has("step") && !(std::isfinite(tensor.step) && tensor.step != 0)) {
    arguments.refuse("step", "a finite number other than 0");
  }
  if (arguments.text("codec") == "huffman") {
    tensor.code = arguments.code_lengths("code");
  } else if (arguments.text("codec") == "lanes") {
    const std::span<uint8_t> code = arguments.bytes("code");
    tensor.code = std::vector<uint8_t>(code.begin(), code.end());
  } else {
    arguments.refuse("codec", "'huffman' or 'lanes'");
  }
  tensor.segment_symbols =
      static_cast<size_t>(arguments.integer("segmentSymbols", 1, kMostSegmentSymbols));
  tensor.segment_sizes = arguments.words("segmentSizes");
  tensor.offset = arguments.integer("offset", 0, kMostInteger);
  tensor.chunk_sizes = arguments.words("chunkSizes");
  if (arguments.has("chunkDigests")) {
    tensor.chunk_digests = arguments.bytes("chunkDigests");
    if (tensor.chunk_digests.empty()) arguments.refuse("chunkDigests", "32 bytes for each chunk");
  }
  tensor.form = form_of(arguments);
  tensor.parts = parts_of(arguments);
  return tensor;
}

Napi::Value loaded_value(Napi::Env env, LoadedMatrices& loaded) {
  Napi::Array tensors = Napi::Array::New(env, loaded.matrices.size());
  for (uint32_t i = 0; i < loaded.matrices.size(); ++i) {
    std::vector<std::shared_ptr<const ResidentMatrix>>& matrices = loaded.matrices[i];
    Napi::Array parts = Napi::Array::New(env, matrices.size());
    for (uint32_t k = 0; k < matrices.size(); ++k) {
      parts.Set(k, wrap_matrix(env, std::move(matrices[k])));
    }
    tensors.Set(i, parts);
  }
  Napi::Object value = Napi::Object::New(env);
  value.Set("matrices", tensors);
  value.Set("decodeSeconds", loaded.decode_seconds);
  return value;
}

int descriptor_of(const CodecArguments& arguments) {
  return static_cast<int>(arguments.integer("descriptor", 0, INT32_MAX));
}

Napi::Value load_matrices_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    CodecArguments arguments(info, "loadMatrices");
    auto request = std::make_shared<LoadRequest>();
    request->descriptor = descriptor_of(arguments);
    request->threads = arguments.threads();
    request->watch = arguments.watch();
    for (CodecArguments& tensor : arguments.objects("tensors")) {
      request->tensors.push_back(tensor_of(tensor));
    }
    const CodecArguments buffers = arguments.object("diskBuffers");
    request->disk_buffers = {
        static_cast<size_t>(buffers.integer("count", request->threads + 1, kMostBuffers)),
        static_cast<size_t>(
            buffers.integer("sizeBytes", 2 * ReadOnlyFile::kAlignment, kMostBufferBytes))};
    return run(
        env, arguments.buffers(), [request] { return load_artifact(*request); }, loaded_value);
  });
}

Napi::Value measure_machine_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    const CodecArguments arguments(info, "measureMachine");
    const int threads = static_cast<int>(arguments.threads());
    const size_t bytes =
        arguments.has("sizeBytes")
            ? static_cast<size_t>(arguments.integer("sizeBytes", 1, kMachineReadBytes))
            : kMachineReadBytes;
    return run(
        env, arguments.buffers(), [=] { return measure_machine(threads, bytes); },
        [](Napi::Env env, MachineRates& rates) -> Napi::Value {
          Napi::Object value = Napi::Object::New(env);
          value.Set("readBytesPerSecond", rates.read_bytes_per_second);
          value.Set("laneSymbolsPerSecond", rates.lane_symbols_per_second);
          value.Set("streamSymbolsPerSecond", rates.stream_symbols_per_second);
          value.Set("productWeightsPerSecond", rates.product_weights_per_second);
          return value;
        });
  });
}

// Reads a piece after the other; the time of opening counts, as it does for who loads a model.
double disk_rate(int descriptor, size_t bytes) {
  constexpr size_t kPieceBytes = size_t{2} << 20;
  const auto begin = std::chrono::steady_clock::now();
  const ReadOnlyFile file(descriptor, ReadOnlyFile::Caching::kBypass);
  const PageMemory memory(kPieceBytes);
  size_t done = 0;
  while (done < bytes) {
    const int64_t got = file.read(done, memory.data(), kPieceBytes);
    if (got == -1) throw CodecFailure{"ReadFailed", std::strerror(errno), std::nullopt};
    done += static_cast<size_t>(got);
    if (got < static_cast<int64_t>(kPieceBytes)) break;
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(done) / elapsed.count();
}

Napi::Value measure_disk_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return rejecting(env, [&] {
    const CodecArguments arguments(info, "measureDisk");
    const int descriptor = descriptor_of(arguments);
    const size_t bytes = static_cast<size_t>(arguments.integer("sizeBytes", 1, kMostInteger));
    return run(
        env, arguments.buffers(), [=] { return disk_rate(descriptor, bytes); },
        [](Napi::Env env, double& rate) -> Napi::Value { return Napi::Number::New(env, rate); });
  });
}

Napi::Value release_matrix_call(const Napi::CallbackInfo& info) {
  release_matrix(info[0]);
  return info.Env().Undefined();
}

}  // namespace

void add_loader(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("loadMatrices", load_matrices_call);
  add("releaseMatrix", release_matrix_call);
  add("measureMachine", measure_machine_call);
  add("measureDisk", measure_disk_call);
}

}  // namespace entrofleet
