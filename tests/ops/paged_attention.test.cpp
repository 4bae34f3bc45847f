// SPDX-License-Identifier: MIT
// Attention over pages against plain loops: the last queries of a sequence, with bias and under masks.
#include <hstu/ops/paged_attention.hpp>

#include "attention_problem.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// The last `delta` rows of the result of p, whose keys and values lie in pages of `positions`.
template <class Scalar>
Tensor attend_in_pages(const Problem& p, std::int64_t delta, std::int64_t positions) {
  const std::int64_t H = p.options.num_heads, length = p.q.size(0);
  const PageLayout layout{positions, H, p.q.size(1) / H, p.v.size(1) / H};
  const SequenceMask mask{p.options.mask, length,
                          p.options.num_targets.defined() ? p.options.num_targets.values<std::int64_t>()[0] : 0};
  const std::int64_t pages = layout.pages_for(length), width = pages * positions;
  // NaN where nothing is written: it must not be used.
  Tensor memory = Tensor::full({pages, layout.size()}, NAN, p.q.dtype());
  std::vector<const Scalar*> addresses;
  for (std::int64_t page = 0; page < pages; ++page) addresses.push_back(memory.data<Scalar>() + page * layout.size());
  for (std::int64_t i = 0; i < mask.targets_begin(); ++i) {
    detail::write_position(layout, memory.mutable_data<Scalar>() + i / positions * layout.size(), i % positions,
                           p.k.data<Scalar>() + i * p.k.size(1), p.v.data<Scalar>() + i * p.v.size(1));
  }
  const TimeBorders borders({.divisor = 0.301, .max_bucket = 40});
  const auto asked = p.query_times.values<std::int64_t>(), keys = p.key_times.values<std::int64_t>();
  std::vector<CachedQuery> queries;
  std::vector<std::uint16_t> buckets(static_cast<std::size_t>(delta * width), 0);
  for (std::int64_t i = length - delta; i < length; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t row = std::ssize(queries);
    for (std::size_t j = 0; j < static_cast<std::size_t>(mask.targets_begin()); ++j) {
      buckets[static_cast<std::size_t>(row * width) + j] = borders.find(asked[at] - keys[j]);
    }
    queries.push_back(
        {mask.place(i), mask.keys_of(i), i >= mask.targets_begin(), row, borders.find(asked[at] - keys[at])});
  }
  const detail::CachedBias<Scalar> bias(p.bias, H, length + 3, positions);
  const auto last = [&](const Tensor& x) { return Columns(x.rows(length - delta, length)); };
  const typename detail::PagedAttention<Scalar>::Operands operands{layout, addresses, queries, bias, buckets.data(),
                                                                   last(p.q), last(p.k), last(p.v)};
  return detail::PagedAttention<Scalar>(operands, p.options).run();
}

}  // namespace

TEST_CASE("PagedAttention: equals plain loops, bit for bit in any company", "[ops][paged_attention][parity]") {
  using enum AttentionKind;
  const AttentionMask crowded{.contextual_seq_len = 5, .max_attn_len = 9, .min_full_attn_seq_len = 3};
  const std::vector<Case> cases = {{{1}, 1, 1, 1, silu, Bias::shared},
                                   {{33}, 2, 5, 3, silu, Bias::per_head},
                                   {{64}, 1, 25, 17, softmax, Bias::shared},
                                   {{100}, 3, 4, 8, softmax, Bias::per_head, 0, {}, {40}},
                                   {{97}, 2, 3, 20, silu, Bias::shared, 0, {.max_attn_len = 20}, {18}},
                                   {{70}, 1, 8, 8, silu, Bias::none, 0, crowded, {7}}};
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const Problem exact(cases[n], DType::float64), rounded(cases[n], DType::float32);
    const std::int64_t length = exact.q.size(0), width = exact.v.size(1);
    const std::vector<double> all = exact.expected();
    for (const std::int64_t delta : {std::int64_t{1}, std::min<std::int64_t>(18, length), length}) {
      INFO("case " << n << ", the last " << delta);
      const std::vector<double> expected(all.end() - delta * width, all.end());
      const Tensor y = attend_in_pages<float>(rounded, delta, 32);
      CHECK(largest_error<double>(attend_in_pages<double>(exact, delta, 32), expected) < 1e-12);
      CHECK(largest_error<float>(y, expected) < 2e-5);
      CHECK(attend_in_pages<float>(rounded, delta, 64).to_vector<float>() == y.to_vector<float>());
      CHECK(attend_in_pages<float>(rounded, 1, 32).to_vector<float>() == y.rows(delta - 1, delta).to_vector<float>());
    }
  }
}
