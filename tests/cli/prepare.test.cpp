// SPDX-License-Identifier: MIT
#include <hstu/data/prepared.hpp>

#include "cli/program.hpp"

namespace {

constexpr const char* kRatings = "u1::a::5::978300760\nu1::b::3::978300760\nu1::c::1::978302109\n"
                                 "u2::a::4::978300000\nu2::b::4::978300001\n";

}  // namespace

TEST_CASE("prepare: reports the data and stores sequences with titles", "[cli][prepare][property]") {
  const TempFolder folder;
  const std::string ratings = folder.write("ratings.dat", kRatings);
  const std::string titles = folder.write("movies.dat", "a::Alpha (1999)::Drama\nb::Beta::Comedy\n");
  const Outcome outcome = run_expecting(
      0, {"prepare", "--ratings", ratings, "--titles", titles, "--out", folder.path("data"), "--json"});
  const nlohmann::json report = outcome.json();
  CHECK(report.at("users") == 2);
  CHECK(report.at("items") == 3);
  CHECK(report.at("events") == 5);
  CHECK(report.at("length_min") == 2);
  CHECK(report.at("length_median") == 2.5);
  CHECK(report.at("length_max") == 3);
  CHECK(report.at("tied_step_share") == 1.0 / 3.0);
  CHECK(report.at("ties") == "file");
  CHECK(outcome.err.find("no title for 1 items") != std::string::npos);

  const hstu::Sequences sequences = hstu::load_sequences(folder.path("data"));
  CHECK(sequences.users == Words{"u1", "u2"});
  CHECK(sequences.title_of(sequences.vocabulary.encode("a")) == "Alpha (1999)");
  CHECK(sequences.title_of(sequences.vocabulary.encode("c")) == "c");
}

TEST_CASE("prepare: prints dates and shares as text", "[cli][prepare][property]") {
  const TempFolder folder;
  const std::string ratings = folder.write("ratings.dat", kRatings);
  const std::string out = run_expecting(0, {"prepare", "--ratings", ratings, "--out", folder.path("data")}).out;
  CHECK(out.find("min 2, median 2.5, mean 2.5, max 3") != std::string::npos);
  CHECK(out.find("2000-12-31 to 2000-12-31") != std::string::npos);
  CHECK(out.find("33.3 % of the steps") != std::string::npos);
}

TEST_CASE("prepare: filters, forced format, unit of time and tie rule take effect", "[cli][prepare][property]") {
  const TempFolder folder;
  const std::string ratings = folder.write("events", "u1\ta\t5\t1000\nu1\tb\t2\t1000\nu1\tc\t4\t3999\nu2\ta\t5\t5000\n");
  const nlohmann::json report =
      run_expecting(0, {"prepare", "--ratings", ratings, "--format", "u.data", "--timestamp-unit", "ms", "--min-rating",
                        "3", "--min-user-count", "2", "--ties", "random", "--seed", "7", "--out", folder.path("data"),
                        "--json"})
          .json();
  CHECK(report.at("users") == 1);
  CHECK(report.at("events") == 2);
  CHECK(report.at("last_timestamp_s") == 3);
  CHECK(report.at("ties") == "random");
  CHECK(report.at("tie_seed") == 7);
}

TEST_CASE("prepare: the same synthetic options give the same bytes", "[cli][prepare][property]") {
  const TempFolder folder;
  for (const char* name : {"a", "b"}) {
    run_expecting(0, {"prepare", "--synthetic", "--users", "5", "--items", "2", "--seed", "3", "--out",
                      folder.path(name)});
  }
  CHECK(bytes_in(folder.path("a/sequences.safetensors")) == bytes_in(folder.path("b/sequences.safetensors")));
  CHECK(bytes_in(folder.path("a/data.json")) == bytes_in(folder.path("b/data.json")));
}

TEST_CASE("prepare: prepared data are not replaced", "[cli][prepare][errors]") {
  const TempFolder folder;
  const Words words = {"prepare", "--synthetic", "--users", "5", "--out", folder.path("data")};
  run_expecting(0, words);
  const std::string before = bytes_in(folder.path("data/data.json"));
  CHECK(run_expecting(2, words + Words{"--seed", "9"}).err.find("--out") != std::string::npos);
  CHECK(bytes_in(folder.path("data/data.json")) == before);
}

TEST_CASE("prepare: bad data end with code 3 and the place", "[cli][prepare][errors]") {
  const TempFolder folder;
  const auto error_of = [&](const std::string& bytes) {
    const std::string ratings = folder.write("ratings.dat", bytes);
    return run_expecting(3, {"prepare", "--ratings", ratings, "--out", folder.path("data")}).err;
  };
  CHECK(error_of("1::2::3::4\n1::2::x::4\n").find("ratings.dat:2:7: expected a finite rating") != std::string::npos);
  CHECK(error_of("").find("empty file") != std::string::npos);
  CHECK(error_of("1::2::3\n").find("expected 4 columns") != std::string::npos);
  CHECK(error_of("\x1b[31m::2::x::4\n").find('\x1b') == std::string::npos);
  run_expecting(3, {"prepare", "--ratings", folder.path("missing"), "--out", folder.path("data")});
  run_expecting(3, {"prepare", "--ratings", folder.path(), "--out", folder.path("data")});
  const std::string ratings = folder.write("ratings.dat", kRatings);
  run_expecting(3, {"prepare", "--ratings", ratings, "--min-rating", "9", "--out", folder.path("data")});
  run_expecting(3, {"prepare", "--ratings", ratings, "--titles", folder.path("missing"), "--out", folder.path("data")});
  CHECK_FALSE(std::filesystem::exists(folder.path("data")));
}

TEST_CASE("prepare: a folder that cannot be made ends with code 1", "[cli][prepare][errors]") {
  const TempFolder folder;
  const std::string file = folder.write("file", "");
  run_expecting(1, {"prepare", "--synthetic", "--out", file + "/data"});
}
