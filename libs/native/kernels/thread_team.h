// A fixed team of threads that run one function together. The caller is member 0, so a team of
// one costs nothing. Between rounds the workers spin briefly (a token's matrix products follow
// each other within microseconds) and then sleep.
#pragma once

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace entrofleet {

// Whether each member runs on a processor of its own among those the process may use. Two pinned
// teams share the same processors.
enum class Pinning { kNone, kEach };

class ThreadTeam {
 public:
  // Throws std::system_error when the system refuses a thread. That it refuses a processor is no
  // error.
  explicit ThreadTeam(int size, Pinning pinning = Pinning::kNone);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return size_; }

  // Calls work(member) once for each member 0..size-1 and returns when all have returned. `work`
  // must not throw and must not call run() or share() on the same team. One round at a time.
  template <typename Work>
  void run(const Work& work) {
    start([](const void* context, int member) { (*static_cast<const Work*>(context))(member); },
          &work, Attendance::kEveryone);
  }

  // Calls work(item, member) once for each item 0..items-1 and returns when all have returned. Each
  // member begins with its own run of neighbouring items, so that memory streams, and then helps
  // the others. A member that the system does not run just then is not waited for, unless it holds
  // an item: on a busy machine the others do its share.
  template <typename Work>
  void share(size_t items, const Work& work) {
    if (size_ == 1 || items <= 1) {
      for (size_t item = 0; item < items; ++item) work(item, 0);
      return;
    }
    const Shared<Work> shared{work, *this};
    deal(items);
    start([](const void* context, int member) {
            const auto& round = *static_cast<const Shared<Work>*>(context);
            const ThreadTeam& team = round.team;
            for (int i = 0; i < team.size_; ++i) {
              Run& run = team.runs_[static_cast<size_t>((member + i) % team.size_)];
              for (;;) {
                const size_t item = run.next.fetch_add(1, std::memory_order_relaxed);
                if (item >= run.end) break;
                round.work(item, member);
              }
            }
          },
          &shared, Attendance::kWhoeverComes);
  }

 private:
  using Entry = void (*)(const void*, int);
  enum class Attendance { kEveryone, kWhoeverComes };

  template <typename Work>
  struct Shared {
    const Work& work;
    const ThreadTeam& team;
  };

  // A member's items of a round that nobody has taken yet. On its own cache line.
  struct alignas(64) Run {
    std::atomic<size_t> next{0};
    size_t end = 0;
  };

  void deal(size_t items);
  void start(Entry entry, const void* context, Attendance attendance);
  void serve(int member);
  bool join(uint64_t& seen);
  void stop();

  friend class CallerPin;

  const int size_;
  // The processors to pin members to, in turn; none when they are not pinned.
  std::vector<int> processors_;
  std::unique_ptr<Run[]> runs_;
  std::vector<std::thread> workers_;
  // Written before a round opens, read by members who have joined it.
  Entry entry_ = nullptr;
  const void* context_ = nullptr;
  // The round's number, whether it is open, and how many workers are in it; see thread_team.cc.
  // Each on its own cache line: workers spin on one while others write the second.
  alignas(64) std::atomic<uint64_t> gate_{0};
  alignas(64) std::atomic<int> absent_{0};  // workers that have not yet done this round
  std::atomic<bool> stopping_{false};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Binds the calling thread, which is a pinned team's member 0, to its processor while it lives.
class CallerPin {
 public:
  explicit CallerPin(const ThreadTeam& team);
  ~CallerPin();
  CallerPin(const CallerPin&) = delete;
  CallerPin& operator=(const CallerPin&) = delete;

 private:
  cpu_set_t before_;
  bool bound_ = false;
};

// A team that belongs to the calling thread and is kept until the thread ends, for work too short
// to start threads for. Throws std::system_error when the system refuses a thread.
ThreadTeam& kept_team(int size);

}  // namespace entrofleet
