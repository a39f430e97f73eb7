#include "binding/tensor_load.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>

#include "kernels/codec_failure.h"
#include "kernels/cpu.h"
#include "kernels/engine_kernels.h"
#include "kernels/coded_matrix.h"
#include "kernels/window_resident.h"

namespace entrofleet {
namespace {

constexpr size_t kBf16Bytes = 2;

void require(bool fits, const char* what) {
  if (!fits) throw CodecFailure{"BadArgument", std::string("loadMatrices: ") + what, std::nullopt};
}

// Of this thread's own work: what it waits for a core does not count.
double thread_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

float bf16_value(const uint8_t* bytes) {
  const uint32_t bits = uint32_t{bytes[0]} << 16 | uint32_t{bytes[1]} << 24;
  return std::bit_cast<float>(bits);
}

}  // namespace

TensorLoad::TensorLoad(const LoadTensor& tensor) : tensor_(tensor) {
  const size_t weights = tensor.rows * tensor.columns;
  cut_ = {(weights * tensor.symbol_bits + 7) / 8, tensor.segment_symbols};
  require(tensor.segment_sizes.size() == cut_.segments(), "segmentSizes must be one per segment");
  step_bytes_ = tensor.step == 0 ? tensor.rows * kBf16Bytes : 0;
  begins_.push_back(step_bytes_);
  for (const uint32_t size : tensor.segment_sizes) {
    require(size > 0, "a segment has no bytes");
    begins_.push_back(begins_.back() + size);
  }
  for (const LoadPart& part : tensor.parts) {
    require(part.rows > 0 && part.first_row <= tensor.rows &&
                part.rows <= tensor.rows - part.first_row,
            "a part is not within its tensor");
    require(tensor.symbol_bits == 8 || part.first_row * tensor.columns % 2 == 0,
            "a part of a 4-bit tensor must begin with a whole byte");
  }
  steps_.assign(tensor.step == 0 ? tensor.rows : 1, tensor.step);
  cut_chunks();
}

void TensorLoad::cut_chunks() {
  size_t begin = 0;
  size_t segment = 0;
  for (const uint32_t size : tensor_.chunk_sizes) {
    TensorChunk chunk = {begin, begin + size, segment, segment};
    while (chunk.end_segment < cut_.segments() && begins_[chunk.end_segment + 1] <= chunk.end) {
      ++chunk.end_segment;
    }
    segment = chunk.end_segment;
    const bool in_steps = chunk.end < step_bytes_ && chunk.end % kBf16Bytes == 0;
    require(size > 0 && (in_steps || chunk.end == begins_[segment]),
            "chunks must be cut between steps or segments");
    chunks_.push_back(chunk);
    begin = chunk.end;
  }
  require(begin == begins_.back(), "the chunks must hold all segments");
  chunks_left_.store(chunks_.size());
}

// On the first of the tensor's chunks, so that no tensor takes memory before it is its turn.
void TensorLoad::prepare() {
  std::call_once(prepared_, [this] {
    const auto* const lengths = std::get_if<CodeLengths>(&tensor_.code);
    decoder_ = lengths != nullptr ? SegmentDecoder::huffman(*lengths)
                                  : SegmentDecoder::lanes(std::get<1>(tensor_.code));
    if (tensor_.form == LoadForm::kCoded) payload_ = PageMemory(begins_.back());
    if (tensor_.form != LoadForm::kWindow && tensor_.form != LoadForm::kPlain) return;
    const WindowForm form =
        tensor_.form == LoadForm::kPlain ? WindowForm::kPlain : WindowForm::kWindow;
    for (const LoadPart& part : tensor_.parts) {
      assemblers_.push_back(std::make_unique<WindowAssembler>(
          WindowShape{part.rows, tensor_.columns, tensor_.symbol_bits, form},
          engine_kernels(active_isa())));
    }
  });
}

uint8_t* TensorLoad::destination(const TensorChunk& chunk) {
  prepare();
  return tensor_.form == LoadForm::kCoded ? payload_.data() + chunk.begin : nullptr;
}

void TensorLoad::take(const TensorChunk& chunk, std::span<const uint8_t> bytes,
                      LoadScratch& scratch) {
  prepare();
  if (chunk.begin < step_bytes_) {
    const size_t count = std::min(chunk.end, step_bytes_) - chunk.begin;
    take_steps(chunk.begin / kBf16Bytes, bytes.first(count));
  }
  scratch.symbols.resize(std::max(scratch.symbols.size(), cut_.segment_symbols));
  for (size_t segment = chunk.first_segment; segment < chunk.end_segment; ++segment) {
    const std::span<uint8_t> symbols(scratch.symbols.data(), cut_.symbols_of(segment));
    const double begin = thread_seconds();
    decode(chunk, segment, bytes, symbols);
    scratch.decode_seconds += thread_seconds() - begin;
    if (!assemblers_.empty()) pack(segment, symbols, scratch);
  }
  // Who takes the last chunk gives back at once what packing has not used.
  if (chunks_left_.fetch_sub(1) > 1) return;
  for (const std::unique_ptr<WindowAssembler>& assembler : assemblers_) assembler->finish();
}

// Coded matrices are decoded too: what does not decode is found out now, not in a product.
void TensorLoad::decode(const TensorChunk& chunk, size_t segment, std::span<const uint8_t> bytes,
                        std::span<uint8_t> symbols) const {
  const std::span<const uint8_t> coded =
      bytes.subspan(begins_[segment] - chunk.begin, tensor_.segment_sizes[segment]);
  if (decoder_->decode(coded, symbols)) return;
  throw CodecFailure{"CorruptSegment",
                     "segment " + std::to_string(segment) + " of " +
                         std::to_string(cut_.segments()) + " is corrupt",
                     std::nullopt};
}

void TensorLoad::take_steps(size_t first, std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size() / kBf16Bytes; ++i) {
    const float step = bf16_value(bytes.data() + kBf16Bytes * i);
    steps_[first + i] = step;
    if (std::isfinite(step) && step > 0) continue;
    throw CodecFailure{"BadSteps",
                       "it has step " + std::to_string(step) + " in row " +
                           std::to_string(first + i),
                       std::nullopt};
  }
}

