// Makes symbols, or measures the codecs on them; test/bench/codec.bench.ts runs this and formats
// what it prints.
//
//   codec_bench generate --bits 8 --entropy 5.6 --tensors 8 --rows 8192 --columns 4096
//               --threads 2 --symbols FILE
//   codec_bench measure --symbols FILE --rounds 7 --threads 1,2 [--isa avx2] [--least-bytes N]
//   codec_bench checkpoint --type f16|bf16 --layout FILE [--reach 11.4] --threads 2
//               --out model.safetensors
#include <malloc.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>

#include "bench/bench_codec.h"
#include "bench/options.h"
#include "bench/symbol_generator.h"
#include "kernels/codec_failure.h"
#include "kernels/cpu.h"

namespace entrofleet::bench {
namespace {

struct Samples {
  std::string codec;
  const char* work;
  int threads;
  size_t bytes;
  std::vector<double> seconds;
};

// One thread's time is its CPU time, which is the wall clock's where the machine is quiet and does
// not count what others run meanwhile where it is not. They still share the memory.
template <typename Work>
double seconds_of(int threads, const Work& work) {
  timespec begin;
  timespec end;
  const clockid_t clock = threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  clock_gettime(clock, &begin);
  work();
  clock_gettime(clock, &end);
  return static_cast<double>(end.tv_sec - begin.tv_sec) +
         static_cast<double>(end.tv_nsec - begin.tv_nsec) * 1e-9;
}

using Codecs = std::vector<std::unique_ptr<BenchCodec>>;

Codecs all_codecs() {
  Codecs codecs;
  codecs.push_back(memory_copy());
  codecs.push_back(huffman_codec());
  codecs.push_back(lanes_codec());
  for (const int level : {1, 19}) {
    if (auto zstd = zstd_codec(level)) codecs.push_back(std::move(zstd));
  }
  return codecs;
}

// Memory as the artifact's reader decodes into (allocateOutput): in huge pages where the system has
// them. Touched once, so that no codec pays for its being fresh.
struct Pages {
  explicit Pages(size_t size)
      : bytes(static_cast<uint8_t*>(std::aligned_alloc(kPageBytes, rounded(size))), &std::free) {
    if (bytes == nullptr) throw std::bad_alloc();
    madvise(bytes.get(), rounded(size), MADV_HUGEPAGE);
    std::memset(bytes.get(), 1, size);
  }

  static constexpr size_t kPageBytes = size_t{1} << 21;
  static size_t rounded(size_t size) { return (size / kPageBytes + 1) * kPageBytes; }

  std::unique_ptr<uint8_t, decltype(&std::free)> bytes;
};

// Each round measures every codec once, so that what disturbs the machine disturbs all of them and
// ratios within a round mean something.
std::vector<Samples> measure_rounds(const Codecs& codecs, const SymbolSet& set, int threads,
                                    size_t rounds) {
  std::vector<Samples> encoding;
  std::vector<Samples> decoding;
  for (const auto& codec : codecs) {
    encoding.push_back({codec->name(), "encode", threads, 0, {}});
    decoding.push_back({codec->name(), "decode", threads, set.bytes.size(), {}});
  }
  const Pages output(set.bytes.size());
  // Round 0 warms up: it takes fresh memory from the system, which later rounds use again.
  for (size_t round = 0; round <= rounds; ++round) {
    for (size_t i = 0; i < codecs.size(); ++i) {
      // Encoders that take a sample are far from the others: one round tells enough.
      const bool once = !codecs[i]->has_encoder() || codecs[i]->is_sample();
      if (round > 0 && once) continue;
      const double seconds = seconds_of(threads, [&] { codecs[i]->encode(set, threads); });
      if (round > 0 || once) encoding[i].seconds.push_back(seconds);
      encoding[i].bytes = codecs[i]->encoded_bytes();
    }
  }
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < codecs.size(); ++i) {
      decoding[i].seconds.push_back(
          seconds_of(threads, [&] { codecs[i]->decode(output.bytes.get(), threads); }));
      if (round == 0 && !codecs[i]->gave_back(set, output.bytes.get())) {
        throw std::runtime_error(codecs[i]->name() + " did not give the symbols back");
      }
    }
  }
  std::vector<Samples> all;
  for (size_t i = 0; i < codecs.size(); ++i) {
    if (codecs[i]->has_encoder()) all.push_back(encoding[i]);
    all.push_back(decoding[i]);
  }
  return all;
}

