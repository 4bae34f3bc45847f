// SPDX-License-Identifier: MIT
// A model that runs on new rows only: keys and values of earlier rows lie in pages.
#pragma once
#include <hstu/data/batch.hpp>
#include <hstu/ops/paged_attention.hpp>
#include <hstu/recommend/item_scores.hpp>

namespace hstu {

/// Rows of one history to be computed, behind `num_cached` rows that are.
struct NewRows {
  JaggedBatch batch;             ///< one user: the rows; positions count on from the cached ones
  bool are_candidates = false;   ///< each is a target behind the cached rows; else they follow one another
  std::int64_t num_cached = 0;
  std::span<const std::int64_t> times_s;  ///< of the whole history: cached rows, new ones, those still to be computed
};

/// The model with its tables laid out for serving.  Only read after construction: threads may share it.
///
/// A row depends on the rows before it, its item, its position, its time, and the time of the next event (time bias of
/// query time, age embedding); with min_full_attn_seq_len also on the length of the history.  So a cached row stays right
/// as long as the next event is the one assumed and first_changed_query() does not come before it.
class CachedModel {
 public:
  /// `model` must outlive this.  Throws ConfigError for pages of other than 32 or 64 positions.
  explicit CachedModel(const HstuModel& model, std::int64_t page_positions = 32)
      : model_(model), scores_(model),
        layout_{page_positions, model.config().num_heads, model.config().dqk, model.config().dv} {
    check<ConfigError>(page_positions == 32 || page_positions == 64, "cache: pages hold 32 or 64 positions, got ",
                       page_positions);
    dispatch_floating("cache", model.dtype(), [&]<class Scalar>(Scalar) {
      for (std::size_t i = 0; i < model.layers().size(); ++i) {
        RelativeBias bias = model.tables_of(i).in({});
        bias.position_rows = model.lookup().position_rows();
        biases<Scalar>().emplace_back(bias, layout_.heads, model.config().max_seq_len, page_positions);
      }
    });
  }

  const HstuModel& model() const { return model_; }
  const ItemScores& scores() const { return scores_; }
  const PageLayout& layout() const { return layout_; }
  std::int64_t numbers_per_page() const { return layout_.size() * std::ssize(model_.layers()); }
  /// True if a row changes with the time of the event that comes next.
  bool looks_ahead() const {
    return model_.config().time_bias == TimeBias::query_time || model_.config().use_time_embedding;
  }

  /// Hidden states of the rows.  pages: the memory of every page of the history, which receives the keys and values of
  /// rows that are not candidates.
  Tensor run(const NewRows& rows, std::span<std::byte* const> pages) const {
    const NoGrad no_grad;
    return dispatch_floating("cache", model_.dtype(),
                             [&]<class Scalar>(Scalar) { return run_typed<Scalar>(rows, pages); });
  }

 private:
  template <class Scalar>
  std::vector<detail::CachedBias<Scalar>>& biases() {
    if constexpr (std::is_same_v<Scalar, float>) return float_biases_;
    else return double_biases_;
  }
  template <class Scalar>
  const std::vector<detail::CachedBias<Scalar>>& biases() const {
    if constexpr (std::is_same_v<Scalar, float>) return float_biases_;
    else return double_biases_;
  }

