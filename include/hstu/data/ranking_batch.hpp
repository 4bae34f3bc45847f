// SPDX-License-Identifier: MIT
// Events and what the user did with them as tokens: interleaved or fused, context in front; what is predicted where.
#pragma once
#include <hstu/data/batch.hpp>
#include <hstu/data/sequences.hpp>
#include <hstu/data/split.hpp>

namespace hstu {

/// interleaved: item₁ action₁ item₂ action₂ …; the action on an item is predicted at its item token, which has seen
/// the item and all earlier actions.  An action token knows its item, so that attention finds what was done with items
/// like this one.  fused: the action tokens only; the action on the next item is predicted at the token before it, the
/// first one at the last token of the context, if there is any.
enum class ActionInput { interleaved, fused };

/// Tokens of several users.  Token t is row order[t] of the matrix whose rows are first the items of `item_events` (none
/// if fused), then the actions of `action_events`, then `num_context` rows per user.
struct RankingBatch {
  JaggedBatch sequence;  ///< `items` and `targets` are 0: tokens are no items
  Tensor order;          ///< int64 [T]
  std::vector<std::int64_t> item_events, action_events;  ///< places in the columns of Sequences
  std::vector<std::int64_t> users;
  std::vector<std::int64_t> predicted_events;            ///< N events whose actions are predicted,
  Tensor predicted_at;                                   ///< int64 [N], each at this token

  std::int64_t predictions() const { return std::ssize(predicted_events); }
};

class RankingBatchBuilder {
 public:
  RankingBatchBuilder(const Sequences& sequences, ActionInput input, std::int64_t num_context)
      : sequences_(sequences), input_(input), num_context_(num_context) {}

  /// Tokens of one pass over `events` of a user.
  static std::int64_t length(ActionInput input, std::int64_t num_context, std::int64_t events) {
    return num_context + (input == ActionInput::interleaved ? 2 * events - 1 : events - 1);
  }

  /// A pass over the events [begin, end) of `user`, at least one, predicting those from `first_predicted` on.
  /// The time at which an action is predicted is that of its event.
  void add(std::int64_t user, const EventRange& events, std::int64_t first_predicted) {
    check<DataError>(events.size() >= 1, "ranking batch: expected events of user ", user, ", got none");
    jagged_.begin_user();
    position_ = 0;
    const auto user_row = std::ssize(batch_.users);
    batch_.users.push_back(user);
    for (std::int64_t c = 0; c < num_context_; ++c) {
      add_token(Part::context, user_row * num_context_ + c, events.begin, events.begin);
    }
    for (std::int64_t event = events.begin; event < events.end; ++event) {
      const bool is_predicted = event >= first_predicted, is_last = event + 1 == events.end;
      if (input_ == ActionInput::fused) {
        if (is_predicted && position_ > 0) predict(event);
        if (is_last) break;
        add_token(Part::action, number(batch_.action_events, event), event, event + 1);
        continue;
      }
      add_token(Part::item, number(batch_.item_events, event), event, event);
      if (is_predicted) predict(event);
      if (is_last) break;
      add_token(Part::action, number(batch_.action_events, event), event, event);
    }
  }

  RankingBatch build() {
    batch_.sequence = jagged_.build();
    const std::int64_t items = std::ssize(batch_.item_events), actions = std::ssize(batch_.action_events);
    std::vector<std::int64_t> order;
    for (const auto& [part, row] : tokens_) {
      order.push_back(row + (part == Part::item ? 0 : part == Part::action ? items : items + actions));
    }
    batch_.order = Tensor::from(order);
    batch_.predicted_at = Tensor::from(predicted_at_);
    return std::move(batch_);
  }

 private:
  enum class Part { item, action, context };

  static std::int64_t number(std::vector<std::int64_t>& events, std::int64_t event) {
    events.push_back(event);
    return std::ssize(events) - 1;
  }
  void predict(std::int64_t event) {
    batch_.predicted_events.push_back(event);
    predicted_at_.push_back(std::ssize(tokens_) - 1);
  }
  void add_token(Part part, std::int64_t row, std::int64_t event, std::int64_t query_event) {
    const std::int64_t time_s = sequences_.timestamps_s[static_cast<std::size_t>(event)];
    const std::int64_t query_s = sequences_.timestamps_s[static_cast<std::size_t>(query_event)];
    jagged_.add(0, position_++, time_s, query_s, query_s - time_s, 0);
    tokens_.emplace_back(part, row);
  }

  const Sequences& sequences_;
  ActionInput input_;
  std::int64_t num_context_;
  JaggedBatchBuilder jagged_;
  RankingBatch batch_;
  std::vector<std::pair<Part, std::int64_t>> tokens_;
  std::vector<std::int64_t> predicted_at_;
  std::int32_t position_ = 0;
};

}  // namespace hstu
