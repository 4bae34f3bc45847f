// SPDX-License-Identifier: MIT
// What run folders of every kind of model have in common: places of files, one trainer at a time, checks on resuming.
#pragma once
#include <filesystem>

#include <hstu/data/prepared.hpp>
#include <hstu/io/atomic_write.hpp>
#include <hstu/io/checksum.hpp>
#include <hstu/io/folder_lock.hpp>
#include <hstu/nn/module.hpp>

namespace hstu::detail {

inline std::filesystem::path config_path(const std::filesystem::path& run) { return run / "config.json"; }
inline std::filesystem::path metrics_path(const std::filesystem::path& run) { return run / "metrics.jsonl"; }

/// What `read(json, origin)` makes of RUN/config.json.  Throws IoError without the file, CheckpointError if it is damaged.
template <class Read>
auto load_settings(const std::filesystem::path& run, Read read) {
  constexpr std::uint64_t kMaxBytes = 1 << 20;
  const std::string origin = config_path(run).string();
  try {
    return read(*parse_json<ConfigError>(read_file(origin, kMaxBytes), origin), origin);
  } catch (const ConfigError& error) {
    throw CheckpointError(error.what());
  }
}

/// CRC-64 over all weights in the order of the parameters: equal numbers mean equal models, bit for bit.
template <class Model>
std::string weights_checksum(const Model& model) {
  std::uint64_t crc = 0;
  for (const NamedParameter& p : model.parameters()) {
    dispatch_floating("checksum", p.value.dtype(),
                      [&]<class Scalar>(Scalar) { crc = crc64(std::as_bytes(p.value.values<Scalar>()), crc); });
  }
  return hex_digits(crc);
}

/// Throws ConfigError unless both hold the same events of the same users and items.
inline void check_same_data(const Sequences& now, const Sequences& before) {
  check<ConfigError>(now.offsets == before.offsets && now.items == before.items &&
                         now.timestamps_s == before.timestamps_s && now.users == before.users &&
                         now.vocabulary == before.vocabulary,
                     "resume: the run was trained on other data (", before.num_users(), " users, ",
                     before.num_events(), " events), now it is ", now.source, " (", now.num_users(), " users, ",
                     now.num_events(), " events)");
}

/// A run folder that this process alone trains in.
class RunFolder {
 public:
  /// Makes the folder if need be.  Throws IoError if it cannot be made or another process trains in it, ConfigError if
  /// it holds a run that is not to be resumed.
  RunFolder(const std::filesystem::path& run, bool resume) : lock_(made(run)) {
    is_started_ = std::filesystem::exists(config_path(run));
    check<ConfigError>(!is_started_ || resume, run.string(), ": holds a run already; resume it or choose another");
    remove_stale_temporaries(run);
  }
  bool is_started() const { return is_started_; }

 private:
  static const std::filesystem::path& made(const std::filesystem::path& run) {
    std::error_code error;
    std::filesystem::create_directories(run, error);
    if (error) throw_io_error(run, "create_directories", error.value());
    return run;
  }
  FolderLock lock_;
  bool is_started_ = false;
};

}  // namespace hstu::detail
