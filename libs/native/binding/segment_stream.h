// Coded segments that stay on disk: threads of its own read them in the order of a pass over the
// model, ahead of those who decode them, into a few buffers.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "binding/read_only_file.h"
#include "kernels/coded_tensor.h"
#include "kernels/page_memory.h"

namespace entrofleet {

class SegmentStream {
 public:
  struct Buffers {
    size_t count;       // more than the threads that decode
    size_t size_bytes;  // at least a segment and two times ReadOnlyFile::kAlignment
  };

  // Throws CodecFailure ReadFailed or std::bad_alloc.
  SegmentStream(int descriptor, const Buffers& buffers);
  ~SegmentStream();
  SegmentStream(const SegmentStream&) = delete;
  SegmentStream& operator=(const SegmentStream&) = delete;

  // Appends a tensor's segments, [begins[i], begins[i + 1]) from byte `offset` of the file on, to
  // the order. Returns the number of the first one. Not once start() was called.
  size_t add(uint64_t offset, const std::vector<size_t>& begins);
  // Throws std::system_error.
  void start();

  // As SegmentSource has them, by number in the order.
  std::span<const uint8_t> acquire(size_t segment) noexcept;
  void release(size_t segment) noexcept;

 private:
  struct Segment {
    uint64_t offset;
    size_t size_bytes;
    size_t piece;
  };
  // Segments of one tensor that are read together.
  struct Piece {
    uint64_t offset;
    size_t size_bytes;
    size_t segments;
  };
  enum class State { kEmpty, kLoading, kReady, kFailed };
  struct Slot {
    PageMemory memory;
    State state = State::kEmpty;
    size_t piece = 0;
    size_t left = 0;   // segments not yet released since it was read
    size_t users = 0;  // who hold a segment of it
  };

  // Null when there is none.
  Slot* slot_of(size_t piece);
  Slot* empty_slot();
  void give_up_idle_slots();
  void read_pieces();
  bool read(const Piece& piece, Slot& slot) const;

  ReadOnlyFile file_;
  size_t buffer_bytes_;
  std::vector<Segment> segments_;
  std::vector<Piece> pieces_;
  std::vector<Slot> slots_;
  size_t next_piece_ = 0;
  // Pieces that threads wait for, once for each thread.
  std::vector<size_t> awaited_;
  bool stopping_ = false;
  std::mutex mutex_;
  std::condition_variable readable_;  // a slot is ready, or has failed
  std::condition_variable wanted_;    // a slot is empty, or another piece is next
  std::vector<std::thread> readers_;
};

// A tensor's segments in a stream.
class DiskSegments final : public SegmentSource {
 public:
  DiskSegments(std::shared_ptr<SegmentStream> stream, size_t first)
      : stream_(std::move(stream)), first_(first) {}

  std::span<const uint8_t> acquire(size_t segment) noexcept override {
    return stream_->acquire(first_ + segment);
  }
  void release(size_t segment) noexcept override { stream_->release(first_ + segment); }
  size_t resident_bytes() const override { return 0; }

 private:
  std::shared_ptr<SegmentStream> stream_;
  size_t first_;
};

// Reads bytes into memory that has room for the alignment on both sides. Empty on failure.
std::span<const uint8_t> read_aligned(const ReadOnlyFile& file, uint64_t offset, size_t bytes,
                                      const PageMemory& memory);

// The same for looking up single rows, which would throw the stream off its order.
class DiskRows final : public SegmentSource {
 public:
  // Throws std::bad_alloc.
  DiskRows(std::shared_ptr<const ReadOnlyFile> file, uint64_t offset, std::vector<size_t> begins);

  std::span<const uint8_t> acquire(size_t segment) noexcept override;
  void release(size_t) noexcept override { mutex_.unlock(); }
  size_t resident_bytes() const override { return memory_.size(); }

 private:
  std::shared_ptr<const ReadOnlyFile> file_;
  uint64_t offset_;
  std::vector<size_t> begins_;
  PageMemory memory_;
  // Held from acquire() to release().
  std::mutex mutex_;
};

}  // namespace entrofleet
