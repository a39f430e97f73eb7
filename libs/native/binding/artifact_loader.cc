#include "binding/artifact_loader.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "binding/cached_pages.h"
#include "binding/codec_worker.h"
#include "binding/tensor_load.h"
#include "kernels/sha256.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

// Chunks that a thread takes at a time: what it hashes together.
constexpr size_t kTogether = 2;
// Threads for each that computes: while some wait for the disk, others hash and decode.
constexpr size_t kThreadsPerCore = 2;

struct Chunk {
  TensorLoad* tensor;
  const TensorChunk* place;
  uint64_t offset;
  size_t number;  // through all tensors, in the request's order
  const uint8_t* digest;

  size_t size_bytes() const { return place->end - place->begin; }
};

// The failure of the first chunk that failed, and a sign for all threads to stop.
class FirstFailure {
 public:
  bool any() const { return any_.load(std::memory_order_relaxed); }

  void note(size_t chunk, CodecFailure failure) {
    const std::lock_guard lock(mutex_);
    any_.store(true, std::memory_order_relaxed);
    if (failure_.has_value() && chunk_ <= chunk) return;
    chunk_ = chunk;
    failure_ = std::move(failure);
  }

  void rethrow() const {
    if (failure_.has_value()) throw *failure_;
  }

 private:
  std::atomic<bool> any_{false};
  std::mutex mutex_;
  size_t chunk_ = 0;
  std::optional<CodecFailure> failure_;
};

class LoadJob {
 public:
  explicit LoadJob(const LoadRequest& request)
      : request_(request),
        file_(request.descriptor, ReadOnlyFile::Caching::kKeep),
        uncached_(request.descriptor, ReadOnlyFile::Caching::kBypass) {
    size_t number = 0;
    for (size_t i = 0; i < request.tensors.size(); ++i) {
      const LoadTensor& tensor = request.tensors[i];
      tensors_.push_back(std::make_unique<TensorLoad>(tensor));
      const std::vector<TensorChunk>& places = tensors_.back()->chunks();
      const std::span<const uint8_t> digests = tensor.chunk_digests;
      if (!digests.empty() && digests.size() != places.size() * sizeof(Sha256Digest)) {
        throw CodecFailure{"BadArgument", "loadMatrices: a chunk has 32 bytes of SHA-256",
                           std::nullopt};
      }
      for (size_t chunk = 0; chunk < places.size(); ++chunk) {
        chunks_.push_back({tensors_.back().get(), &places[chunk],
                           tensor.offset + places[chunk].begin, number++,
                           digests.empty() ? nullptr
                                           : digests.data() + chunk * sizeof(Sha256Digest)});
        most_bytes_ = std::max(most_bytes_, chunks_.back().size_bytes());
      }
    }
    // A disk reads best in order.
    std::sort(chunks_.begin(), chunks_.end(),
              [](const Chunk& a, const Chunk& b) { return a.offset < b.offset; });
    if (chunks_.empty()) return;
    const uint64_t end = chunks_.back().offset + chunks_.back().size_bytes();
    cached_.emplace(request.descriptor, static_cast<size_t>(end));
  }

  LoadedMatrices run() {
    const double decode_seconds = take_all();
    return {finish(), decode_seconds};
  }

 private:
  struct Member {
    PageMemory buffers[kTogether];
    LoadScratch scratch;
  };

  // Returns the time of decoding.
  double take_all() {
    const size_t tasks = (chunks_.size() + kTogether - 1) / kTogether;
    const size_t threads = kThreadsPerCore * request_.threads;
    ThreadTeam team(static_cast<int>(std::min(threads, std::max<size_t>(1, tasks))));
    std::vector<Member> members(static_cast<size_t>(team.size()));
    for (Member& member : members) {
      for (PageMemory& buffer : member.buffers) {
        buffer = PageMemory(most_bytes_ + 2 * ReadOnlyFile::kAlignment);
      }
    }
    team.share(tasks, [&](size_t task, int member) {
      const size_t first = kTogether * task;
      const std::span<const Chunk> chunks(chunks_.data() + first,
                                          std::min(kTogether, chunks_.size() - first));
      take(chunks, members[static_cast<size_t>(member)]);
    });
    failure_.rethrow();
    double seconds = 0;
    for (const Member& member : members) seconds += member.scratch.decode_seconds;
    return seconds / static_cast<double>(request_.threads);
  }

