// SPDX-License-Identifier: MIT
// Checkpoints: round trip, every damaged bit found, and a valid folder after a crash at any moment.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <limits>
#include <thread>

#include <hstu/train/checkpoint.hpp>

#include "io/files.hpp"
#include "io/tensor_files.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

/// A checkpoint whose every part tells its step.
Checkpoint make_checkpoint(int step, std::int64_t width = 3) {
  Checkpoint checkpoint;
  checkpoint.weights.metadata["config"] = R"({"d":50})";
  checkpoint.weights.tensors["w"] = Tensor::full({2, width}, step);
  checkpoint.weights.tensors["b"] = Tensor::full({1}, step, DType::float64);
  checkpoint.optimizer.tensors["w.exp_avg"] = Tensor::full({2, width}, -step);
  checkpoint.optimizer.tensors["w.step"] = Tensor::full({1}, step, DType::int64);
  *checkpoint.state = {{"step", step}, {"seed", 42}, {"best", 0.1}, {"metrics", {0.25, 1e-300}}};
  return checkpoint;
}

bool equals(const Checkpoint& a, const Checkpoint& b) {
  return ::is_same(a.weights, b.weights) && ::is_same(a.optimizer, b.optimizer) && *a.state == *b.state;
}

/// The optimizer file of a folder that holds one.
std::string optimizer_name(const fs::path& folder) { return names_in(folder).at(1); }

std::string damage(const fs::path& folder) {
  return message_of<CheckpointError>([&] { load_checkpoint(folder); });
}

}  // namespace

TEST_CASE("checkpoint: comes back bit by bit", "[train][checkpoint]") {
  const TempFolder folder;
  const fs::path run = folder.path("some/run/");
  CHECK_FALSE(has_checkpoint(run));
  for (const int step : {1, 2, 2, 7}) {
    save_checkpoint(run, make_checkpoint(step));
    CHECK(has_checkpoint(run));
    CHECK(equals(load_checkpoint(run), make_checkpoint(step)));
    CHECK(names_in(run).size() == 2);
    CHECK(names_in(run)[0] == "model.safetensors");
  }
  save_checkpoint(run, {});
  CHECK(equals(load_checkpoint(run), {}));
}

TEST_CASE("checkpoint: the model alone serves inference and other readers", "[train][checkpoint]") {
  const TempFolder folder;
  save_checkpoint(folder.path("run"), make_checkpoint(3));
  fs::create_directory(folder.path("copy"));
  fs::copy_file(folder.path("run/model.safetensors"), folder.path("copy/model.safetensors"));
  const Checkpoint model = load_checkpoint(folder.path("copy"), CheckpointPart::model);
  CHECK(::is_same(model.weights, make_checkpoint(3).weights));
  CHECK(*model.state == *make_checkpoint(3).state);
  CHECK(model.optimizer.tensors.empty());
  CHECK_THAT(damage(folder.path("copy")), ContainsSubstring("optimizer-") && ContainsSubstring("is missing"));
  CHECK(load_safetensors(folder.path("run/model.safetensors")).tensors.size() == 2);
}

TEST_CASE("checkpoint: the checksum sees every flipped bit of what is stored", "[train][checkpoint][property]") {
  const TensorFile file = make_checkpoint(3).weights;
  const std::string before = serialize_safetensors(file), checksum = detail::content_checksum(file);
  std::size_t refused = 0, found = 0, harmless = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = before;
      bytes[i] = static_cast<char>(before[i] ^ (1 << bit));
      try {
        const TensorFile flipped = parse_safetensors(bytes, "f");
        // A tab or line feed for a space of the padding changes nothing that is stored.
        if (::is_same(flipped, file)) ++harmless;
        else REQUIRE(detail::content_checksum(flipped) != checksum);
        ++found;
      } catch (const CheckpointError&) {
        ++refused;
      }
    }
  }
  CHECK(refused + found == 8 * before.size());
  CHECK(harmless < 16);
}

