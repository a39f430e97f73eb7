// Which parts of a file the page cache holds.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace entrofleet {

class CachedPages {
 public:
  // Of the first `bytes` of the file. Where the system does not tell, all of it counts as cached.
  CachedPages(int descriptor, size_t bytes)
      : page_bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))), bytes_(bytes) {
    // Mapped to be asked about only: touching pages past a file's end would end the process.
    void* const mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped != MAP_FAILED) mapped_ = static_cast<uint8_t*>(mapped);
  }
  ~CachedPages() {
    if (mapped_ != nullptr) munmap(mapped_, bytes_);
  }
  CachedPages(const CachedPages&) = delete;
  CachedPages& operator=(const CachedPages&) = delete;

  // Whether every page of the range is there, at this moment.
  bool has(uint64_t offset, size_t bytes) const {
    if (mapped_ == nullptr) return true;
    std::array<unsigned char, 256> pages;
    const uint64_t end = offset + bytes;
    for (uint64_t at = offset / page_bytes_ * page_bytes_; at < end;) {
      const size_t left = std::min(static_cast<size_t>(end - at), pages.size() * page_bytes_);
      const size_t count = (left + page_bytes_ - 1) / page_bytes_;
      if (mincore(mapped_ + at, left, pages.data()) != 0) return true;
      const auto cached = [](unsigned char page) { return (page & 1) != 0; };
      if (!std::all_of(pages.begin(), pages.begin() + count, cached)) return false;
      at += count * page_bytes_;
    }
    return true;
  }

 private:
  size_t page_bytes_;
  size_t bytes_;
  uint8_t* mapped_ = nullptr;
};

}  // namespace entrofleet
