#include "kernels/attention_pass.h"

#include <algorithm>
#include <cmath>

namespace entrofleet {
namespace {

// Merging fewer chunks than this takes less time than a round of the team.
constexpr size_t kChunksWorthSharing = 32;

size_t visible_begin(size_t position, size_t window) {
  return window != 0 && position + 1 > window ? position + 1 - window : 0;
}

size_t first_chunk(const EngineEntry& entry, size_t window) {
  return visible_begin(entry.position, window) / kChunkPositions;
}

size_t chunks_after(const EngineEntry& entry) { return entry.position / kChunkPositions + 1; }

}  // namespace

void AttentionPass::OwnedSums::resize(size_t rows, size_t stride) {
  peaks.resize(rows);
  totals.resize(rows);
  outputs.resize(rows * stride);
}

AttentionSums AttentionPass::OwnedSums::at(size_t row, size_t stride) {
  return {peaks.data() + row, totals.data() + row, outputs.data() + row * stride};
}

AttentionPass::AttentionPass(const AttentionShape& shape, int members)
    : shape_(shape),
      stride_(value_stride(shape.head_size)),
      scratch_(static_cast<size_t>(members)) {
  const size_t rows = std::max(kTileQueries, shape.group());
  for (Scratch& scratch : scratch_) {
    scratch.queries.resize(rows * shape.head_size);
    scratch.scores.resize(rows * kChunkPositions);
    scratch.begins.resize(rows);
    scratch.ends.resize(rows);
    scratch.chunk.resize(rows, stride_);
    scratch.all.resize(rows, stride_);
  }
}

void AttentionPass::prepare(std::span<const EngineEntry> entries) {
  tiles_.clear();
  const size_t most = few(entries.size()) ? 1 : std::max<size_t>(1, kTileQueries / shape_.group());
  size_t chunks = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const bool joins = !tiles_.empty() && tiles_.back().count < most &&
                       entries[tiles_.back().first].cache == entries[i].cache;
    if (joins) {
      ++tiles_.back().count;
    } else {
      tiles_.push_back({i, 1});
    }
    chunks = std::max(chunks, (entries[i].cache->capacity() - 1) / kChunkPositions + 1);
  }
  if (!few(entries.size())) return;
  const size_t rows = kFewEntries * shape_.heads * chunks;
  if (rows > partial_.peaks.size()) partial_.resize(rows, stride_);
}

void AttentionPass::run(const EngineKernels& kernels, ThreadTeam& team, const Block& block) {
  if (few(block.entries.size())) {
    run_chunks(kernels, team, block);
  } else {
    run_tiles(kernels, team, block);
  }
}

// Row position * group + head of the group.
void AttentionPass::load_queries(const Block& block, const Tile& tile, size_t head,
                                 Scratch& scratch) const {
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape_.head_size)));
  const size_t size = shape_.group() * shape_.head_size;
  for (size_t i = 0; i < tile.count; ++i) {
    const size_t at = (tile.first + i) * shape_.heads * shape_.head_size + head * size;
    float* const queries = scratch.queries.data() + i * size;
    for (size_t k = 0; k < size; ++k) queries[k] = block.queries[at + k] * scale;
  }
}

void AttentionPass::attend_chunk(const EngineKernels& kernels, const Block& block, const Tile& tile,
                                 size_t head, size_t chunk, const AttentionSums& sums,
                                 Scratch& scratch) const {
  const size_t group = shape_.group();
  const size_t first = chunk * kChunkPositions;
  size_t positions = 0;
  for (size_t i = 0; i < tile.count; ++i) {
    const size_t position = block.entries[tile.first + i].position;
    const size_t begin = std::max(visible_begin(position, block.window), first) - first;
    const size_t end = std::clamp(position + 1, first, first + kChunkPositions) - first;
    std::fill_n(scratch.begins.data() + i * group, group, static_cast<uint32_t>(begin));
    std::fill_n(scratch.ends.data() + i * group, group, static_cast<uint32_t>(end));
    positions = std::max(positions, end);
  }
  const KeyValueCache& cache = *block.entries[tile.first].cache;
  kernels.attend({cache.run(block.layer, head, first), positions, scratch.queries.data(),
                  tile.count * group, scratch.begins.data(), scratch.ends.data(),
                  scratch.scores.data(), sums});
}

