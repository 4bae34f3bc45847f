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

/// Tokens of several users.  Token t is row order[t] of the matrix whose rows are first the `items` (none if fused), then
/// the actions of `action_events`, then `num_context` rows per user.
struct RankingBatch {
  JaggedBatch sequence;  ///< `items` and `targets` are 0: tokens are no items
  Tensor num_targets;    ///< int64 [B]: candidates at the end of each sequence; undefined: none
  Tensor order;          ///< int64 [T]
  std::vector<std::int64_t> items;
  std::vector<std::int64_t> action_events;     ///< places in the columns of Sequences
  std::vector<std::int64_t> users;
  std::vector<std::int64_t> predicted_items;   ///< N items, the actions on which are predicted,
  std::vector<std::int64_t> predicted_events;  ///< in these events (candidates: in none),
  Tensor predicted_at;                         ///< int64 [N], each at this token

  std::int64_t predictions() const { return std::ssize(predicted_items); }
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
    begin_user(user, time_of(events.begin));
    for (std::int64_t event = events.begin; event < events.end; ++event) {
      const std::int64_t item = sequences_.items[static_cast<std::size_t>(event)];
      if (input_ == ActionInput::interleaved) add_item(item, time_of(event));
      if (event >= first_predicted && position_ > 0) {
        batch_.predicted_events.push_back(event);
        predict(item);
      }
      if (event + 1 < events.end) add_action(event, time_of(event + 1));
    }
    num_targets_.push_back(0);
  }

  /// A pass over events of `user`, or none, that predicts for each candidate what the user would do with it if it came
  /// next, at `time_s`.  interleaved: the candidates are targets, which do not see each other; fused: all are predicted
  /// at the last token.  Throws DataError if there is no such token.
  void add_candidates(std::int64_t user, const EventRange& events, std::span<const std::int32_t> candidates,
                      std::int64_t time_s) {
    begin_user(user, events.size() > 0 ? time_of(events.begin) : time_s);
    for (std::int64_t event = events.begin; event < events.end; ++event) {
      if (input_ == ActionInput::interleaved) add_item(sequences_.items[static_cast<std::size_t>(event)], time_of(event));
      add_action(event, event + 1 < events.end ? time_of(event + 1) : time_s);
    }
    check<DataError>(input_ == ActionInput::interleaved || position_ > 0, "ranking batch: user ", user,
                     " has neither events nor features to predict from");
    const std::int32_t place = position_;
    for (const std::int32_t item : candidates) {
      position_ = place;
      if (input_ == ActionInput::interleaved) add_item(item, time_s);
      predict(item);
    }
    num_targets_.push_back(input_ == ActionInput::interleaved ? std::ssize(candidates) : 0);
  }

  RankingBatch build() {
    batch_.sequence = jagged_.build();
    const std::int64_t items = std::ssize(batch_.items), actions = std::ssize(batch_.action_events);
    std::vector<std::int64_t> order;
    for (const auto& [part, row] : tokens_) {
      order.push_back(row + (part == Part::item ? 0 : part == Part::action ? items : items + actions));
    }
    batch_.order = Tensor::from(order);
    batch_.predicted_at = Tensor::from(predicted_at_);
    const bool has_targets = std::ranges::any_of(num_targets_, [](std::int64_t count) { return count > 0; });
    if (has_targets) batch_.num_targets = Tensor::from(num_targets_);
    return std::move(batch_);
  }

 private:
  enum class Part { item, action, context };

  std::int64_t time_of(std::int64_t event) const { return sequences_.timestamps_s[static_cast<std::size_t>(event)]; }
  void begin_user(std::int64_t user, std::int64_t time_s) {
    jagged_.begin_user();
    position_ = 0;
    const auto user_row = std::ssize(batch_.users);
    batch_.users.push_back(user);
    for (std::int64_t c = 0; c < num_context_; ++c) {
      add_token(Part::context, user_row * num_context_ + c, time_s, time_s);
    }
  }
  void add_item(std::int64_t item, std::int64_t time_s) {
    add_token(Part::item, std::ssize(batch_.items), time_s, time_s);
    batch_.items.push_back(item);
  }
  /// The next event is at `next_s`: what a fused token predicts.
  void add_action(std::int64_t event, std::int64_t next_s) {
    const std::int64_t time_s = time_of(event);
    add_token(Part::action, std::ssize(batch_.action_events), time_s, input_ == ActionInput::fused ? next_s : time_s);
    batch_.action_events.push_back(event);
  }
  void predict(std::int64_t item) {
    batch_.predicted_items.push_back(item);
    predicted_at_.push_back(std::ssize(tokens_) - 1);
  }
  void add_token(Part part, std::int64_t row, std::int64_t time_s, std::int64_t query_s) {
    jagged_.add(0, position_++, time_s, query_s, query_s - time_s, 0);
    tokens_.emplace_back(part, row);
  }

  const Sequences& sequences_;
  ActionInput input_;
  std::int64_t num_context_;
  JaggedBatchBuilder jagged_;
  RankingBatch batch_;
  std::vector<std::pair<Part, std::int64_t>> tokens_;
  std::vector<std::int64_t> predicted_at_, num_targets_;
  std::int32_t position_ = 0;
};

}  // namespace hstu
