// Runs a GGUF model by llama.cpp's library where llama-bench does not tell what is wanted: on rows of
// given tokens, and from the start of the process to the first token.
//
//   llama-peer score MODEL.gguf ROWS THREADS     perplexity; ROWS holds a row of token ids per line
//   llama-peer start MODEL.gguf TOKENS GENERATE THREADS [mapped]
//                                                load, prefill TOKENS, generate GENERATE tokens
//   llama-peer turns MODEL.gguf THREADS          says "ready"; then each line of stdin is a number of
//                                                tokens to decode, answered by the median of their
//                                                milliseconds
//
// `mapped` keeps the weights as the file has them, so that the system may drop and read pages again:
// repacked weights lie in memory of the process. Prints one line of JSON.
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Model = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
using Context = std::unique_ptr<llama_context, decltype(&llama_free)>;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

Model load(const std::string& path, bool mapped) {
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_MMAP;
  params.use_extra_bufts = !mapped;
  Model model(llama_model_load_from_file(path.c_str(), params), &llama_model_free);
  if (model == nullptr) throw std::runtime_error(path + " was not loaded");
  return model;
}

Context make_context(llama_model* model, size_t tokens, int threads) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(tokens);
  params.n_batch = static_cast<uint32_t>(tokens);
  params.n_ubatch = static_cast<uint32_t>(std::min<size_t>(tokens, 512));
  params.n_threads = threads;
  params.n_threads_batch = threads;
  Context context(llama_init_from_model(model, params), &llama_free);
  if (context == nullptr) throw std::runtime_error("no context");
  return context;
}

// Appends tokens from position `begin` on; logits of all of them or of the last.
void append(llama_context* context, const std::vector<llama_token>& tokens, size_t begin, bool all) {
  llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
  batch.n_tokens = static_cast<int32_t>(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.token[i] = tokens[i];
    batch.pos[i] = static_cast<llama_pos>(begin + i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = all || i + 1 == tokens.size();
  }
  const int status = llama_decode(context, batch);
  llama_batch_free(batch);
  if (status != 0) throw std::runtime_error("llama_decode gave " + std::to_string(status));
}

size_t vocabulary_size(const llama_model* model) {
  return static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
}

double negative_log_likelihood(const float* logits, size_t size, llama_token token) {
  const double most = *std::max_element(logits, logits + size);
  const double sum = std::accumulate(logits, logits + size, 0.0, [&](double total, float logit) {
    return total + std::exp(logit - most);
  });
  return most + std::log(sum) - logits[token];
}

std::vector<std::vector<llama_token>> read_rows(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::vector<llama_token>> rows;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<llama_token> row;
    for (llama_token token; words >> token;) row.push_back(token);
    if (!row.empty()) rows.push_back(row);
  }
  if (rows.empty()) throw std::runtime_error(path + " has no rows of tokens");
  return rows;
}

// Each row from its first token with nothing before it, as `entrofleet perplexity` does.
void score(const std::string& path, const std::string& rows_path, int threads) {
  const auto rows = read_rows(rows_path);
  const Model model = load(path, false);
  const size_t size = vocabulary_size(model.get());
  double total = 0;
  size_t scored = 0;
  for (const auto& row : rows) {
    const Context context = make_context(model.get(), row.size(), threads);
    append(context.get(), row, 0, true);
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      const float* logits = llama_get_logits_ith(context.get(), static_cast<int32_t>(i));
      total += negative_log_likelihood(logits, size, row[i + 1]);
      ++scored;
    }
  }
  std::printf("{\"perplexity\":%.9g,\"tokens\":%zu}\n",
              std::exp(total / static_cast<double>(scored)), scored);
}

llama_token likeliest(llama_context* context, size_t size) {
  const float* logits = llama_get_logits_ith(context, -1);
  return static_cast<llama_token>(std::max_element(logits, logits + size) - logits);
}

void start(const std::string& path, size_t tokens, size_t generate, int threads, bool mapped) {
  const Clock::time_point begin = Clock::now();
  const Model model = load(path, mapped);
  const Context context = make_context(model.get(), tokens + generate, threads);
  const double load_ms = milliseconds_since(begin);
  const size_t size = vocabulary_size(model.get());
  std::vector<llama_token> prompt(tokens);
  // The prompt of `entrofleet bench`: a prime beyond small vocabularies spreads it over the rows.
  for (size_t i = 0; i < tokens; ++i) prompt[i] = static_cast<llama_token>(i * 7919 % size);
  append(context.get(), prompt, 0, false);
  llama_token token = likeliest(context.get(), size);
  const double first_token_ms = milliseconds_since(begin);
  for (size_t i = 0; i < generate; ++i) {
    append(context.get(), {token}, tokens + i, false);
    token = likeliest(context.get(), size);
  }
  const double decode_ms = milliseconds_since(begin) - first_token_ms;
  std::printf("{\"loadMs\":%.3f,\"firstTokenMs\":%.3f,\"decodeTokensPerSecond\":%.6g}\n", load_ms,
              first_token_ms, generate == 0 ? 0 : 1e3 * static_cast<double>(generate) / decode_ms);
}

// A turn begins behind the same prompt each time; its first token is not timed, as in turn.worker.ts.
void turns(const std::string& path, int threads) {
  constexpr size_t kPrompt = 8, kContext = 256;
  const Model model = load(path, false);
  const Context context = make_context(model.get(), kContext, threads);
  const size_t size = vocabulary_size(model.get());
  std::vector<llama_token> prompt(kPrompt);
  std::iota(prompt.begin(), prompt.end(), 1);
  append(context.get(), prompt, 0, false);
  const llama_token first = likeliest(context.get(), size);
  std::puts("ready");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    llama_token token = first;
    std::vector<double> times(std::min<size_t>(std::stoul(line), kContext - kPrompt - 1) + 1);
    for (size_t i = 0; i < times.size(); ++i) {
      const Clock::time_point begin = Clock::now();
      append(context.get(), {token}, kPrompt + i, false);
      token = likeliest(context.get(), size);
      times[i] = milliseconds_since(begin);
    }
    const auto middle = times.begin() + 1 + static_cast<std::ptrdiff_t>((times.size() - 1) / 2);
    std::nth_element(times.begin() + 1, middle, times.end());
    std::printf("%.6f\n", *middle);
    std::fflush(stdout);
    llama_memory_seq_rm(llama_get_memory(context.get()), 0, kPrompt, -1);
  }
}

void print_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> given(words + 1, words + count);
  llama_log_set(print_errors, nullptr);
  llama_backend_init();
  try {
    if (given.size() == 4 && given[0] == "score") {
      score(given[1], given[2], std::stoi(given[3]));
    } else if (given.size() >= 5 && given[0] == "start") {
      const bool mapped = given.size() > 5 && given[5] == "mapped";
      start(given[1], std::stoul(given[2]), std::stoul(given[3]), std::stoi(given[4]), mapped);
    } else if (given.size() == 3 && given[0] == "turns") {
      turns(given[1], std::stoi(given[2]));
    } else {
      throw std::runtime_error("usage: llama-peer score MODEL ROWS THREADS | "
                               "turns MODEL THREADS | start MODEL TOKENS GENERATE THREADS [mapped]");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "llama-peer: %s\n", error.what());
    return 1;
  }
  return 0;
}
