// Keys and values of one sequence, float32, for every layer and key-value head.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace entrofleet {

class KeyValueCache {
 public:
  // Throws std::bad_alloc. The memory is zero and, on Linux, not resident until it is used.
  KeyValueCache(size_t layers, size_t key_value_heads, size_t head_size, size_t capacity)
      : heads_(key_value_heads),
        head_size_(head_size),
        capacity_(capacity),
        plane_(key_value_heads * capacity * head_size),
        data_(static_cast<float*>(std::calloc(2 * layers * plane_, sizeof(float))), std::free) {
    if (data_ == nullptr) throw std::bad_alloc();
    size_bytes_ = 2 * layers * plane_ * sizeof(float);
  }

  size_t capacity() const { return capacity_; }
  size_t size_bytes() const { return size_bytes_; }

  // Tokens held. Written by the running call when it is done, read by the event loop at any time.
  size_t length() const { return length_.load(std::memory_order_acquire); }
  void set_length(size_t length) { length_.store(length, std::memory_order_release); }

  // The head_size floats of one position; those of the next positions of that head follow.
  float* keys(size_t layer, size_t head, size_t position) {
    return data_.get() + 2 * layer * plane_ + offset(head, position);
  }
  float* values(size_t layer, size_t head, size_t position) {
    return data_.get() + (2 * layer + 1) * plane_ + offset(head, position);
  }

 private:
  size_t offset(size_t head, size_t position) const {
    return (head * capacity_ + position) * head_size_;
  }

  size_t heads_, head_size_, capacity_, plane_;
  std::unique_ptr<float, decltype(&std::free)> data_;
  size_t size_bytes_ = 0;
  std::atomic<size_t> length_{0};
};

}  // namespace entrofleet