  std::vector<std::vector<std::shared_ptr<const ResidentMatrix>>> finish() {
    const bool on_disk =
        std::any_of(request_.tensors.begin(), request_.tensors.end(),
                    [](const LoadTensor& tensor) { return tensor.form == LoadForm::kDisk; });
    std::shared_ptr<SegmentStream> stream;
    std::shared_ptr<ReadOnlyFile> rows;
    if (on_disk) {
      stream = std::make_shared<SegmentStream>(request_.descriptor, request_.disk_buffers);
      rows = std::make_shared<ReadOnlyFile>(request_.descriptor, ReadOnlyFile::Caching::kBypass);
    }
    std::vector<std::vector<std::shared_ptr<const ResidentMatrix>>> matrices;
    for (const std::unique_ptr<TensorLoad>& tensor : tensors_) {
      matrices.push_back(tensor->finish(stream, rows));
    }
    if (on_disk) stream->start();
    return matrices;
  }

  // Called by members of a team, which must not throw.
  void take(std::span<const Chunk> chunks, Member& member) noexcept {
    size_t number = chunks.front().number;
    try {
      if (stopped()) return;
      std::span<const uint8_t> bytes[kTogether];
      for (size_t i = 0; i < chunks.size(); ++i) {
        number = chunks[i].number;
        bytes[i] = read(chunks[i], member.buffers[i]);
      }
      verify(chunks, bytes);
      for (size_t i = 0; i < chunks.size(); ++i) {
        number = chunks[i].number;
        chunks[i].tensor->take(*chunks[i].place, bytes[i], member.scratch);
        if (request_.watch.done == nullptr) continue;
        std::atomic_ref(*request_.watch.done).fetch_add(1, std::memory_order_relaxed);
      }
    } catch (...) {
      CodecFailure failure = current_codec_failure();
      if (!failure.index.has_value() && failure.code != "OutOfMemory") failure.index = number;
      failure_.note(number, std::move(failure));
    }
  }

  bool stopped() {
    if (failure_.any()) return true;
    const int32_t* const cancel = request_.watch.cancel;
    if (cancel == nullptr ||
        std::atomic_ref(*request_.watch.cancel).load(std::memory_order_relaxed) == 0) {
      return false;
    }
    failure_.note(0, {"Cancelled", "the call was cancelled", std::nullopt});
    return true;
  }

  // What the page cache holds is taken from there. The rest is read past it: new pages for a file
  // that is read once cost as much time as reading it, and push out what is used.
  std::span<const uint8_t> read(const Chunk& chunk, const PageMemory& buffer) const {
    uint8_t* const destination = chunk.tensor->destination(*chunk.place);
    if (!cached_->has(chunk.offset, chunk.size_bytes())) {
      const std::span<const uint8_t> bytes =
          read_aligned(uncached_, chunk.offset, chunk.size_bytes(), buffer);
      if (!bytes.empty() && destination == nullptr) return bytes;
      if (!bytes.empty()) {
        std::copy(bytes.begin(), bytes.end(), destination);
        return {destination, bytes.size()};
      }
      // The ordinary read says what is wrong.
    }
    uint8_t* const to = destination == nullptr ? buffer.data() : destination;
    const int64_t got = file_.read(chunk.offset, to, chunk.size_bytes());
    if (got == -1) throw CodecFailure{"ReadFailed", std::strerror(errno), chunk.number};
    if (got == static_cast<int64_t>(chunk.size_bytes())) return {to, chunk.size_bytes()};
    throw CodecFailure{"Truncated",
                       "ends at byte " + std::to_string(chunk.offset + got),
                       chunk.number};
  }

  static void verify(std::span<const Chunk> chunks, const std::span<const uint8_t>* bytes) {
    Sha256Digest digests[kTogether];
    if (chunks.size() == kTogether && chunks[0].digest != nullptr && chunks[1].digest != nullptr) {
      const std::array<Sha256Digest, kTogether> both = sha256_pair(bytes[0], bytes[1]);
      std::copy(both.begin(), both.end(), digests);
    } else {
      for (size_t i = 0; i < chunks.size(); ++i) {
        if (chunks[i].digest != nullptr) digests[i] = sha256(bytes[i]);
      }
    }
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (chunks[i].digest == nullptr ||
          std::equal(digests[i].begin(), digests[i].end(), chunks[i].digest)) {
        continue;
      }
      throw CodecFailure{"HashMismatch", "a chunk does not have its SHA-256", chunks[i].number};
    }
  }

  const LoadRequest& request_;
  ReadOnlyFile file_;
  ReadOnlyFile uncached_;
  std::optional<CachedPages> cached_;
  std::vector<std::unique_ptr<TensorLoad>> tensors_;
  // In the order of the file.
  std::vector<Chunk> chunks_;
  size_t most_bytes_ = 0;
  FirstFailure failure_;
};

}  // namespace

LoadedMatrices load_artifact(const LoadRequest& request) { return LoadJob(request).run(); }

}  // namespace entrofleet
