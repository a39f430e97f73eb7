// A file read at any place by several threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace entrofleet {

class ReadOnlyFile {
 public:
  enum class Caching {
    kKeep,
    // Reads past the page cache where the file system can: what is read over and over and does not
    // fit memory only pushes out what does. Offsets, sizes and memory are multiples of kAlignment.
    kBypass,
  };
  static constexpr size_t kAlignment = 4096;

  // The same file under a descriptor of its own. Throws CodecFailure ReadFailed.
  ReadOnlyFile(int descriptor, Caching caching);
  ~ReadOnlyFile();
  ReadOnlyFile(const ReadOnlyFile&) = delete;
  ReadOnlyFile& operator=(const ReadOnlyFile&) = delete;

  // Bytes read: fewer than asked only at the end of the file; -1, with errno set, on failure.
  int64_t read(uint64_t offset, uint8_t* to, size_t bytes) const;

 private:
  int descriptor_;
  bool direct_;
  bool drops_cache_;
};

}  // namespace entrofleet
