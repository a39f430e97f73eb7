// Decodes with a small model and counts what is allocated meanwhile: `make test-native`.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "kernels/engine_model.h"
#include "kernels/float_matrix.h"
#include "kernels/window_resident.h"
#include "test/differential.h"

namespace {

std::atomic<size_t> allocations{0};

void* counted(size_t bytes, size_t alignment) {
  ++allocations;
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace entrofleet::test {
namespace {

constexpr size_t kVocabulary = 64;
constexpr size_t kSize = 48;
constexpr size_t kContext = 1200;

SharedMatrix symbols(Random& random, ThreadTeam& team, size_t rows, size_t columns) {
  const std::vector<uint8_t> bytes = random.bytes(rows * columns);
  return std::make_shared<WindowResident>(
      pack_windows({rows, columns, 8}, {bytes.data(), false}, engine_kernels(active_isa()), team),
      128.0f, std::vector<float>{0.001f});
}

SharedMatrix floats(Random& random, size_t rows, size_t columns) {
  auto values = std::make_shared<std::vector<float>>(rows * columns);
  for (float& value : *values) value = static_cast<float>(random.below(1000)) / 5000 - 0.1f;
  const FloatWeights weights{FloatFormat::kFloat32, rows, columns, values->data()};
  return std::make_shared<FloatMatrix>(weights, values);
}

EngineModel make_model() {
  Random random(1);
  ThreadTeam team(1);
  EngineGeometry geometry{kVocabulary, kSize, kSize, 2, 4, 2, 12, 1e-5, {1, 0.1}, {}, 0, 1, {0, 300}};
  EngineLayer layer;
  layer.query = symbols(random, team, kSize, kSize);
  layer.key = symbols(random, team, kSize / 2, kSize);
  layer.value = floats(random, kSize / 2, kSize);
  layer.output = symbols(random, team, kSize, kSize);
  layer.gate = symbols(random, team, kSize, kSize);
  layer.up = floats(random, kSize, kSize);
  layer.down = symbols(random, team, kSize, kSize);
  layer.attention_norm.assign(kSize, 1);
  layer.mlp_norm.assign(kSize, 1);
  EngineWeights weights;
  weights.embedding = symbols(random, team, kVocabulary, kSize);
  weights.head = weights.embedding;
  weights.final_norm.assign(kSize, 1);
  weights.layers = {layer, layer};
  return {std::move(geometry), std::move(weights), {2, false}};
}

// Allocations while a text is continued by `count` tokens.
size_t decode(EngineModel& model, KeyValueCache& cache, size_t count) {
  std::vector<float> logits(kVocabulary);
  const size_t before = allocations;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t token = static_cast<uint32_t>(cache.length() * 7 % kVocabulary);
    model.forward(cache, {&token, 1}, false, logits.data(), {});
  }
  return allocations - before;
}

bool holds() {
  EngineModel model = make_model();
  KeyValueCache cache({2, 2, 12, kContext}, KeyValueFormat::kFloat16);
  const std::vector<uint32_t> prompt(500, 3);
  std::vector<float> logits(kVocabulary);
  model.forward(cache, prompt, false, logits.data(), {});
  decode(model, cache, 1);
  const size_t made = decode(model, cache, 600);
  std::printf("decoding 600 tokens allocates %zu times\n", made);
  return made == 0;
}

}  // namespace
}  // namespace entrofleet::test

int main() { return entrofleet::test::holds() ? EXIT_SUCCESS : EXIT_FAILURE; }