  template <class Scalar>
  Tensor run_typed(const NewRows& rows, std::span<std::byte* const> pages) const {
    const std::int64_t count = rows.batch.tokens(), width = std::ssize(pages) * layout_.positions;
    std::vector<std::uint16_t> buckets;
    std::vector<CachedQuery> queries = make_queries(rows, width, buckets);
    Tensor x = model_.embed(rows.batch);
    if (const std::int64_t all = detail::rows_in_company(count); all > count) {
      x = concat_rows<Scalar>(x, x.rows(count - 1, count));
      queries.push_back(queries.back());
    }
    std::vector<Scalar*> parts(pages.size());
    std::vector<const Scalar*> read_parts(pages.size());
    ForwardContext context;
    const auto attend = [&](std::size_t layer, const Columns& q, const Columns& k, const Columns& v,
                            const AttentionOptions& options) {
      for (std::size_t p = 0; p < pages.size(); ++p) {
        parts[p] = reinterpret_cast<Scalar*>(pages[p]) + static_cast<std::int64_t>(layer) * layout_.size();
        read_parts[p] = parts[p];
      }
      const auto keys = k.template view<Scalar>(), values = v.template view<Scalar>();
      for (std::int64_t i = 0; i < (rows.are_candidates ? 0 : count); ++i) {
        const std::int64_t at = rows.num_cached + i;
        detail::write_position(layout_, parts[static_cast<std::size_t>(at / layout_.positions)], at % layout_.positions,
                               keys.data + i * keys.stride, values.data + i * values.stride);
      }
      const typename detail::PagedAttention<Scalar>::Operands operands{
          layout_, read_parts, queries, biases<Scalar>()[layer], buckets.empty() ? nullptr : buckets.data(), q, k, v};
      return detail::PagedAttention<Scalar>(operands, options).run();
    };
    return model_.through_layers(x, context, attend).rows(0, count);
  }
  template <class Scalar>
  static Tensor concat_rows(const Tensor& a, const Tensor& b) {
    Tensor both({a.size(0) + b.size(0), a.size(1)}, a.dtype());
    both.rows(0, a.size(0)).copy_from(a);
    both.rows(a.size(0), both.size(0)).copy_from(b);
    return both;
  }

  /// What every row sees, and the time buckets of the keys: one row of `width` for neighbours of one place and time.
  std::vector<CachedQuery> make_queries(const NewRows& rows, std::int64_t width,
                                        std::vector<std::uint16_t>& buckets) const {
    const TimeBorders* const borders = model_.lookup().time_borders().get();
    const bool asks_query_time = model_.config().time_bias == TimeBias::query_time;
    const auto own_times = rows.batch.times_s.values<std::int64_t>();
    const auto query_times = asks_query_time ? rows.batch.query_times_s.values<std::int64_t>() : own_times;
    const SequenceMask mask{attention_mask(model_.config()), std::ssize(rows.times_s) + rows.are_candidates,
                            rows.are_candidates};
    std::vector<CachedQuery> queries;
    std::int64_t bias_rows = 0;
    for (std::size_t i = 0; i < own_times.size(); ++i) {
      CachedQuery query{.place = rows.num_cached, .sees_itself = rows.are_candidates};
      if (!rows.are_candidates) query.place += static_cast<std::int64_t>(i);
      query.keys = mask.keys_of(query.place);
      const bool is_new = i == 0 || query.place != queries[i - 1].place || query_times[i] != query_times[i - 1];
      query.bias_row = (bias_rows += is_new) - 1;
      if (borders != nullptr) {
        query.own_bucket = borders->find(query_times[i] - own_times[i]);
        const auto seen = rows.times_s.first(static_cast<std::size_t>(query.keys.last));
        if (is_new) append_buckets(*borders, query_times[i], seen, width, buckets);
      }
      queries.push_back(query);
    }
    return queries;
  }
  static void append_buckets(const TimeBorders& borders, std::int64_t query_time, std::span<const std::int64_t> times,
                             std::int64_t width, std::vector<std::uint16_t>& buckets) {
    const std::size_t first = buckets.size();
    buckets.resize(first + static_cast<std::size_t>(width));
    for (std::size_t j = 0; j < times.size(); ++j) {
      const bool is_tied = j > 0 && times[j] == times[j - 1];
      buckets[first + j] = is_tied ? buckets[first + j - 1] : borders.find(query_time - times[j]);
    }
  }

  const HstuModel& model_;
  ItemScores scores_;
  PageLayout layout_;
  std::vector<detail::CachedBias<float>> float_biases_;
  std::vector<detail::CachedBias<double>> double_biases_;
};

}  // namespace hstu
