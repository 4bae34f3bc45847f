// SPDX-License-Identifier: MIT
// SeqDataset, SampleBatches and SequenceDataGenerator.
#include <hstu/data/seq_dataset.hpp>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/data/synthetic.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

std::shared_ptr<const Sequences> synthetic() {
  return std::make_shared<const Sequences>(
      make_sequences(make_synthetic_ratings({.users = 20, .items = 80, .min_length = 2, .max_length = 12, .seed = 9})));
}

SeqDataset lazy(const std::shared_ptr<const Sequences>& sequences, const std::vector<std::int64_t>& users,
                std::int64_t width = 6) {
  return SeqDataset(sequences, list_windows(*sequences, users), width);
}

std::vector<std::int64_t> first_users(std::int64_t count) {
  std::vector<std::int64_t> users(static_cast<std::size_t>(count));
  std::iota(users.begin(), users.end(), std::int64_t{0});
  return users;
}

}  // namespace

TEST_CASE("seq dataset: samples made on demand equal those in memory", "[data][seq_dataset][parity]") {
  const auto sequences = synthetic();
  const SeqDataset on_demand = lazy(sequences, first_users(20));
  const SeqDataset in_memory(make_windows(*sequences, first_users(20), 6));
  REQUIRE(on_demand.size() == in_memory.size());
  REQUIRE(on_demand.size() > 20);
  const std::vector<std::int64_t> numbers = {5, 0, on_demand.size() - 1, 5};
  const Windows a = on_demand.samples(numbers);
  const Windows b = in_memory.samples(numbers);
  CHECK(a.tokens == b.tokens);
  CHECK(a.positions == b.positions);
  CHECK(a.time_diffs_s == b.time_diffs_s);
  CHECK(a.targets == b.targets);
  CHECK(a.size() == 4);
  CHECK(a.max_seq_len == 6);
  CHECK(a.targets[0] == a.targets[3]);
  CHECK(on_demand.samples({}).size() == 0);
}

TEST_CASE("seq dataset: ratios deal every sample to one of three parts", "[data][seq_dataset][property]") {
  const auto sequences = synthetic();
  const SeqDataset dataset = lazy(sequences, first_users(20));
  const std::int64_t size = dataset.size();
  const SequenceDataGenerator generator(dataset);
  const auto train = generator.train_batches(7);
  const auto validation = generator.validation_batches(7);
  const auto test = generator.test_batches(7);
  CHECK(train.num_samples() == size * 7 / 10);
  CHECK(validation.num_samples() == size / 10);
  CHECK(train.num_samples() + validation.num_samples() + test.num_samples() == size);
  std::vector<std::int64_t> all = train.order();
  all.insert(all.end(), validation.order().begin(), validation.order().end());
  all.insert(all.end(), test.order().begin(), test.order().end());
  std::ranges::sort(all);
  CHECK(all == first_users(size));
}

TEST_CASE("seq dataset: batches hold each sample once, the last may be short", "[data][seq_dataset][property]") {
  const auto sequences = synthetic();
  const SequenceDataGenerator generator(lazy(sequences, first_users(10)), lazy(sequences, {10, 11}),
                                        lazy(sequences, {12}), 5);
  const SampleBatches batches = generator.train_batches(4);
  REQUIRE(batches.size() == (batches.num_samples() + 3) / 4);
  std::int64_t samples = 0;
  for (std::int64_t i = 0; i < batches.size(); ++i) {
    const Windows batch = batches[i];
    CHECK((batch.size() == 4 || i + 1 == batches.size()));
    CHECK(batch.tokens.size() == static_cast<std::size_t>(batch.size()) * 6);
    samples += batch.size();
  }
  CHECK(samples == batches.num_samples());
  CHECK(generator.train_batches(1'000'000).size() == 1);
  CHECK(generator.test_batches(1).size() == sequences->length(12) - 1);
  CHECK(generator.test_batches(100)[0].targets == make_windows(*sequences, std::vector<std::int64_t>{12}, 6).targets);
  CHECK(std::ranges::is_sorted(generator.validation_batches(2).order()));
}

TEST_CASE("seq dataset: the training order is a function of seed and epoch", "[data][seq_dataset][property]") {
  const auto sequences = synthetic();
  const auto make = [&](std::uint64_t seed) {
    return SequenceDataGenerator(lazy(sequences, first_users(18)), lazy(sequences, {18}), lazy(sequences, {19}), seed);
  };
  CHECK(make(1).train_batches(4, 2).order() == make(1).train_batches(4, 2).order());
  CHECK(make(1).train_batches(4, 2).order() != make(1).train_batches(4, 3).order());
  CHECK(make(1).train_batches(4, 2).order() != make(2).train_batches(4, 2).order());
}

TEST_CASE("seq dataset: an empty part has no batches", "[data][seq_dataset][property]") {
  const auto sequences = synthetic();
  const SequenceDataGenerator generator(lazy(sequences, {0}), lazy(sequences, {}), lazy(sequences, {}));
  CHECK(generator.validation_batches(8).size() == 0);
  CHECK_THROWS_AS(generator.validation_batches(8)[0], DataError);
}

TEST_CASE("seq dataset: shapes, numbers and sizes out of range are errors", "[data][seq_dataset][errors]") {
  const auto sequences = synthetic();
  Windows windows = make_windows(*sequences, first_users(2), 3);
  windows.positions.pop_back();
  CHECK_THROWS_MATCHES(SeqDataset(windows), ShapeError, MessageMatches(ContainsSubstring("positions")));
  CHECK_THROWS_AS(SeqDataset(Windows{}), ConfigError);
  CHECK_THROWS_AS(SeqDataset(sequences, {}, 0), ConfigError);
  CHECK_THROWS_AS(SeqDataset(nullptr, {}, 1), DataError);
  const SeqDataset dataset = lazy(sequences, {0});
  const std::vector<std::int64_t> beyond = {dataset.size()};
  const std::vector<std::int64_t> negative = {-1};
  CHECK_THROWS_MATCHES(dataset.samples(beyond), DataError,
                       MessageMatches(ContainsSubstring("expected a sample in [0, ")));
  CHECK_THROWS_AS(dataset.samples(negative), DataError);
  const auto shared = std::make_shared<const SeqDataset>(dataset);
  CHECK_THROWS_MATCHES(SampleBatches(shared, {0}, 0), ConfigError, MessageMatches(ContainsSubstring("got 0")));
  CHECK_THROWS_MATCHES(SampleBatches(nullptr, {}, 1), DataError, MessageMatches(ContainsSubstring("got none")));
  CHECK_THROWS_MATCHES(SampleBatches(shared, {0}, 1)[1], DataError,
                       MessageMatches(ContainsSubstring("in [0, 1), got 1")));
  CHECK_THROWS_AS(SampleBatches(shared, {0}, 1)[-1], DataError);
  CHECK_THROWS_AS(SampleBatches(shared, beyond, 1)[0], DataError);
  const SequenceDataGenerator generator(dataset);
  CHECK_THROWS_MATCHES(generator.train_batches(0), ConfigError, MessageMatches(ContainsSubstring("batch_size")));
  CHECK_THROWS_AS(SequenceDataGenerator(dataset, {.train = 1.0, .validation = 1.0, .test = 1.0}), ConfigError);
}