TEST_CASE("checkpoint: damaged and cut files are refused", "[train][checkpoint][errors]") {
  const TempFolder folder;
  save_checkpoint(folder.path(), make_checkpoint(3));
  for (const std::string& name : names_in(folder.path())) {
    const std::string path = folder.path(name), before = bytes_in(path);
    int harmless = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string bytes = before;
        bytes[i] = static_cast<char>(before[i] ^ (1 << bit));
        folder.write(name, bytes);
        INFO(name << ": byte " << i << ", bit " << bit);
        if (!damage(folder.path()).empty()) continue;
        ++harmless;  // a tab or line feed for a space of the padding
        REQUIRE(before[i] == ' ');
        REQUIRE(equals(load_checkpoint(folder.path()), make_checkpoint(3)));
      }
      folder.write(name, before.substr(0, i));
      INFO(name << ": cut to " << i);
      REQUIRE(damage(folder.path()).starts_with(path));
    }
    CHECK(harmless < 16);
    folder.write(name, before);
    std::cout << "figure: " << 8 * before.size() << " flipped bits of a checkpoint found\n"
              << "figure: " << before.size() << " truncations of a checkpoint found\n";
  }
  CHECK(damage(folder.path()).empty());
}

TEST_CASE("checkpoint: missing and mixed parts are errors", "[train][checkpoint][errors]") {
  const TempFolder folder;
  CHECK(damage(folder.path()) == folder.path("model.safetensors") + ": this part of a checkpoint is missing");
  CHECK_FALSE(damage(folder.path("nowhere")).empty());
  save_checkpoint(folder.path("a"), make_checkpoint(1));
  save_checkpoint(folder.path("b"), make_checkpoint(2));
  const fs::path of_a = folder.path("a/" + optimizer_name(folder.path("a")));
  const fs::path of_b = folder.path("b/" + optimizer_name(folder.path("b")));
  fs::copy_file(of_b, of_a, fs::copy_options::overwrite_existing);  // another save's content under this name
  CHECK_THAT(damage(folder.path("a")), ContainsSubstring("damaged: expected checksum"));
  fs::copy_file(folder.path("b/model.safetensors"), folder.path("a/model.safetensors"),
                fs::copy_options::overwrite_existing);
  CHECK_THAT(damage(folder.path("a")), ContainsSubstring(of_b.filename().string() + ": this part"));

  TensorFile plain = make_checkpoint(1).weights;
  save_safetensors(folder.path("b/model.safetensors"), plain);
  CHECK_THAT(damage(folder.path("b")), ContainsSubstring("metadata 'hstu.checksum', found none"));
  plain.metadata["hstu.optimizer"] = "../../../etc/passwd";  // a well-formed file that wants out of the folder
  plain.metadata["hstu.state"] = "{}";
  plain.metadata["hstu.checksum"] = detail::content_checksum(plain);
  save_safetensors(folder.path("b/model.safetensors"), plain);
  CHECK_THAT(damage(folder.path("b")), ContainsSubstring("hstu.optimizer: expected 16 hex digits, got '../../"));
}

TEST_CASE("checkpoint: what cannot be stored is refused before anything is written", "[train][checkpoint][errors]") {
  const TempFolder folder;
  save_checkpoint(folder.path(), make_checkpoint(1));
  Checkpoint bad = make_checkpoint(2);
  (*bad.state)["best"] = -std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(save_checkpoint(folder.path(), bad), ContainsSubstring("state: expected finite numbers"));
  (*bad.state)["best"] = "\xff";
  CHECK_THROWS_AS(save_checkpoint(folder.path(), bad), CheckpointError);
  bad = make_checkpoint(2);
  bad.weights.metadata["hstu.state"] = "{}";
  CHECK_THROWS_WITH(save_checkpoint(folder.path(), bad), ContainsSubstring("metadata key 'hstu.state' is taken"));
  bad = make_checkpoint(2);
  bad.optimizer.tensors["x"] = Tensor();
  CHECK_THROWS_AS(save_checkpoint(folder.path(), bad), CheckpointError);
  folder.write("file", "x");
  CHECK_THROWS_AS(save_checkpoint(folder.path("file"), make_checkpoint(2)), IoError);
  CHECK(equals(load_checkpoint(folder.path()), make_checkpoint(1)));
}

