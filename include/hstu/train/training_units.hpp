// SPDX-License-Identifier: MIT
// What an epoch is made of: causal passes over users, or one left-padded window per prefix.
#pragma once
#include <memory>

#include <hstu/data/stochastic_length.hpp>
#include <hstu/data/windows.hpp>
#include <hstu/train/train_config.hpp>

namespace hstu {

/// Events of `user` that training may use: all but the last (the test target), and without the second-last (the
/// validation target) if `validate`.  Users with fewer than three events follow leave_last_out().
inline EventRange training_events(const Sequences& sequences, std::int64_t user, bool validate) {
  const std::int64_t begin = sequences.offsets[static_cast<std::size_t>(user)], length = sequences.length(user);
  const std::int64_t held_out = length < 2 ? 0 : (validate && length >= 3 ? 2 : 1);
  return {begin, begin + length - held_out};
}

/// The samples of an epoch, by number.
class TrainingUnits {
 public:
  TrainingUnits(std::shared_ptr<const Sequences> sequences, const Config& config)
      : sequences_(std::move(sequences)), config_(config) {
    for (std::int64_t user = 0; user < sequences_->num_users(); ++user) {
      const EventRange events = training_events(*sequences_, user, config.train.validate);
      if (config.train.samples == SampleKind::users) {
        add_passes(events);
      } else {
        for (std::int64_t target = 1; target < events.size(); ++target) windows_.push_back({user, target});
      }
    }
    check<DataError>(size() > 0, "train: no user has two events to train on, once the held-out ones are left out");
  }

  std::int64_t size() const { return std::ssize(passes_) + std::ssize(windows_); }

  /// Histories that are thinned are thinned anew in every epoch.
  void begin_epoch(std::int64_t epoch) { epoch_ = epoch; }

  /// Tokens of sample `unit` in a batch of this epoch.
  std::int64_t length(std::int64_t unit) const {
    if (config_.train.samples == SampleKind::users) {
      const std::int64_t all = passes_[static_cast<std::size_t>(unit)].size() - 1;
      return is_thinned() ? thinning().kept(all, unit) : all;
    }
    return config_.train.max_history;
  }

  /// How often each item is a target in an epoch of passes, [V].
  std::vector<double> target_counts() const {
    std::vector<double> counts(static_cast<std::size_t>(config_.model.num_items));
    for (const EventRange& events : passes_) {
      for (std::int64_t i = events.begin + 1; i < events.end; ++i) {
        ++counts.at(static_cast<std::size_t>(sequences_->items[static_cast<std::size_t>(i)]));
      }
    }
    return counts;
  }

  JaggedBatch batch(std::span<const std::int64_t> units) const {
    if (config_.train.samples == SampleKind::users) {
      JaggedBatchBuilder builder;
      for (const std::int64_t unit : units) {
        const EventRange& events = passes_[static_cast<std::size_t>(unit)];
        if (is_thinned()) add_thinned_pass(builder, *sequences_, events, thinning(), unit);
        else add_training_pass(builder, *sequences_, events, config_.train.max_history);
      }
      return builder.build();
    }
    std::vector<WindowRef> refs;
    for (const std::int64_t unit : units) refs.push_back(windows_[static_cast<std::size_t>(unit)]);
    const Windows w = make_windows(*sequences_, refs, config_.train.max_history);
    const Padding padding = config_.model.layer == LayerKind::rechub_0_1 ? Padding::keep : Padding::skip;
    return batch_from_windows(w.tokens, w.time_diffs_s, w.targets, w.max_seq_len, padding);
  }

 private:
  /// One pass over the most recent events; with whole_history others before it, so that every event but the first is
  /// predicted once.
  void add_passes(EventRange events) {
    while (events.size() >= 2) {
      const std::int64_t first = std::max(events.begin, events.end - 1 - config_.train.max_history);
      passes_.push_back({first, events.end});
      if (!config_.train.whole_history) return;
      events.end = first + 1;
    }
  }

  bool is_thinned() const { return config_.train.stochastic_length_alpha < 2.0; }
  StochasticLength thinning() const {
    return {.alpha = config_.train.stochastic_length_alpha,
            .max_length = config_.train.max_history,
            .seed = config_.train.seed,
            .epoch = static_cast<std::uint32_t>(epoch_)};
  }

  std::shared_ptr<const Sequences> sequences_;
  Config config_;
  std::int64_t epoch_ = 0;
  std::vector<EventRange> passes_;
  std::vector<WindowRef> windows_;
};

}  // namespace hstu
