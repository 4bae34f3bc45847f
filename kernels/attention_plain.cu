// SPDX-License-Identifier: MIT
// The plain rung of attention: float32, any head size up to 256, the reference on the device for the others.
// The rows of a block are queries (keys for dK and dV), see plain.cuh.
#include "attention.cuh"
#include "plain.cuh"

namespace hstu::cuda {

constexpr int kDiagonals = kRows + kColumns - 1;

/// The user of a tile, and the head.
struct User {
  int start, length, head;

  HSTU_DEVICE User(const AttentionOperands<float>& o, int token)
      : start(o.spans[token].first), length(o.spans[token].end - start), head(static_cast<int>(blockIdx.y)) {}
  /// Where the distances of the targets are counted from; every token up to here is at its own place.
  HSTU_DEVICE int last_place(const AttentionOperands<float>& o) const {
    return place_of(o, start + length - 1) - start;
  }
  /// Row r of a tile is place `first + r` of the user's history; null behind its end.
  template <class T>
  HSTU_DEVICE auto rows(T* matrix, std::int64_t stride, int head_stride, int first) const {
    return [=, this](int r) -> T* {
      return first + r < length ? matrix + (start + first + r) * stride + head * head_stride : nullptr;
    };
  }
};

HSTU_DEVICE bool sees(const AttentionOperands<float>& o, const User& user, int i, int j) {
  return i < user.length && j < user.length && sees(o.seen[user.start + i], user.start + i, user.start + j);
}

/// Which tiles of keys a block of queries has to visit, in places of the history.
struct VisitedKeys {
  int tile_first, first, last;  // the rows see [first, last) and themselves

  HSTU_DEVICE VisitedKeys(const AttentionOperands<float>& o, const User& user, int first_row) : tile_first(first_row) {
    const KeySpan own = o.seen[user.start + min(tile_first + lane_id() % kRows, user.length - 1)];
    first = own.first - user.start;
    last = own.last - user.start;
#pragma unroll
    for (int distance = 1; distance < kRows; distance *= 2) {
      first = min(first, __shfl_xor_sync(kAllLanes, first, distance));
      last = max(last, __shfl_xor_sync(kAllLanes, last, distance));
    }
  }
  HSTU_DEVICE int begin() const {
    return min(first, tile_first) / kColumns * kColumns;
  }
  HSTU_DEVICE int end(const User& user) const {
    return max(last, min(tile_first + kRows, user.length));
  }
  HSTU_DEVICE bool contains(int key) const {
    return (key < last && key + kColumns > first) || (key < tile_first + kRows && key + kColumns > tile_first);
  }
};

/// Score of query i and key j from their product; `bucket` receives that of their times.
HSTU_DEVICE float score_of(const AttentionOperands<float>& o, const User& user, int i, int j, float dot, int& bucket) {
  float score = o.alpha * dot;
  if (o.bias.by_distance != nullptr) {
    const int distance = abs(place_of(o, user.start + i) - place_of(o, user.start + j));
    score += position_biases(o.bias, o.longest, user.head)[distance];
  }
  bucket = 0;
  if (o.bias.by_bucket != nullptr) {
    bucket = time_bucket(o.bias, o.bias.query_times[user.start + i] - o.bias.key_times[user.start + j]);
    score += time_biases(o.bias, user.head)[bucket];
  }
  return score;
}

HSTU_KERNEL(kThreads) attention_forward_plain(const __grid_constant__ AttentionForward<float> o) {
  extern __shared__ float shared[];
  const AttentionOperands<float>& p = o.of;
  float* const q = shared;
  float* const k = q + kRows * p.dqk;
  float* const v = k + kColumns * pitch_of(p.dqk);
  float* const weights = v + kColumns * pitch_of(p.dv);
  const User user(p, o.tiles[blockIdx.x]);
  const int tile_first = o.tiles[blockIdx.x] - user.start;
  const VisitedKeys visited(p, user, tile_first);

  load_rows<kRows>(q, p.dqk, user.rows(p.q, p.q_stride, p.qk_head_stride, tile_first), p.dqk);
  float sums[kWarpRows][kChunks], largest[kWarpRows], total[kWarpRows];
  clear(sums);
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    largest[r] = -INFINITY;
    total[r] = 0.0f;
  }
  for (int first = visited.begin(); first < visited.end(user); first += kColumns) {
    if (!visited.contains(first)) continue;
    __syncthreads();
    load_rows<kColumns>(k, pitch_of(p.dqk), user.rows(p.k, p.k_stride, p.qk_head_stride, first), p.dqk);
    load_rows<kColumns>(v, pitch_of(p.dv), user.rows(p.v, p.v_stride, p.v_head_stride, first), p.dv);
    __syncthreads();
    float dots[kWarpRows];
    multiply(dots, q, k, p.dqk);
    const int j = first + lane_id();
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const int row = warp_id() * kWarpRows + r, i = tile_first + row;
      const bool is_valid = sees(p, user, i, j);
      int bucket;
      const float score = is_valid ? score_of(p, user, i, j, dots[r], bucket) : -INFINITY;
      float weight = 0.0f;
      if (p.is_softmax) {
        const float before = largest[r];
        largest[r] = fmaxf(before, warp_max(score));
        const float shrink = before == largest[r] ? 1.0f : __expf(before - largest[r]);
        if (is_valid) weight = __expf(score - largest[r]);
        total[r] = fmaf(total[r], shrink, warp_sum(weight));
#pragma unroll
        for (int c = 0; c < kChunks; ++c) sums[r][c] *= shrink;
      } else if (is_valid) {
        weight = silu(score) * p.inverse_normalizer;
      }
      if (is_valid) weight *= weight_factor(p, user.start + i, user.head, j);
      weights[row * kColumns + lane_id()] = weight;
    }
    __syncwarp();
    if (tile_first + warp_id() * kWarpRows < user.length) accumulate(sums, weights, v, p.dv);
  }
