// SPDX-License-Identifier: MIT
// SeqDataset and SequenceDataGenerator: samples (tokens, positions, time_diffs, target) and their batches.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/core/random.hpp>
#include <hstu/data/split.hpp>
#include <hstu/data/windows.hpp>

namespace hstu {

/// n samples, either ready in memory or made from sequences when asked for.
class SeqDataset {
 public:
  /// Samples in memory.  Throws ShapeError if the matrices are not [n, L].
  explicit SeqDataset(Windows windows) : max_seq_len_(windows.max_seq_len), windows_(std::move(windows)) {
    check<ConfigError>(max_seq_len_ >= 1, "dataset: expected max_seq_len of at least 1, got ", max_seq_len_);
    const std::int64_t cells = checked_mul(windows_.size(), max_seq_len_);
    const auto require = [&](std::size_t size, const char* name) {
      check<ShapeError>(static_cast<std::int64_t>(size) == cells, "dataset: expected ", name, " [", windows_.size(),
                        ", ", max_seq_len_, "], got ", size, " values");
    };
    require(windows_.tokens.size(), "tokens");
    require(windows_.positions.size(), "positions");
    require(windows_.time_diffs_s.size(), "time_diffs");
  }

  /// The named samples of `sequences`, made when asked for: 16 bytes each until then.
  SeqDataset(std::shared_ptr<const Sequences> sequences, std::vector<WindowRef> refs, std::int64_t max_seq_len)
      : max_seq_len_(max_seq_len), sequences_(std::move(sequences)), refs_(std::move(refs)) {
    check<ConfigError>(max_seq_len_ >= 1, "dataset: expected max_seq_len of at least 1, got ", max_seq_len_);
    check<DataError>(sequences_ != nullptr, "dataset: expected sequences, got none");
  }

  std::int64_t size() const {
    return sequences_ != nullptr ? static_cast<std::int64_t>(refs_.size()) : windows_.size();
  }
  std::int64_t max_seq_len() const { return max_seq_len_; }

  /// The samples with these numbers, in this order.  Throws DataError on a number not in [0, size()).
  Windows samples(std::span<const std::int64_t> numbers) const {
    for (const std::int64_t number : numbers) {
      check<DataError>(number >= 0 && number < size(), "dataset: expected a sample in [0, ", size(), "), got ", number);
    }
    return sequences_ != nullptr ? make(numbers) : copy(numbers);
  }

 private:
  Windows make(std::span<const std::int64_t> numbers) const {
    std::vector<WindowRef> chosen;
    chosen.reserve(numbers.size());
    for (const std::int64_t number : numbers) chosen.push_back(refs_[static_cast<std::size_t>(number)]);
    return make_windows(*sequences_, chosen, max_seq_len_);
  }

  Windows copy(std::span<const std::int64_t> numbers) const {
    Windows chosen{.max_seq_len = max_seq_len_, .tokens = {}, .positions = {}, .time_diffs_s = {}, .targets = {}};
    const auto append_row = [&](auto& to, const auto& from, std::int64_t row) {
      const auto begin = from.begin() + row * max_seq_len_;
      to.insert(to.end(), begin, begin + max_seq_len_);
    };
    for (const std::int64_t number : numbers) {
      append_row(chosen.tokens, windows_.tokens, number);
      append_row(chosen.positions, windows_.positions, number);
      append_row(chosen.time_diffs_s, windows_.time_diffs_s, number);
      chosen.targets.push_back(windows_.targets[static_cast<std::size_t>(number)]);
    }
    return chosen;
  }

  std::int64_t max_seq_len_;
  Windows windows_;
  std::shared_ptr<const Sequences> sequences_;
  std::vector<WindowRef> refs_;
};

/// One pass over some samples of a dataset in batches; the last batch may be smaller.
class SampleBatches {
 public:
  /// `order` holds sample numbers.  Throws ConfigError if batch_size < 1, DataError without a dataset.
  SampleBatches(std::shared_ptr<const SeqDataset> dataset, std::vector<std::int64_t> order, std::int64_t batch_size)
      : dataset_(std::move(dataset)), order_(std::move(order)), batch_size_(batch_size) {
    check<ConfigError>(batch_size_ >= 1, "batches: expected batch_size of at least 1, got ", batch_size_);
    check<DataError>(dataset_ != nullptr, "batches: expected a dataset, got none");
  }