void AttentionPass::store(const Block& block, const Tile& tile, size_t head,
                          const AttentionSums& sums) const {
  const size_t group = shape_.group();
  for (size_t row = 0; row < tile.count * group; ++row) {
    const float inverse = 1 / sums.totals[row];
    const size_t at = (tile.first + row / group) * shape_.heads + head * group + row % group;
    float* const outputs = block.outputs + at * shape_.head_size;
    const float* const from = sums.outputs + row * stride_;
    for (size_t d = 0; d < shape_.head_size; ++d) outputs[d] = from[d] * inverse;
  }
}

void AttentionPass::run_tile(const EngineKernels& kernels, const Block& block, const Tile& tile,
                             size_t head, Scratch& scratch) const {
  load_queries(block, tile, head, scratch);
  const size_t rows = tile.count * shape_.group();
  const AttentionSums all = scratch.all.at(0, stride_);
  const AttentionSums part = scratch.chunk.at(0, stride_);
  std::fill_n(all.totals, rows, 0.0f);
  const size_t last = chunks_after(block.entries[tile.first + tile.count - 1]);
  for (size_t c = first_chunk(block.entries[tile.first], block.window); c < last; ++c) {
    attend_chunk(kernels, block, tile, head, c, part, scratch);
    for (size_t row = 0; row < rows; ++row) kernels.merge_attention(part, row, all, row, stride_);
  }
  store(block, tile, head, all);
}

void AttentionPass::run_tiles(const EngineKernels& kernels, ThreadTeam& team, const Block& block) {
  const size_t heads = shape_.key_value_heads;
  team.share(tiles_.size() * heads, [&](size_t item, int member) {
    // Later tiles see more positions; they start first.
    const Tile& tile = tiles_[tiles_.size() - 1 - item / heads];
    run_tile(kernels, block, tile, item % heads, scratch_[static_cast<size_t>(member)]);
  });
}

void AttentionPass::run_chunks(const EngineKernels& kernels, ThreadTeam& team,
                               const Block& block) {
  const size_t heads = shape_.key_value_heads;
  const size_t group = shape_.group();
  size_t chunks = 0;
  for (const EngineEntry& entry : block.entries) {
    chunks = std::max(chunks, chunks_after(entry) - first_chunk(entry, block.window));
  }
  const auto sums = [&](size_t tile_head, size_t chunk) {
    return partial_.at((tile_head * chunks + chunk) * group, stride_);
  };
  team.share(tiles_.size() * heads * chunks, [&](size_t item, int member) {
    const Tile& tile = tiles_[item / chunks / heads];
    const size_t chunk = first_chunk(block.entries[tile.first], block.window) + item % chunks;
    if (chunk >= chunks_after(block.entries[tile.first])) return;
    Scratch& scratch = scratch_[static_cast<size_t>(member)];
    const size_t head = item / chunks % heads;
    load_queries(block, tile, head, scratch);
    attend_chunk(kernels, block, tile, head, chunk, sums(item / chunks, item % chunks), scratch);
  });
  const auto merge = [&](size_t item, int) {
    const Tile& tile = tiles_[item / heads];
    const EngineEntry& entry = block.entries[tile.first];
    const size_t own = chunks_after(entry) - first_chunk(entry, block.window);
    const AttentionSums all = sums(item, 0);
    for (size_t c = 1; c < own; ++c) {
      for (size_t row = 0; row < group; ++row) {
        kernels.merge_attention(sums(item, c), row, all, row, stride_);
      }
    }
    store(block, tile, item % heads, all);
  };
  if (chunks < kChunksWorthSharing) {
    for (size_t item = 0; item < tiles_.size() * heads; ++item) merge(item, 0);
  } else {
    team.share(tiles_.size() * heads, merge);
  }
}

}  // namespace entrofleet
