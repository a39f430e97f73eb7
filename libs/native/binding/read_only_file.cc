#include "binding/read_only_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "kernels/codec_failure.h"

namespace entrofleet {
namespace {

// Opened anew rather than duplicated, since a duplicate shares the flags of the first.
int open_anew(int descriptor, int flags) {
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  return open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
}

}  // namespace

ReadOnlyFile::ReadOnlyFile(int descriptor, Caching caching) {
  descriptor_ = caching == Caching::kBypass ? open_anew(descriptor, O_DIRECT) : -1;
  direct_ = descriptor_ != -1;
  drops_cache_ = caching == Caching::kBypass && !direct_;
  if (!direct_) descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (descriptor_ != -1) return;
  throw CodecFailure{"ReadFailed", std::strerror(errno), std::nullopt};
}

ReadOnlyFile::~ReadOnlyFile() { close(descriptor_); }

int64_t ReadOnlyFile::read(uint64_t offset, uint8_t* to, size_t bytes) const {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got =
        pread(descriptor_, to + done, bytes - done, static_cast<off_t>(offset + done));
    if (got == -1 && errno == EINTR) continue;
    if (got == -1) return -1;
    if (got == 0) break;
    done += static_cast<size_t>(got);
    // A direct read that ends off the alignment has met the end of the file, and cannot go on.
    if (direct_ && done % kAlignment != 0) break;
  }
  if (drops_cache_) {
    posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(done),
                  POSIX_FADV_DONTNEED);
  }
  return static_cast<int64_t>(done);
}

}  // namespace entrofleet