#pragma unroll
  for (int r = 0; r < kWarpRows && p.is_softmax; ++r) {
    const int i = tile_first + warp_id() * kWarpRows + r;
    if (i >= user.length) break;
    const float share = 1.0f / total[r];
#pragma unroll
    for (int c = 0; c < kChunks; ++c) sums[r][c] *= share;
    if (lane_id() == 0)
      o.lse[static_cast<std::int64_t>(user.head) * p.tokens + user.start + i] = largest[r] + logf(total[r]);
  }
  store_rows(sums, 1.0f, p.dv, user.rows(o.y, o.y_stride, p.dv, tile_first));
}

/// A warp for 8 tokens of a head.
HSTU_KERNEL(kThreads) attention_delta_plain(const __grid_constant__ AttentionDelta o) {
  constexpr int kRowsOfWarp = 8;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * kWarps + warp_id()) * kRowsOfWarp;
  float own = 0.0f;
  for (int r = 0; r < kRowsOfWarp && first + r < o.rows; ++r) {
    const std::int64_t token = (first + r) % o.tokens, column = (first + r) / o.tokens * o.dv;
    float sum = 0.0f;
    for (int c = lane_id(); c < o.dv; c += kWarpSize) {
      sum = fmaf(o.y[token * o.y_stride + column + c], o.dy[token * o.dy_stride + column + c], sum);
    }
    sum = warp_sum(sum);
    if (lane_id() == r) own = sum;
  }
  if (lane_id() < kRowsOfWarp && first + lane_id() < o.rows) o.delta[first + lane_id()] = own;
}

/// What backward makes of a score: the weight as it multiplied v, and the gradient of the score.
struct Slope {
  float weight, dscore;
};
HSTU_DEVICE Slope slope_of(const AttentionBackward<float>& o, const User& user, int i, int j, float score,
                           float dweight) {
  const AttentionOperands<float>& p = o.of;
  const float factor = weight_factor(p, user.start + i, user.head, j);
  dweight *= factor;
  if (p.is_softmax) {
    const std::int64_t row = static_cast<std::int64_t>(user.head) * p.tokens + user.start + i;
    const float weight = __expf(score - o.lse[row]);
    return {weight * factor, weight * (dweight - o.delta[row])};
  }
  const float open = sigmoid(score);
  return {score * open * p.inverse_normalizer * factor, dweight * silu_slope(score, open) * p.inverse_normalizer};
}

