// Keys and values of one sequence, for every layer and key-value head.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "kernels/attention.h"

namespace entrofleet {

struct KeyValueShape {
  size_t layers;
  size_t heads;
  size_t head_size;
  size_t capacity;  // positions
};

// Of each head, keys lie in blocks of kKeyBlock positions, within a block dimension by dimension,
// so that scores of neighbouring positions are neighbouring lanes; values lie position by position,
// padded with zeros to value_stride() elements. int8 has one float32 scale per position and head
// for the key, and one for the value.
//
// Offsets do not overflow: shapes are bounded (engine_arguments.cc) so that an index counts at most
// 2^10 layers * 2^12 heads * 2^12 elements * 2^28 positions = 2^62, and whether the bytes fit is
// checked with 128 bits.
class KeyValueCache {
 public:
  // Throws std::bad_alloc. The memory is zero and, on Linux, not resident until it is used.
  KeyValueCache(const KeyValueShape& shape, KeyValueFormat format)
      : shape_(shape),
        format_(format),
        room_((shape.capacity + kKeyBlock - 1) / kKeyBlock * kKeyBlock),
        stride_(value_stride(shape.head_size)),
        size_bytes_(bytes_of(shape, format)),
        data_(static_cast<uint8_t*>(std::calloc(size_bytes_, 1)), std::free) {
    if (data_ == nullptr) throw std::bad_alloc();
    const size_t planes = shape.layers * shape.heads * room_;
    const size_t element = element_bytes(format);
    values_ = data_.get() + planes * shape.head_size * element;
    scales_ = reinterpret_cast<float*>(values_ + planes * stride_ * element);
  }

  KeyValueFormat format() const { return format_; }
  size_t capacity() const { return shape_.capacity; }
  size_t size_bytes() const { return size_bytes_; }

  // Tokens held. Written by the running call when it is done, read by the event loop at any time.
  size_t length() const { return length_.load(std::memory_order_acquire); }
  void set_length(size_t length) { length_.store(length, std::memory_order_release); }

  // Where a position's key and value are written.
  KeyValueSlot slot(size_t layer, size_t head, size_t position) {
    const size_t block = position / kKeyBlock * kKeyBlock;
    const size_t element = element_bytes(format_);
    const size_t key = (plane(layer, head) + block) * shape_.head_size + position - block;
    const size_t value = (plane(layer, head) + position) * stride_;
    return {format_, shape_.head_size, data_.get() + key * element, values_ + value * element,
            scale(layer, head, position, 0), scale(layer, head, position, 1)};
  }

  // Positions from `first`, a multiple of kKeyBlock, on.
  KeyValueRun run(size_t layer, size_t head, size_t first) const {
    const size_t element = element_bytes(format_);
    const size_t at = plane(layer, head) + first;
    return {format_, shape_.head_size, data_.get() + at * shape_.head_size * element,
            values_ + at * stride_ * element, scale(layer, head, first, 0),
            scale(layer, head, first, 1)};
  }

 private:
  static size_t bytes_of(const KeyValueShape& shape, KeyValueFormat format) {
    const size_t room = (shape.capacity + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
    const size_t scales = format == KeyValueFormat::kInt8 ? 2 * sizeof(float) : 0;
    const size_t each =
        (shape.head_size + value_stride(shape.head_size)) * element_bytes(format) + scales;
    const unsigned __int128 bytes =
        static_cast<unsigned __int128>(shape.layers * shape.heads) * room * each;
    if (bytes > PTRDIFF_MAX) throw std::bad_alloc();
    return static_cast<size_t>(bytes);
  }

  // Positions before a head's first one.
  size_t plane(size_t layer, size_t head) const { return (layer * shape_.heads + head) * room_; }

  float* scale(size_t layer, size_t head, size_t position, size_t which) const {
    if (format_ != KeyValueFormat::kInt8) return nullptr;
    return scales_ + (2 * (layer * shape_.heads + head) + which) * room_ + position;
  }

  KeyValueShape shape_;
  KeyValueFormat format_;
  size_t room_;    // positions, whole blocks
  size_t stride_;  // elements from one value to the next
  size_t size_bytes_;
  std::unique_ptr<uint8_t, decltype(&std::free)> data_;
  uint8_t* values_;
  float* scales_;
  std::atomic<size_t> length_{0};
};

// One token to append to a sequence. Entries of one block that share a cache follow each other and
// have consecutive positions.
struct EngineEntry {
  KeyValueCache* cache;
  size_t position;
  uint32_t token;
};

}  // namespace entrofleet
