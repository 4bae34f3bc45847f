// SPDX-License-Identifier: MIT
// Memory that runs out at the n-th request, for every n until the work passes: a typed error, no leak, old files whole.
#define HSTU_POOL_KEEPS_BLOCKS 0  // so that what is not freed is a leak, and each request one that can fail
#include <hstu/data/read_ratings.hpp>
#include <optional>

#include "../allocations.hpp"
#include "../io/files.hpp"
#include "../train/small_training.hpp"

using namespace hstu;
using namespace hstu::test;
namespace fs = std::filesystem;

namespace {

/// The smallest training that has every part: two chunks, dropout, time bias, validation.
Config tiny_config() {
  Config config = small_config("meta-ml-1m");
  config.model.num_layers = 1;
  config.train.max_history = 12;
  config.train.batch_size = 40;
  config.train.epochs = 1;
  return config;
}
std::shared_ptr<const Sequences> tiny_data() {
  return small_data({.users = 40, .items = 30, .clusters = 3, .min_length = 2, .max_length = 12});
}

/// Calls make_work() for the n-th failing allocation of the work it gives, n = 0, 1, ... until the work passes, and
/// then `after(passed)`.  What the work has allocated must be gone when it is destroyed.
template <class MakeWork, class After>
std::int64_t sweep(const MakeWork& make_work, const After& after) {
  for (std::int64_t n = 0;; ++n) {
    bool has_passed = false, has_failed = false;
    {
      auto work = make_work();
      const AllocationWatch watch(n);
      try {
        work();
        has_passed = true;
      } catch (const std::bad_alloc&) {
      } catch (const Error&) {
      }
      has_failed = watch.has_failed();
    }
    INFO("allocation " << n);
    REQUIRE(AllocationWatch::leaked() == 0);
    after(has_passed);
    if (!has_failed) {
      REQUIRE(has_passed);
      return n;
    }
  }
}

}  // namespace

TEST_CASE("allocation failures: a leak is noticed", "[exhaustion][memory][property]") {
  int* kept = nullptr;
  {
    const AllocationWatch watch;
    kept = new int(1);
  }
  CHECK(AllocationWatch::leaked() == 1);
  delete kept;
  CHECK(AllocationWatch::leaked() == 0);
}

TEST_CASE("allocation failures: a step that runs out of memory leaves no trace", "[exhaustion][memory][errors]") {
  const auto data = tiny_data();
  for (const int threads : {1, 2}) {
    const Threads scope(threads);
    const std::string before = detail::weights_checksum(Trainer(tiny_config(), data).model());
    Trainer undisturbed(tiny_config(), data);
    undisturbed.step();
    const std::int64_t points = sweep(
        [&] {
          auto trainer = std::make_shared<Trainer>(tiny_config(), data);
          return [trainer] { trainer->step(); };
        },
        [](bool) {});
    std::cout << "figure: " << points << " failed allocations of a training step, a typed error and no leak\n";
    CHECK(points > 100);
    // And a trainer whose step has failed does the same step as one that was not disturbed.
    for (std::int64_t n = 0; n < points; n += 7) {
      Trainer trainer(tiny_config(), data);
      bool has_failed = false;
      {
        const AllocationWatch watch(n);
        try {
          trainer.step();
        } catch (const std::bad_alloc&) {
          has_failed = true;
        }
      }
      INFO("allocation " << n);
      if (!has_failed) continue;  // parallel_for does with a helper less
      REQUIRE(detail::weights_checksum(trainer.model()) == before);
      trainer.step();
      REQUIRE(is_same(trainer.checkpoint(), undisturbed.checkpoint()));
    }
  }
}

TEST_CASE("allocation failures: a JSON tree is destroyed without memory, nlohmann's value is not", "[exhaustion][memory]") {
  JsonTree tree = parse_json(R"({"a": [1, [2, {"b": "text", "c": {}}], []], "d": {"e": null}})", "f");
  std::optional<nlohmann::json> plain = *tree;
  {
    const AllocationWatch watch;
    tree = JsonTree();
    CHECK(watch.count() == 0);
  }
  const AllocationWatch watch;
  plain.reset();
  CHECK(watch.count() > 0);
}

TEST_CASE("allocation failures: loading runs out of memory", "[exhaustion][memory][errors]") {
  const Threads one(1);
  const TempFolder folder;
  const fs::path run = folder.path("run");
  fit(run, tiny_config(), tiny_data());
  std::int64_t points =
      sweep([&] { return [&] { (void)load_safetensors(run / "last/model.safetensors"); }; }, [](bool) {});
  const std::string ratings =
      folder.write("ratings.csv", "userId,movieId,rating,timestamp\n1,\"a \"\"b\"\"\",3.5,7\n2,c,1,8\n");
  points += sweep([&] { return [&] { (void)read_ratings(ratings); }; }, [](bool) {});
  points += sweep([&] { return [&] { (void)load_run(run); }; }, [](bool) {});
  std::cout << "figure: " << points << " failed allocations of loading, a typed error and no leak\n";
  CHECK(points > 500);
}

TEST_CASE("allocation failures: saving runs out of memory and leaves a whole checkpoint", "[exhaustion][memory][errors]") {
  const Threads one(1);
  const TempFolder folder;
  const fs::path run = folder.path("run");
  const auto data = tiny_data();
  Trainer trainer(tiny_config(), data);
  const Checkpoint before = trainer.checkpoint();
  trainer.step();
  const Checkpoint after = trainer.checkpoint();
  save_checkpoint(run, before);
  const std::int64_t points = sweep(
      [&] { return [&] { save_checkpoint(run, after); }; },
      [&](bool has_passed) {
        const Checkpoint found = load_checkpoint(run);
        REQUIRE((is_same(found, after) || (!has_passed && is_same(found, before))));
        save_checkpoint(run, before);  // what a failed save left is gone with the next
        REQUIRE(names_in(run).size() == 2);
      });
  std::cout << "figure: " << points << " failed allocations of a save, no leak, the old or the new checkpoint whole\n";
  CHECK(points > 500);
}
