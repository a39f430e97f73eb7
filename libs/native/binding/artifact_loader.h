// Loads the coded matrices of an artifact: reading the file, hashing its chunks, decoding their
// segments and packing them into windows go on at the same time, over all tensors and threads.
// Beside what becomes the matrices, each thread holds two chunks and a segment, and there are two
// threads for each that is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "binding/segment_stream.h"
#include "kernels/codec_sharing.h"
#include "kernels/codec_tables.h"
#include "kernels/resident_matrix.h"

namespace entrofleet {

enum class LoadForm { kPlain, kWindow, kCoded, kDisk };

// Consecutive rows of a tensor that become a matrix.
struct LoadPart {
  size_t first_row;
  size_t rows;
};

// A coded tensor as libs/artifact/FORMAT.md has it. Nothing here is trusted but that the code has
// one of the two types.
struct LoadTensor {
  size_t rows;
  size_t columns;
  unsigned symbol_bits;
  float zero_point;
  // The tensor's one step; 0 when the payload begins with one for each row.
  float step;
  std::variant<CodeLengths, std::vector<uint8_t>> code;
  size_t segment_symbols;
  std::vector<uint32_t> segment_sizes;
  // Of the payload in the file.
  uint64_t offset;
  std::vector<uint32_t> chunk_sizes;
  // 32 bytes a chunk; empty when the chunks are not to be verified.
  std::span<const uint8_t> chunk_digests;
  LoadForm form;
  std::vector<LoadPart> parts;
};

struct LoadRequest {
  int descriptor;
  // In the order in which a pass over the model multiplies by them.
  std::vector<LoadTensor> tensors;
  size_t threads;
  SegmentStream::Buffers disk_buffers;
  // `done` counts chunks.
  SegmentWatch watch;
};

struct LoadedMatrices {
  // By tensor and part.
  std::vector<std::vector<std::shared_ptr<const ResidentMatrix>>> matrices;
  // Of entropy decoding, all threads' time over their number.
  double decode_seconds;
};

// The matrices of each tensor's parts. Throws CodecFailure ReadFailed, Truncated, HashMismatch,
// BadSteps, BadCodeTable or CorruptSegment with the number of the chunk, counted through all tensors
// in the request's order; BadArgument when sizes do not fit each other; Cancelled; std::bad_alloc.
LoadedMatrices load_artifact(const LoadRequest& request);

}  // namespace entrofleet