/// The gradients of the time table from one row of scores: a sum for each bucket that occurs, added by one lane.
HSTU_DEVICE void add_by_bucket(float* parts, bool is_valid, int bucket, float dscore) {
  unsigned left = __ballot_sync(kAllLanes, is_valid);
  while (left != 0) {
    const int chosen = __shfl_sync(kAllLanes, bucket, __ffs(static_cast<int>(left)) - 1);
    const bool is_mine = is_valid && bucket == chosen;
    const float sum = warp_sum(is_mine ? dscore : 0.0f);
    left &= ~__ballot_sync(kAllLanes, is_mine);
    if (lane_id() == 0) parts[chosen] += sum;
  }
}

/// The gradients by distance from one tile of scores, one thread for each: of a diagonal; of a key with the targets,
/// which are all at one place.  The whole block calls it.
HSTU_DEVICE void add_by_distance(const AttentionOperands<float>& p, const User& user, const float* dscores,
                                 int tile_first, int first, float* by_distance) {
  __syncthreads();
  const int last_place = user.last_place(p), diagonal = static_cast<int>(threadIdx.x) - (kColumns - 1);  // row − column
  const int distance = tile_first - first + diagonal;
  float sum = 0.0f;
  for (int row = max(diagonal, 0); row < min(kRows, kColumns + diagonal); ++row) {
    if (tile_first + row > last_place && distance != 0) break;
    sum += dscores[row * kColumns + row - diagonal];
  }
  const bool is_there = threadIdx.x < kDiagonals && abs(distance) < p.longest;
  if (is_there && distance >= 0) by_distance[distance] += sum;
  if (p.looks_ahead) {
    __syncthreads();
    if (is_there && distance < 0) by_distance[-distance] += sum;
  }
  if (tile_first + kRows - 1 <= last_place) return;
  __syncthreads();
  const int of_key = last_place - (first + static_cast<int>(threadIdx.x));
  if (threadIdx.x >= kColumns || of_key <= 0) return;
  sum = 0.0f;
  for (int row = max(last_place + 1 - tile_first, 0); row < kRows; ++row) sum += dscores[row * kColumns + threadIdx.x];
  by_distance[of_key] += sum;
}

/// dQ and the gradients of the tables.  A block walks over the tiles blockIdx.x, + gridDim.x, …; its rows of the parts
/// belong to it alone: by distance to the block, one thread for each diagonal of a tile; by bucket to each warp.
HSTU_KERNEL(kThreads) attention_backward_queries_plain(const __grid_constant__ AttentionBackward<float> o) {
  extern __shared__ float shared[];
  const AttentionOperands<float>& p = o.of;
  float* const q = shared;
  float* const dy = q + kRows * p.dqk;
  float* const k = dy + kRows * p.dv;
  float* const v = k + kColumns * pitch_of(p.dqk);
  float* const dscores = v + kColumns * pitch_of(p.dv);
  const std::int64_t head = blockIdx.y;
  float* const by_distance = o.position_parts + (head * o.position_rows + blockIdx.x) * o.position_stride;
  float* const by_bucket = o.time_parts + ((head * gridDim.x + blockIdx.x) * kWarps + warp_id()) * o.time_stride;
  if (p.bias.by_distance != nullptr) {
    for (int d = static_cast<int>(threadIdx.x); d < p.longest; d += kThreads) by_distance[d] = 0.0f;
  }
  if (p.bias.by_bucket != nullptr && lane_id() == 0) {
    for (int b = 0; b < p.bias.buckets; ++b) by_bucket[b] = 0.0f;
  }
  for (int t = static_cast<int>(blockIdx.x); t < o.num_tiles; t += static_cast<int>(gridDim.x)) {
    const User user(p, o.tiles[t]);
    const int tile_first = o.tiles[t] - user.start;
    const VisitedKeys visited(p, user, tile_first);
    __syncthreads();
    load_rows<kRows>(q, p.dqk, user.rows(p.q, p.q_stride, p.qk_head_stride, tile_first), p.dqk);
    load_rows<kRows>(dy, p.dv, user.rows(o.dy, o.dy_stride, p.v_head_stride, tile_first), p.dv);
    float sums[kWarpRows][kChunks];
    clear(sums);
    for (int first = visited.begin(); first < visited.end(user); first += kColumns) {
      if (!visited.contains(first)) continue;
      __syncthreads();
      load_rows<kColumns>(k, pitch_of(p.dqk), user.rows(p.k, p.k_stride, p.qk_head_stride, first), p.dqk);
      load_rows<kColumns>(v, pitch_of(p.dv), user.rows(p.v, p.v_stride, p.v_head_stride, first), p.dv);
      __syncthreads();
      float dots[kWarpRows], dweights[kWarpRows];
      multiply(dots, q, k, p.dqk);
      multiply(dweights, dy, v, p.dv);
      const int j = first + lane_id();
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) {
        const int row = warp_id() * kWarpRows + r, i = tile_first + row;
        const bool is_valid = sees(p, user, i, j);
        int bucket = 0;
        float dscore = 0.0f;
        if (is_valid) {
          const float score = score_of(p, user, i, j, dots[r], bucket);
          dscore = slope_of(o, user, i, j, score, dweights[r]).dscore;
        }
        dscores[row * kColumns + lane_id()] = dscore;
        if (p.bias.by_bucket != nullptr) add_by_bucket(by_bucket, is_valid, bucket, dscore);
      }
      __syncwarp();
      if (tile_first + warp_id() * kWarpRows < user.length) accumulate(sums, dscores, k, p.dqk);
      if (p.bias.by_distance != nullptr) add_by_distance(p, user, dscores, tile_first, first, by_distance);
    }
    store_rows(sums, p.alpha, p.dqk, user.rows(o.dq, o.dq_stride, p.dqk, tile_first));
  }
}