  std::int64_t num_samples() const { return static_cast<std::int64_t>(order_.size()); }
  /// Number of batches.
  std::int64_t size() const { return num_samples() / batch_size_ + (num_samples() % batch_size_ != 0 ? 1 : 0); }
  const std::vector<std::int64_t>& order() const { return order_; }

  /// Batch number `index`.  Throws DataError if it is not in [0, size()).
  Windows operator[](std::int64_t index) const {
    check<DataError>(index >= 0 && index < size(), "batches: expected a batch in [0, ", size(), "), got ", index);
    const std::int64_t begin = index * batch_size_;
    const std::int64_t count = std::min(batch_size_, num_samples() - begin);
    return dataset_->samples(
        std::span(order_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)));
  }

 private:
  std::shared_ptr<const SeqDataset> dataset_;
  std::vector<std::int64_t> order_;
  std::int64_t batch_size_;
};

/// Training, validation and test batches: training samples in a new random order each epoch, the others in their order.
class SequenceDataGenerator {
 public:
  /// Shares used if none are named, as in torch-rechub.
  static constexpr SplitRatios kDefaultRatios{.train = 0.7, .validation = 0.1, .test = 0.2};

  /// Deals the samples (not the users) of one dataset out at random.  Throws ConfigError on bad ratios.
  explicit SequenceDataGenerator(SeqDataset dataset, const SplitRatios& ratios = kDefaultRatios, std::uint64_t seed = 0)
      : seed_(seed) {
    const auto shared = std::make_shared<const SeqDataset>(std::move(dataset));
    IndexSplit split = split_indices(shared->size(), ratios, {.seed = seed, .step = 0, .site = kSampleSplitSite});
    train_ = {shared, std::move(split.train)};
    validation_ = {shared, std::move(split.validation)};
    test_ = {shared, std::move(split.test)};
  }

  /// Three datasets that were split before, for example by user.
  SequenceDataGenerator(SeqDataset train, SeqDataset validation, SeqDataset test, std::uint64_t seed = 0)
      : seed_(seed),
        train_(all_of(std::move(train))),
        validation_(all_of(std::move(validation))),
        test_(all_of(std::move(test))) {}

  /// The training samples in the order of `epoch`, a function of seed and epoch.  Throws ConfigError if batch_size < 1.
  SampleBatches train_batches(std::int64_t batch_size, std::uint32_t epoch = 0) const {
    std::vector<std::int64_t> order = train_.numbers;
    shuffle(order, RandomStream{.seed = seed_, .step = epoch, .site = kEpochSite});
    return {train_.dataset, std::move(order), batch_size};
  }
  SampleBatches validation_batches(std::int64_t batch_size) const {
    return {validation_.dataset, validation_.numbers, batch_size};
  }
  SampleBatches test_batches(std::int64_t batch_size) const { return {test_.dataset, test_.numbers, batch_size}; }

 private:
  static constexpr std::uint32_t kSampleSplitSite = 0x0DA7A003;  ///< RandomStream::site
  static constexpr std::uint32_t kEpochSite = 0x0DA7A004;

  struct Part {
    std::shared_ptr<const SeqDataset> dataset;
    std::vector<std::int64_t> numbers;
  };
  static Part all_of(SeqDataset dataset) {
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(dataset.size()));
    std::iota(numbers.begin(), numbers.end(), std::int64_t{0});
    return {std::make_shared<const SeqDataset>(std::move(dataset)), std::move(numbers)};
  }

  std::uint64_t seed_;
  Part train_;
  Part validation_;
  Part test_;
};

}  // namespace hstu