TEST_CASE("checkpoint: leftovers of a checkpoint that cannot be are not looked for", "[train][checkpoint][errors]") {
  const TempFolder folder;
  folder.write("optimizer-0123456789abcdef.safetensors", "of another save");
  Checkpoint impossible;
  impossible.optimizer.tensors.emplace("not UTF-8: \xFF", Tensor::zeros({1}));
  CHECK_THROWS_AS(remove_leftovers(folder.path(), impossible), CheckpointError);
  CHECK(names_in(folder.path()).size() == 1);
  remove_leftovers(folder.path(), {});
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("checkpoint: a save that fails keeps the old one and leaves nothing behind", "[train][checkpoint][errors]") {
  const TempFolder folder;
  save_checkpoint(folder.path("run"), make_checkpoint(1));
  const auto before = names_in(folder.path("run"));
  // The model cannot be replaced: its name is a link into nowhere.
  fs::rename(folder.path("run/model.safetensors"), folder.path("kept"));
  fs::create_symlink("nowhere/model.safetensors", folder.path("run/model.safetensors"));
  CHECK_THROWS_AS(save_checkpoint(folder.path("run"), make_checkpoint(2)), IoError);
  CHECK(names_in(folder.path("run")) == before);
  fs::remove(folder.path("run/model.safetensors"));
  fs::rename(folder.path("kept"), folder.path("run/model.safetensors"));
  CHECK(equals(load_checkpoint(folder.path("run")), make_checkpoint(1)));
}

TEST_CASE("checkpoint: between any two steps of a save the folder is valid", "[train][checkpoint][property]") {
  const TempFolder folder;
  save_checkpoint(folder.path("old"), make_checkpoint(1));
  save_checkpoint(folder.path("new"), make_checkpoint(2));
  const std::string old_optimizer = optimizer_name(folder.path("old"));
  const std::string new_optimizer = optimizer_name(folder.path("new"));
  const fs::path run = folder.path("run");
  const auto start = [&] {
    fs::remove_all(run);
    fs::copy(folder.path("old"), run);
  };
  const auto put = [&](const std::string& name) {
    fs::copy_file(folder.path("new/" + name), run / name, fs::copy_options::overwrite_existing);
  };
  const auto goes_on = [&](int step) {
    INFO("expected step " << step);
    CHECK(equals(load_checkpoint(run), make_checkpoint(step)));
    save_checkpoint(run, make_checkpoint(9));  // and the next save ends clean
    CHECK(equals(load_checkpoint(run), make_checkpoint(9)));
    CHECK(names_in(run).size() == 2);
  };
  start();
  folder.write("run/.hstu-999999999-0.tmp", "half a file");
  goes_on(1);
  start(), put(new_optimizer), goes_on(1);
  start(), put(new_optimizer), put("model.safetensors"), goes_on(2);
  start(), put(new_optimizer), put("model.safetensors"), fs::remove(run / old_optimizer), goes_on(2);
}

TEST_CASE("checkpoint: kill -9 while saving leaves a whole checkpoint", "[train][checkpoint][property]") {
  const TempFolder folder;
  const fs::path run = folder.path("run");
  constexpr std::int64_t kWidth = 5000;
  const auto start = std::chrono::steady_clock::now();
  save_checkpoint(run, make_checkpoint(0, kWidth));
  const auto save_time = std::chrono::steady_clock::now() - start;
  constexpr int kRounds = 40, kMostRounds = 400;  // more if no child has come to an end of a save yet
  int last = 0, kills = 0, round = 0;
  for (; round < kRounds || (last == 0 && round < kMostRounds); ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        for (int step = last + 1;; ++step) save_checkpoint(run, make_checkpoint(step, kWidth));
      } catch (...) {
        ::_exit(1);
      }
    }
    REQUIRE(child > 0);
    std::this_thread::sleep_for(round * save_time / 13);  // 0 to 3 saves
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    kills += WIFSIGNALED(status) ? 1 : 0;
    const Checkpoint found = load_checkpoint(run);
    const int step = required<int>(*found.state, "step", "state");
    REQUIRE(step >= last);
    REQUIRE(equals(found, make_checkpoint(step, kWidth)));
    last = step;
  }
  CHECK(kills == round);
  CHECK(last > 0);
  save_checkpoint(run, make_checkpoint(1));
  CHECK(names_in(run).size() == 2);
}
