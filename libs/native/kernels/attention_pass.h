// Attention of a block of entries over their caches, spread over a team of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/engine_kernels.h"
#include "kernels/key_value_cache.h"
#include "kernels/thread_team.h"

namespace entrofleet {

struct AttentionShape {
  size_t heads;
  size_t key_value_heads;
  size_t head_size;

  size_t group() const { return heads / key_value_heads; }
};

// Many positions run in tiles of neighbouring ones, which read the cache once per tile; the work
// items are tiles and heads. Few positions, as in decoding, run by themselves, and the items are
// their chunks too, so that one long sequence keeps all threads busy; the chunks' sums are merged
// afterwards. Both ways give the same bits, since each query's chunks are merged in order. Scratch
// does not grow with the context but for the sums of the few positions: one row per chunk and head.
class AttentionPass {
 public:
  AttentionPass(const AttentionShape& shape, int members);

  // To be called for a block before run(); allocates when a cache is longer than any before.
  void prepare(std::span<const EngineEntry> entries);

  struct Block {
    std::span<const EngineEntry> entries;  // as prepared
    size_t layer;
    size_t window;         // latest positions that are seen; 0: all
    const float* queries;  // entries x heads x head_size
    float* outputs;        // likewise
  };
  void run(const EngineKernels& kernels, ThreadTeam& team, const Block& block);

 private:
  // Up to this many entries run chunk by chunk.
  static constexpr size_t kFewEntries = 4;
  // Queries of a tile, at least: enough that converting keys and values is paid by all.
  static constexpr size_t kTileQueries = 32;

  // Sums with their memory, `rows` of them.
  struct OwnedSums {
    void resize(size_t rows, size_t stride);
    AttentionSums at(size_t row, size_t stride);
    std::vector<float> peaks, totals, outputs;
  };

  struct Tile {
    size_t first;  // entry
    size_t count;
  };

  // One member's scratch.
  struct Scratch {
    std::vector<float> queries, scores;
    std::vector<uint32_t> begins, ends;
    OwnedSums chunk, all;
  };

  bool few(size_t entries) const { return entries <= kFewEntries; }
  void load_queries(const Block& block, const Tile& tile, size_t head, Scratch& scratch) const;
  void attend_chunk(const EngineKernels& kernels, const Block& block, const Tile& tile, size_t head,
                    size_t chunk, const AttentionSums& sums, Scratch& scratch) const;
  void run_tile(const EngineKernels& kernels, const Block& block, const Tile& tile, size_t head,
                Scratch& scratch) const;
  void store(const Block& block, const Tile& tile, size_t head, const AttentionSums& sums) const;
  void run_tiles(const EngineKernels& kernels, ThreadTeam& team, const Block& block);
  void run_chunks(const EngineKernels& kernels, ThreadTeam& team, const Block& block);

  AttentionShape shape_;
  size_t stride_;
  std::vector<Scratch> scratch_;
  std::vector<Tile> tiles_;
  OwnedSums partial_;
};

}  // namespace entrofleet
