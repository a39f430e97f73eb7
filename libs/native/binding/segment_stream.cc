#include "binding/segment_stream.h"

#include <algorithm>

namespace entrofleet {
namespace {

// Reads in flight: one alone leaves a disk idle between them.
constexpr size_t kReaders = 2;

uint64_t aligned_down(uint64_t offset) {
  return offset / ReadOnlyFile::kAlignment * ReadOnlyFile::kAlignment;
}

size_t aligned_span(uint64_t offset, size_t bytes) {
  constexpr uint64_t kMask = ReadOnlyFile::kAlignment - 1;
  return static_cast<size_t>(((offset + bytes + kMask) & ~kMask) - aligned_down(offset));
}

}  // namespace

SegmentStream::SegmentStream(int descriptor, const Buffers& buffers)
    : file_(descriptor, ReadOnlyFile::Caching::kBypass), buffer_bytes_(buffers.size_bytes) {
  for (size_t i = 0; i < buffers.count; ++i) slots_.push_back({PageMemory(buffer_bytes_)});
  // A thread waits for one piece, and there are more slots than threads.
  awaited_.reserve(buffers.count);
}

SegmentStream::~SegmentStream() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& reader : readers_) reader.join();
}

size_t SegmentStream::add(uint64_t offset, const std::vector<size_t>& begins) {
  const size_t first = segments_.size();
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    const uint64_t begin = offset + begins[i];
    const size_t bytes = begins[i + 1] - begins[i];
    const bool continues =
        i > 0 && aligned_span(pieces_.back().offset, pieces_.back().size_bytes + bytes) <=
                     buffer_bytes_;
    if (!continues) pieces_.push_back({begin, 0, 0});
    pieces_.back().size_bytes += bytes;
    ++pieces_.back().segments;
    segments_.push_back({begin, bytes, pieces_.size() - 1});
  }
  return first;
}

void SegmentStream::start() {
  if (pieces_.empty()) return;
  for (size_t i = 0; i < kReaders; ++i) readers_.emplace_back([this] { read_pieces(); });
}

SegmentStream::Slot* SegmentStream::slot_of(size_t piece) {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.state != State::kEmpty && slot.piece == piece;
  });
  return found == slots_.end() ? nullptr : &*found;
}

SegmentStream::Slot* SegmentStream::empty_slot() {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [](const Slot& slot) { return slot.state == State::kEmpty; });
  return found == slots_.end() ? nullptr : &*found;
}

void SegmentStream::give_up_idle_slots() {
  for (Slot& slot : slots_) {
    const bool awaited =
        std::find(awaited_.begin(), awaited_.end(), slot.piece) != awaited_.end();
    if (slot.users == 0 && slot.state != State::kLoading && !awaited) slot.state = State::kEmpty;
  }
}

std::span<const uint8_t> SegmentStream::acquire(size_t segment) noexcept {
  const Segment& wanted = segments_[segment];
  std::unique_lock lock(mutex_);
  Slot* slot = slot_of(wanted.piece);
  if (slot == nullptr || slot->state == State::kLoading) {
    awaited_.push_back(wanted.piece);
    while ((slot = slot_of(wanted.piece)) == nullptr || slot->state == State::kLoading) {
      if (slot == nullptr && (next_piece_ != wanted.piece || empty_slot() == nullptr)) {
        // The pass has left out what came next, or a thread comes late.
        next_piece_ = wanted.piece;
        give_up_idle_slots();
        wanted_.notify_all();
      }
      readable_.wait(lock);
    }
    awaited_.erase(std::find(awaited_.begin(), awaited_.end(), wanted.piece));
  }
  if (slot->state == State::kFailed) {
    slot->state = State::kEmpty;
    return {};
  }
  ++slot->users;
  const uint64_t begin = aligned_down(pieces_[wanted.piece].offset);
  return {slot->memory.data() + (wanted.offset - begin), wanted.size_bytes};
}

void SegmentStream::release(size_t segment) noexcept {
  {
    const std::lock_guard lock(mutex_);
    Slot* const slot = slot_of(segments_[segment].piece);
    --slot->users;
    if (slot->left > 0) --slot->left;
    if (slot->left > 0 || slot->users > 0) return;
    slot->state = State::kEmpty;
  }
  wanted_.notify_one();
}

void SegmentStream::read_pieces() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Slot* slot = nullptr;
    wanted_.wait(lock, [&] {
      if (stopping_) return true;
      // What was left in memory when the order was left needs no second read.
      for (size_t i = 0; i < pieces_.size() && slot_of(next_piece_) != nullptr; ++i) {
        next_piece_ = (next_piece_ + 1) % pieces_.size();
      }
      slot = slot_of(next_piece_) == nullptr ? empty_slot() : nullptr;
      return slot != nullptr;
    });
    if (stopping_) return;
    const size_t number = next_piece_;
    next_piece_ = (next_piece_ + 1) % pieces_.size();
    slot->state = State::kLoading;
    slot->piece = number;
    lock.unlock();
    const bool success = read(pieces_[number], *slot);
    lock.lock();
    slot->left = pieces_[number].segments;
    slot->state = success ? State::kReady : State::kFailed;
    readable_.notify_all();
  }
}

bool SegmentStream::read(const Piece& piece, Slot& slot) const {
  return !read_aligned(file_, piece.offset, piece.size_bytes, slot.memory).empty();
}

std::span<const uint8_t> read_aligned(const ReadOnlyFile& file, uint64_t offset, size_t bytes,
                                      const PageMemory& memory) {
  const uint64_t begin = aligned_down(offset);
  const size_t skipped = static_cast<size_t>(offset - begin);
  const int64_t got = file.read(begin, memory.data(), aligned_span(offset, bytes));
  if (got < static_cast<int64_t>(skipped + bytes)) return {};
  return {memory.data() + skipped, bytes};
}

DiskRows::DiskRows(std::shared_ptr<const ReadOnlyFile> file, uint64_t offset,
                   std::vector<size_t> begins)
    : file_(std::move(file)), offset_(offset), begins_(std::move(begins)) {
  size_t most = 0;
  for (size_t i = 0; i + 1 < begins_.size(); ++i) {
    most = std::max(most, aligned_span(offset_ + begins_[i], begins_[i + 1] - begins_[i]));
  }
  memory_ = PageMemory(most);
}

std::span<const uint8_t> DiskRows::acquire(size_t segment) noexcept {
  mutex_.lock();
  const std::span<const uint8_t> bytes = read_aligned(
      *file_, offset_ + begins_[segment], begins_[segment + 1] - begins_[segment], memory_);
  if (bytes.empty()) mutex_.unlock();
  return bytes;
}

}  // namespace entrofleet