void print_samples(const std::vector<Samples>& all) {
  for (size_t i = 0; i < all.size(); ++i) {
    const Samples& samples = all[i];
    std::printf("%s{\"codec\":\"%s\",\"work\":\"%s\",\"threads\":%d,\"bytes\":%zu,\"seconds\":[",
                i == 0 ? "" : ",", samples.codec.c_str(), samples.work, samples.threads,
                samples.bytes);
    for (size_t n = 0; n < samples.seconds.size(); ++n) {
      std::printf("%s%.6f", n == 0 ? "" : ",", samples.seconds[n]);
    }
    std::printf("]}");
  }
}

void measure(const Options& options) {
  const std::string isa = options.text("isa", isa_name(best_isa()));
  if (!force_isa(isa)) throw std::runtime_error("this machine has no " + isa);
  SymbolSet set = read_symbols(options.text("symbols"));
  const size_t least = options.number("least-bytes", "0");
  const double entropy = set.entropy_bits();
  if (set.bytes.size() < least) set = set.repeated((least - 1) / set.bytes.size() + 1);
  // Freed memory stays with the process, so that no repetition pays for fresh pages.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2'000'000'000);

  const Codecs codecs = all_codecs();
  std::vector<Samples> all;
  std::istringstream counts(options.text("threads", "1"));
  for (std::string threads; std::getline(counts, threads, ',');) {
    const auto more = measure_rounds(codecs, set, std::stoi(threads), options.number("rounds", "7"));
    all.insert(all.end(), more.begin(), more.end());
  }
  std::printf("{\"isa\":\"%s\",\"bits\":%d,\"tensors\":%zu,\"bytes\":%zu,\"entropyBits\":%.6f",
              isa.c_str(), set.bits, set.tensor_bytes.size(), set.bytes.size(), entropy);
  std::printf(",\"zstdFrameBytes\":%zu,\"codedBytes\":{", kZstdFrameBytes);
  for (size_t i = 0; i < codecs.size(); ++i) {
    std::printf("%s\"%s\":%zu", i == 0 ? "" : ",", codecs[i]->name().c_str(),
                codecs[i]->coded_bytes());
  }
  std::printf("},\"samples\":[");
  print_samples(all);
  std::printf("]}\n");
}

void generate(const Options& options) {
  const SymbolSpec spec{static_cast<int>(options.number("bits")),
                        std::stod(options.text("entropy")), options.number("tensors"),
                        options.number("rows"), options.number("columns")};
  const int threads = static_cast<int>(options.number("threads", "1"));
  write_symbols(generate_symbols(spec, threads), options.text("symbols"));
}

// A tensor per line: its name, rows, and columns or 0.
std::vector<WeightTensor> read_layout(const std::string& path) {
  std::ifstream file(path);
  std::vector<WeightTensor> tensors;
  for (WeightTensor tensor; file >> tensor.name >> tensor.rows >> tensor.columns;) {
    tensors.push_back(tensor);
  }
  if (tensors.empty() || !file.eof()) throw std::runtime_error(path + " is no layout");
  return tensors;
}

void checkpoint(const Options& options) {
  const WeightSpec spec{read_layout(options.text("layout")), options.text("type"),
                        std::stod(options.text("reach", std::to_string(kDefaultReach).c_str()))};
  write_checkpoint(spec, options.text("out"), static_cast<int>(options.number("threads", "1")));
}

}  // namespace
}  // namespace entrofleet::bench

int main(int count, char** words) {
  const std::string command = count > 1 ? words[1] : "";
  try {
    const entrofleet::bench::Options options(count - 2, words + 2);
    if (command == "generate") {
      entrofleet::bench::generate(options);
    } else if (command == "measure") {
      entrofleet::bench::measure(options);
    } else if (command == "checkpoint") {
      entrofleet::bench::checkpoint(options);
    } else {
      throw std::runtime_error("usage: codec_bench generate|measure|checkpoint --NAME VALUE...");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "codec_bench: %s\n", error.what());
    return 1;
  } catch (const entrofleet::CodecFailure& failure) {
    std::fprintf(stderr, "codec_bench: %s\n", failure.message.c_str());
    return 1;
  }
  return 0;
}