void TensorLoad::pack(size_t segment, std::span<const uint8_t> symbols, LoadScratch& scratch) {
  const size_t begin = segment * cut_.segment_symbols;
  const size_t end = begin + symbols.size();
  const size_t row_bits = tensor_.columns * tensor_.symbol_bits;
  for (size_t i = 0; i < assemblers_.size(); ++i) {
    const LoadPart& part = tensor_.parts[i];
    const size_t part_begin = part.first_row * row_bits / 8;
    const size_t part_end = ((part.first_row + part.rows) * row_bits + 7) / 8;
    const size_t from = std::max(begin, part_begin);
    const size_t to = std::min(end, part_end);
    if (from >= to) continue;
    WindowMatrix& matrix = assemblers_[i]->matrix();
    if (scratch.packed != &matrix) {
      scratch.packer.emplace(matrix, engine_kernels(active_isa()));
      scratch.packed = &matrix;
    }
    assemblers_[i]->take(*scratch.packer, from - part_begin,
                         symbols.subspan(from - begin, to - from));
  }
}

std::vector<float> TensorLoad::steps_of(const LoadPart& part) const {
  if (steps_.size() == 1) return steps_;
  const auto first = steps_.begin() + static_cast<ptrdiff_t>(part.first_row);
  return {first, first + static_cast<ptrdiff_t>(part.rows)};
}

std::shared_ptr<const CodedTensor> TensorLoad::coded(
    const std::shared_ptr<SegmentStream>& stream, const std::shared_ptr<ReadOnlyFile>& file) {
  auto result = std::make_shared<CodedTensor>(
      CodedTensor{cut_, std::move(*decoder_), nullptr, nullptr, tensor_.symbol_bits == 4,
                  tensor_.rows * tensor_.columns});
  if (tensor_.form == LoadForm::kDisk) {
    result->source = std::make_shared<DiskSegments>(stream, stream->add(tensor_.offset, begins_));
    result->row_source = std::make_shared<DiskRows>(file, tensor_.offset, begins_);
  } else {
    result->source = std::make_shared<MemorySegments>(std::move(payload_), begins_);
    result->row_source = result->source;
  }
  return result;
}

std::vector<std::shared_ptr<const ResidentMatrix>> TensorLoad::finish(
    const std::shared_ptr<SegmentStream>& stream, const std::shared_ptr<ReadOnlyFile>& file) {
  std::vector<std::shared_ptr<const ResidentMatrix>> matrices;
  if (assemblers_.empty()) {
    const std::shared_ptr<const CodedTensor> tensor = coded(stream, file);
    for (const LoadPart& part : tensor_.parts) {
      matrices.push_back(std::make_shared<CodedMatrix>(
          tensor, CodedRows{part.first_row, part.rows, tensor_.columns, tensor_.zero_point,
                            steps_of(part)}));
    }
    return matrices;
  }
  for (size_t i = 0; i < assemblers_.size(); ++i) {
    matrices.push_back(std::make_shared<WindowResident>(
        assemblers_[i]->finish(), tensor_.zero_point, steps_of(tensor_.parts[i])));
  }
  assemblers_.clear();
  return matrices;
}

}  // namespace entrofleet
