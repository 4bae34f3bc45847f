// SPDX-License-Identifier: MIT
// What is fuzzed: every reader of files.  A target takes any bytes; it may refuse them with the error its reader
// promises, at the place it promises, and must find what it accepts unharmed.  Whatever else is thrown is a finding.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <hstu/data/prepared.hpp>
#include <hstu/data/read_ratings.hpp>
#include <hstu/data/titles.hpp>
#include <hstu/io/safetensors.hpp>
#include <hstu/train/config_json.hpp>

namespace hstu::fuzz {

inline void require(bool holds, std::string_view what) {
  if (!holds) throw std::logic_error(std::string(what));
}

/// Runs `body`; a `Kind` must begin with `origin`.
template <class Kind, class Body>
void may_refuse(const std::string& origin, const Body& body) {
  try {
    body();
  } catch (const Kind& error) {
    require(std::string_view(error.what()).starts_with(origin), "the message does not begin with the file");
  }
}

inline void safetensors(std::string_view bytes) {
  may_refuse<CheckpointError>("f: ", [&] {
    const std::string once = serialize_safetensors(parse_safetensors(bytes, "f"));
    require(serialize_safetensors(parse_safetensors(once, "f")) == once, "written and read again, it differs");
  });
}

/// The state of a checkpoint, and every other JSON text.
inline void state_json(std::string_view bytes) {
  may_refuse<CheckpointError>("f", [&] {
    const JsonTree state = parse_json<CheckpointError>(bytes, "f");
    require(*parse_json<CheckpointError>(state->dump(), "f") == *state, "written and read again, it differs");
    (void)required<std::int64_t, CheckpointError>(*state, "step", "f");
    (void)required<double, CheckpointError>(*state, "loss_sum", "f");
    (void)required<std::vector<std::string>, CheckpointError>(*state, "names", "f");
  });
}

inline void config(std::string_view bytes) {
  may_refuse<ConfigError>("", [&] {
    Config changed;
    update_from_json(changed, *parse_json<ConfigError>(bytes, "f"), "f");
    Config again;
    update_from_json(again, to_json(changed), "again");
    require(to_json(again) == to_json(changed), "written and read again, it differs");
    validate(changed);
  });
  may_refuse<ConfigError>("set", [&] {
    Config changed;
    set_field(changed, std::string(bytes));
  });
}

/// data.json of prepared data.
inline void prepared(std::string_view bytes) {
  may_refuse<DataError>("f", [&] { (void)detail::read_description(*parse_json(bytes, "f"), "f"); });
}

/// A file in memory with `bytes`; one for all calls.
inline const std::string& file_with(std::string_view bytes) {
  static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  require(::pwrite(descriptor, bytes.data(), bytes.size(), 0) == std::ssize(bytes), "pwrite");
  require(::ftruncate(descriptor, std::ssize(bytes)) == 0, "ftruncate");  // last, so that its page stays
  return path;
}

template <RatingsFormat format>
void ratings(std::string_view bytes) {
  const std::string& path = file_with(bytes);
  may_refuse<DataError>(path + ":", [&] {
    const Ratings read = read_ratings(path, format);
    check_ratings(read);
    require(read.size() > 0, "no events and no error");
    for (const float rating : read.rating) require(std::isfinite(rating), "a rating is not finite");
    for (const std::int64_t time : read.timestamp_s)
      require(time >= 0 && time <= kLastTimestamp, "a time is out of range");
  });
}

inline void titles(std::string_view bytes) {
  const std::string& path = file_with(bytes);
  may_refuse<DataError>(path + ":", [&] { require(!read_titles(path).empty(), "no titles and no error"); });
}

/// Reads behind its input after four right letters: a fuzzer that does not find this one finds nothing.
inline void planted(std::string_view bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());
  if (copy.size() != 5 || copy[0] != 'H' || copy[1] != 'S' || copy[2] != 'T' || copy[3] != 'U') return;
  [[maybe_unused]] const volatile char behind = copy.data()[5];
}

struct Target {
  std::string_view name;
  void (*run)(std::string_view);
};

inline constexpr std::array<Target, 9> kTargets = {{{"safetensors", safetensors},
                                                    {"state_json", state_json},
                                                    {"config", config},
                                                    {"prepared", prepared},
                                                    {"inter", ratings<RatingsFormat::inter>},
                                                    {"dat", ratings<RatingsFormat::movielens_dat>},
                                                    {"u.data", ratings<RatingsFormat::u_data>},
                                                    {"csv", ratings<RatingsFormat::csv>},
                                                    {"titles", titles}}};

}  // namespace hstu::fuzz
