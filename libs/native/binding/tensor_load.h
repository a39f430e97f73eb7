// One tensor on its way from its chunks to its matrices.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "binding/artifact_loader.h"
#include "kernels/coded_tensor.h"
#include "kernels/window_assembler.h"

namespace entrofleet {

// What a thread decodes into; kept from chunk to chunk and from tensor to tensor.
struct LoadScratch {
  std::vector<uint8_t> symbols;
  // For the assembler of the matrix that was packed last.
  const WindowMatrix* packed = nullptr;
  std::optional<WindowPacker> packer;
  double decode_seconds = 0;
};

// What of a tensor a chunk holds.
struct TensorChunk {
  // Within the payload.
  size_t begin;
  size_t end;
  size_t first_segment;
  size_t end_segment;
};

class TensorLoad {
 public:
  // Throws CodecFailure BadArgument or BadCodeTable.
  explicit TensorLoad(const LoadTensor& tensor);

  const LoadTensor& tensor() const { return tensor_; }
  const std::vector<TensorChunk>& chunks() const { return chunks_; }

  // Where the chunk's bytes are to be read to, or null for anywhere. Throws std::bad_alloc.
  uint8_t* destination(const TensorChunk& chunk);
  // Takes the bytes of a chunk, each chunk once. Throws CodecFailure BadSteps or CorruptSegment
  // without a number, and std::bad_alloc.
  void take(const TensorChunk& chunk, std::span<const uint8_t> bytes, LoadScratch& scratch);

  // Once all chunks were taken. `stream` and `file` are null where nothing stays on disk.
  std::vector<std::shared_ptr<const ResidentMatrix>> finish(
      const std::shared_ptr<SegmentStream>& stream, const std::shared_ptr<ReadOnlyFile>& file);

 private:
  void cut_chunks();
  void prepare();
  void take_steps(size_t first, std::span<const uint8_t> bytes);
  void decode(const TensorChunk& chunk, size_t segment, std::span<const uint8_t> bytes,
              std::span<uint8_t> symbols) const;
  void pack(size_t segment, std::span<const uint8_t> symbols, LoadScratch& scratch);
  std::shared_ptr<const CodedTensor> coded(const std::shared_ptr<SegmentStream>& stream,
                                           const std::shared_ptr<ReadOnlyFile>& file);
  std::vector<float> steps_of(const LoadPart& part) const;

  const LoadTensor& tensor_;
  SegmentCut cut_;
  size_t step_bytes_;
  // Of the segments within the payload, and the end of the last one.
  std::vector<size_t> begins_;
  std::vector<TensorChunk> chunks_;
  std::once_flag prepared_;
  std::optional<SegmentDecoder> decoder_;
  std::vector<float> steps_;
  std::vector<std::unique_ptr<WindowAssembler>> assemblers_;
  std::atomic<size_t> chunks_left_;
  PageMemory payload_;
};

}  // namespace entrofleet