/// dK and dV: rows are keys, columns queries.
HSTU_KERNEL(kThreads) attention_backward_keys_plain(const __grid_constant__ AttentionBackward<float> o) {
  extern __shared__ float shared[];
  const AttentionOperands<float>& p = o.of;
  float* const k = shared;
  float* const v = k + kRows * p.dqk;
  float* const q = v + kRows * p.dv;
  float* const dy = q + kColumns * pitch_of(p.dqk);
  float* const weights = dy + kColumns * pitch_of(p.dv);
  const User user(p, o.tiles[blockIdx.x]);
  const int tile_first = o.tiles[blockIdx.x] - user.start;
  load_rows<kRows>(k, p.dqk, user.rows(p.k, p.k_stride, p.qk_head_stride, tile_first), p.dqk);
  load_rows<kRows>(v, p.dv, user.rows(p.v, p.v_stride, p.v_head_stride, tile_first), p.dv);
  float dk[kWarpRows][kChunks], dv[kWarpRows][kChunks];
  clear(dk);
  clear(dv);
  for (int first = p.looks_ahead ? 0 : tile_first; first < user.length; first += kColumns) {
    const int i = first + lane_id();
    bool sees_tile = false;
    for (int r = 0; r < kRows; ++r) sees_tile |= sees(p, user, i, tile_first + r);
    if (__any_sync(kAllLanes, sees_tile) == 0) continue;  // all warps alike
    __syncthreads();
    load_rows<kColumns>(q, pitch_of(p.dqk), user.rows(p.q, p.q_stride, p.qk_head_stride, first), p.dqk);
    load_rows<kColumns>(dy, pitch_of(p.dv), user.rows(o.dy, o.dy_stride, p.v_head_stride, first), p.dv);
    __syncthreads();
    float dots[kWarpRows], dweights[kWarpRows];
    multiply(dots, k, q, p.dqk);
    multiply(dweights, v, dy, p.dv);
    float* const own = weights + warp_id() * kWarpRows * kColumns + lane_id();
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const int j = tile_first + warp_id() * kWarpRows + r;
      Slope slope{0.0f, 0.0f};
      if (sees(p, user, i, j)) {
        int bucket;
        const float score = score_of(p, user, i, j, dots[r], bucket);
        slope = slope_of(o, user, i, j, score, dweights[r]);
      }
      own[r * kColumns] = slope.weight;
      dots[r] = slope.dscore;
    }
    __syncwarp();
    accumulate(dv, weights, dy, p.dv);
    __syncwarp();
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) own[r * kColumns] = dots[r];
    __syncwarp();
    accumulate(dk, weights, q, p.dqk);
    __syncwarp();
  }
  store_rows(dk, p.alpha, p.dqk, user.rows(o.dk, o.dk_stride, p.dqk, tile_first));
  store_rows(dv, 1.0f, p.dv, user.rows(o.dv, o.dv_stride, p.dv, tile_first));
}

}  // namespace hstu::cuda
