// SPDX-License-Identifier: MIT
// Losses over all items or over samples, ranks and lists.
#pragma once
#include <hstu/cuda/attention.hpp>
#include <hstu/cuda/cross_entropy.hpp>
#include <hstu/cuda/ranking.hpp>
#include <hstu/cuda/sampled_softmax.hpp>
#include <numeric>

#include "runner.hpp"

namespace hstu::bench {

constexpr std::int64_t kSector = 32;  // bytes that move with a number that stands alone

struct LossSize {
  std::int64_t positions;
  std::int32_t cols, items, negatives;
};

inline std::vector<std::int32_t> count_up(std::int64_t size) {
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(size));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

/// Every 64 positions read all items, every 64 items all positions: what the blocks of the kernels share.
inline void bench_cross_entropy(Runner& runner, const LossSize& s) {
  Device& device = runner.device();
  const std::int64_t padded = (s.cols + 15) / 16 * 16, row_bytes = 2 * padded, out_bytes = 4 * s.cols;
  const auto pack = [&](std::int64_t rows, std::uint32_t site) {
    const auto values = random_floats(device, rows * s.cols, site);
    Buffer<cuda::Bfloat16> packed(device, rows * padded);
    cuda::pack_heads(
        device, {values.data(), nullptr, packed.data(), rows, s.cols, 1, s.cols, static_cast<std::int32_t>(padded)});
    return packed;
  };
  const auto hidden = pack(s.positions, 1), table = pack(s.items, 2);
  const Buffer<std::int32_t> tokens(device, count_up(s.positions)),
      targets(device, random_ids(s.positions, 1, s.items, 3));
  Buffer<float> lse(device, s.positions), loss(device, 1), dhidden(device, s.positions * s.cols),
      dtable(device, std::int64_t{s.items} * s.cols);
  cuda::CrossEntropyForward<cuda::Bfloat16> forward{};
  auto& o = forward.of;
  o = {hidden.data(),  table.data(), nullptr, tokens.data(),
       targets.data(), padded,       padded,  static_cast<std::int32_t>(s.positions),
       s.items,        s.cols,       -1,      1.0f};
  forward.lse = lse.data();
  const std::int64_t flops = 2 * s.positions * s.items * padded;
  const std::int64_t by_positions = row_bytes * (cuda::detail::divide_up(s.positions, 64) * s.items + s.positions),
                     by_items =
                         (row_bytes + 12) * cuda::detail::divide_up(s.items, 64) * s.positions + row_bytes * s.items;
  const std::string size = concat(s.positions, " × ", s.items, " items, ", s.cols, " columns");
  const double reported = 2.0 * static_cast<double>(s.positions) * s.items * s.cols;
  runner.run({"cross-entropy", size, {{"cross_entropy_forward_mma", by_positions + 12 * s.positions, flops}}, reported},
             [&] { cuda::cross_entropy_forward(device, forward, loss.data()); });
  runner.run({"its gradients",
              size,
              {{"cross_entropy_dhidden_mma", by_positions + (12 + out_bytes) * s.positions, 2 * flops},
               {"cross_entropy_dtable_mma", by_items + out_bytes * s.items, 2 * flops}},
              4.0 * reported},
             [&] {
               cuda::cross_entropy_backward<cuda::Bfloat16>(
                   device, {o, lse.data(), 1.0f, dhidden.data(), dtable.data(), nullptr});
             });
}

inline void bench_sampled_softmax(Runner& runner, const LossSize& s) {
  Device& device = runner.device();
  const auto hidden = random_floats(device, s.positions * s.cols, 1),
             table = random_floats(device, std::int64_t{s.items} * s.cols, 2);
  const std::vector<std::int32_t> targets = random_ids(s.positions, 1, s.items, 3),
                                  negatives = random_ids(s.positions * s.negatives, 1, s.items, 4);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < s.positions; ++i) {
    ids.insert(ids.end(), negatives.begin() + i * s.negatives, negatives.begin() + (i + 1) * s.negatives);
    ids.push_back(targets[static_cast<std::size_t>(i)]);
  }
  const Buffer<std::int32_t> tokens(device, count_up(s.positions)), targets_on_device(device, targets),
      negatives_on_device(device, negatives);
  const cuda::SortedIds candidates(device, ids, s.items);
  const std::int64_t count = std::ssize(ids);
  Buffer<float> weights(device, count), losses(device, s.positions), loss(device, 1),
      dhidden(device, hidden.size()), dtable(device, table.size());
  const cuda::SampledSoftmaxOperands o{.hidden = hidden.data(),
                                       .table = table.data(),
                                       .tokens = tokens.data(),
                                       .targets = targets_on_device.data(),
                                       .negatives = negatives_on_device.data(),
                                       .log_expected = nullptr,
                                       .weights = weights.data(),
                                       .table_stride = s.cols,
                                       .rows = s.positions,
                                       .num_negatives = s.negatives,
                                       .cols = s.cols,
                                       .is_binary = 0,
                                       .inverse_temperature = 1.0f};
  const std::string size = concat(s.positions, " × ", s.negatives, " negatives, ", s.cols, " columns");
  const std::int64_t rows = count * 4 * (s.cols + 1), own = s.positions * 4 * (s.cols + 3);
  runner.run({"sampled softmax", size, {{"sampled_softmax_forward", rows + 4 * count + own}}}, [&] {
    cuda::sampled_softmax_forward(device, {o, losses.data()}, loss.data());
  });
  runner.run({"its gradients",
              size,
              {{"sampled_softmax_dhidden", rows + 4 * count + own},
               {"sum_segments", count * (4 * s.cols + 4 + 2 * kSector) + candidates.unique() * (4 * s.cols + 8)}}},
             [&] {
               cuda::sampled_softmax_backward(device, {o, dhidden.data(), 1.0f}, candidates, false, dtable.data());
             });
}

inline void bench_ranking(Runner& runner, std::int64_t rows, std::int32_t items, std::int32_t seen, std::int32_t k) {
  Device& device = runner.device();
  const auto scores = random_floats(device, rows * items, 1);
  std::vector<std::int64_t> offsets;
  for (std::int64_t row = 0; row <= rows; ++row) offsets.push_back(row * seen);
  const Buffer<std::int64_t> offsets_on_device(device, offsets);
  const Buffer<std::int32_t> excluded(device, random_ids(rows * seen, 1, items, 2)),
      targets(device, random_ids(rows, 1, items, 3));
  Buffer<std::int32_t> ranks(device, rows), best(device, rows * k), counts(device, rows);
  Buffer<float> best_scores(device, rows * k);
  const std::string size = concat(rows, " × ", items, " items");
  runner.run({"excluded items", size, {{"exclude_items", rows * seen * (4 + kSector)}}}, [&] {
    cuda::exclude_items(device,
                        {scores.data(), excluded.data(), offsets_on_device.data(), targets.data(), rows, items});
  });
  runner.run({"rank of the target", size, {{"rank_targets", rows * (4 * items + 8)}}}, [&] {
    cuda::rank_targets(device, {scores.data(), targets.data(), ranks.data(), rows, items});
  });
  runner.run({concat("top ", k), size, {{"top_k", rows * (4 * items + 8 * k + 4)}}}, [&] {
    cuda::top_k(device, {scores.data(), best.data(), best_scores.data(), counts.data(), rows, items, k});
  });
}

}  // namespace hstu::bench
