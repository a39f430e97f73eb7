// A fixed team of threads that run one function together. The caller is member 0, so a team of
// one costs nothing. Between runs the workers spin briefly (a token's matrix products follow each
// other within microseconds) and then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace entrofleet {

class ThreadTeam {
 public:
  // Throws std::system_error when the system refuses a thread.
  explicit ThreadTeam(int size);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return size_; }

  // Calls work(member) once for each member 0..size-1 and returns when all have returned. `work`
  // must not throw and must not call run() on the same team. One run at a time.
  template <typename Work>
  void run(const Work& work) {
    start([](const void* context, int member) { (*static_cast<const Work*>(context))(member); },
          &work);
  }

 private:
  using Entry = void (*)(const void*, int);

  void start(Entry entry, const void* context);
  void serve(int member);
  void stop();

  const int size_;
  std::vector<std::thread> workers_;
  Entry entry_ = nullptr;
  const void* context_ = nullptr;
  // Each on its own cache line: workers spin on one while others write the second.
  alignas(64) std::atomic<uint64_t> round_{0};
  alignas(64) std::atomic<int> remaining_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace entrofleet
