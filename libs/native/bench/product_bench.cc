// Measures products of matrices in memory with activations, beside plain forms and beside reading
// memory and doing nothing with it. Prints one JSON object per line.
//
//   product_bench [--isa avx2] [--rounds 5] [--megabytes 128] [--columns 4096] [--symbols NAME]
//
// Every form of a source has so many weights that the smallest takes at least --megabytes, which is
// to be more than the caches hold.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>

#include "bench/options.h"
#include "bench/symbol_generator.h"
#include "kernels/activations.h"
#include "kernels/cpu.h"
#include "kernels/engine_kernels.h"
#include "kernels/thread_team.h"
#include "kernels/window_matrix.h"

namespace entrofleet::bench {
namespace {

constexpr size_t kRowsEach = 4096;
constexpr size_t kMostPositions = 128;
constexpr size_t kSliceGroups = 16;
constexpr int kMostThreads = 2;

struct Source {
  const char* name;
  int bits;
  double entropy_bits;
};

constexpr Source kSources[] = {
    {"u8 at 5.6 bits", 8, 5.6},
    {"u8 at 3.25 bits", 8, 3.25},
    {"u4 at 1.4 bits", 4, 1.4},
    {"u4 at 1.8 bits", 4, 1.8},
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One kind of work and the best time it took.
struct Measurement {
  std::string form;
  size_t positions;
  int threads;
  double weights;
  double bytes;
  double exceptions_share;
  std::function<void()> work;
  double seconds = 1e30;
};

class Inputs {
 public:
  Inputs(const EngineKernels& kernels, size_t columns)
      : stride_(activation_stride(columns)),
        high_(allocate<int8_t>()),
        low_(allocate<int8_t>()),
        whole_(allocate<int16_t>()),
        scales_(kMostPositions),
        sums_(kMostPositions) {
    std::vector<float> values(columns);
    for (size_t p = 0; p < kMostPositions; ++p) {
      for (size_t c = 0; c < columns; ++c) {
        values[c] = static_cast<float>((c * 7919 + p * 104729) % 2003) - 1001;
      }
      const size_t at = p * stride_;
      kernels.quantize_activations(values.data(), columns, stride_,
                                   {high_.get() + at, low_.get() + at, whole_.get() + at,
                                    &scales_[p], &sums_[p]});
    }
  }

  Activations view(size_t positions) const {
    return {high_.get(), low_.get(), whole_.get(), scales_.data(), sums_.data(), stride_,
            positions};
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  template <typename Element>
  std::unique_ptr<Element, Free> allocate() const {
    return std::unique_ptr<Element, Free>(static_cast<Element*>(
        std::aligned_alloc(64, stride_ * kMostPositions * sizeof(Element))));
  }

  size_t stride_;
  std::unique_ptr<int8_t, Free> high_;
  std::unique_ptr<int8_t, Free> low_;
  std::unique_ptr<int16_t, Free> whole_;
  std::vector<float> scales_;
  std::vector<int64_t> sums_;
};

using Matrices = std::vector<std::shared_ptr<WindowMatrix>>;

// Multiplies all matrices, one after the other, as a pass over a model does.
void multiply_all(const Matrices& matrices, const Activations& inputs,
                  const EngineKernels& kernels, ThreadTeam& team, std::vector<float>& outputs) {
  alignas(64) static uint8_t scratch[kMostThreads][kWindowScratchBytes];
  static const float step = 0.01f;
  for (const auto& matrix : matrices) {
    const WindowView& view = matrix->view();
    const WindowProduct product = {&view,   &inputs, 128,       &step, false,
                                   nullptr, outputs.data(), view.rows, false};
    const size_t groups = window_groups(view.rows);
    team.share((groups + kSliceGroups - 1) / kSliceGroups, [&](size_t slice, int member) {
      const size_t begin = slice * kSliceGroups;
      kernels.multiply_windows(product, begin, std::min(groups, begin + kSliceGroups),
                               scratch[member]);
    });
  }
}

// What any product could reach at best: reads everything, prefetched as the products do.
void read_all(const Matrices& matrices, ThreadTeam& team) {
  for (const auto& matrix : matrices) {
    const WindowView& view = matrix->view();
    const size_t groups = window_groups(view.rows);
    const size_t bytes = tiles_across(view.columns) * tile_bytes(view.symbol_bits);
    team.share(groups / kSliceGroups, [&](size_t slice, int) {
      uint64_t sums[8] = {};
      for (size_t g = slice * kSliceGroups; g < (slice + 1) * kSliceGroups; ++g) {
        const uint8_t* from = view.groups[g].tiles;
        for (size_t i = 0; i < bytes; i += 64) {
          __builtin_prefetch(from + i + 2048);
          uint64_t words[8];
          __builtin_memcpy(words, from + i, 64);
          for (size_t k = 0; k < 8; ++k) sums[k] ^= words[k];
        }
      }
      for (uint64_t& sum : sums) asm volatile("" : "+r"(sum));
    });
  }
}

size_t resident_bytes(const Matrices& matrices) {
  size_t total = 0;
  for (const auto& matrix : matrices) total += matrix->resident_bytes();
  return total;
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : rounds_(options.number("rounds", "5")),
        columns_(options.number("columns", "4096")),
        least_bytes_(options.number("megabytes", "128") << 20),
        kernels_(engine_kernels(active_isa())),
        inputs_(kernels_, columns_),
        outputs_(kMostPositions * kRowsEach) {}

  void measure(const Source& source) {
    const SymbolSet set =
        generate_symbols({source.bits, source.entropy_bits, 1, kRowsEach, columns_}, kMostThreads);
    const WindowSource symbols = {set.bytes.data(), source.bits == 4};
    const unsigned bits = static_cast<unsigned>(source.bits);
    const WindowShape shapes[2] = {{kRowsEach, columns_, bits, WindowForm::kPlain},
                                   {kRowsEach, columns_, bits, WindowForm::kWindow}};
    std::vector<Measurement> all;
    Matrices matrices[2];
    const auto one = pack_windows(shapes[1], symbols, kernels_, teams_[1]);
    copies_ = 1 + least_bytes_ / one->resident_bytes();
    for (size_t form = 0; form < 2; ++form) {
      for (size_t copy = 0; copy < copies_; ++copy) {
        matrices[form].push_back(pack_windows(shapes[form], symbols, kernels_, teams_[1]));
      }
      add_products(form == 0 ? "plain" : "window", matrices[form], &all);
    }
    for (int threads = 1; threads <= kMostThreads; ++threads) {
      ThreadTeam& team = teams_[threads - 1];
      all.push_back({"read", 0, threads, weights(),
                     static_cast<double>(resident_bytes(matrices[0])), 0,
                     [&] { read_all(matrices[0], team); }});
      all.push_back({"pack", 0, threads, static_cast<double>(kRowsEach * columns_),
                     static_cast<double>(matrices[1][0]->resident_bytes()), 0,
                     [&] { pack_windows(shapes[1], symbols, kernels_, team); }});
    }
    for (size_t round = 0; round < rounds_; ++round) {
      for (Measurement& each : all) each.seconds = std::min(each.seconds, seconds_of(each.work));
    }
    for (const Measurement& each : all) print(source, each);
  }

 private:
  double weights() const { return static_cast<double>(copies_ * kRowsEach * columns_); }

  void add_products(const char* form, const Matrices& matrices, std::vector<Measurement>* all) {
    const double share = static_cast<double>(matrices[0]->exceptions()) /
                         static_cast<double>(kRowsEach * columns_);
    for (int threads = 1; threads <= kMostThreads; ++threads) {
      ThreadTeam& team = teams_[threads - 1];
      for (const size_t positions : {size_t{1}, size_t{2}, size_t{4}}) {
        all->push_back({form, positions, threads, weights(),
                        static_cast<double>(resident_bytes(matrices)), share,
                        [this, &matrices, &team, positions] {
                          multiply_all(matrices, inputs_.view(positions), kernels_, team,
                                       outputs_);
                        }});
      }
      // One matrix is enough where the memory is not what bounds.
      all->push_back({form, kMostPositions, threads, static_cast<double>(kRowsEach * columns_),
                      static_cast<double>(matrices[0]->resident_bytes()), share,
                      [this, first = Matrices{matrices[0]}, &team] {
                        multiply_all(first, inputs_.view(kMostPositions), kernels_, team,
                                     outputs_);
                      }});
    }
  }

  static void print(const Source& source, const Measurement& each) {
    const double products = each.weights * static_cast<double>(std::max<size_t>(1, each.positions));
    std::printf(
        "{\"symbols\":\"%s\",\"form\":\"%s\",\"positions\":%zu,\"threads\":%d,"
        "\"bitsPerWeight\":%.3f,\"exceptionShare\":%.5f,\"gigaweightsPerSecond\":%.2f,"
        "\"gigabytesPerSecond\":%.2f,\"gigaproductsPerSecond\":%.1f}\n",
        source.name, each.form.c_str(), each.positions, each.threads,
        8 * each.bytes / each.weights, each.exceptions_share, each.weights / each.seconds / 1e9,
        each.bytes / each.seconds / 1e9, products / each.seconds / 1e9);
    std::fflush(stdout);
  }

  const size_t rounds_;
  const size_t columns_;
  const size_t least_bytes_;
  size_t copies_ = 1;
  const EngineKernels& kernels_;
  ThreadTeam teams_[kMostThreads] = {ThreadTeam(1), ThreadTeam(2)};
  const Inputs inputs_;
  std::vector<float> outputs_;
};

void run(const Options& options) {
  const std::string isa = options.text("isa", isa_name(best_isa()));
  if (!force_isa(isa)) throw std::runtime_error("this machine has no " + isa);
  const std::string only = options.text("symbols", "");
  Bench bench(options);
  for (const Source& source : kSources) {
    if (only.empty() || only == source.name) bench.measure(source);
  }
}

}  // namespace
}  // namespace entrofleet::bench

int main(int count, char** words) {
  try {
    entrofleet::bench::run(entrofleet::bench::Options(count - 1, words + 1));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "product_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
