// SPDX-License-Identifier: MIT
// Checkpoint: all that a run needs to go on, or to recommend, in a folder that is valid at every moment.
//
//   RUN/model.safetensors                  weights; metadata: what the caller put there (the configuration), and
//                                            hstu.state      the state as JSON text
//                                            hstu.optimizer  checksum of the optimizer file that belongs to it
//                                            hstu.checksum   checksum of all of this file
//   RUN/optimizer-<checksum>.safetensors   moments and step counts, named after its content
//
// A save writes the optimizer file under its new name, then replaces model.safetensors, then removes the old optimizer
// file.  The one rename of model.safetensors switches weights, state and optimizer together; before and after it the
// folder holds a whole checkpoint, and each step is on the disk before the next begins (atomic_write).  So a killed
// process or a lost power leaves the old or the new one.  Reasons for this form: the weights stay under a fixed name,
// open to any safetensors reader; no pointer file can disagree; a file of another save cannot be mixed in.
#pragma once
#include <algorithm>
#include <string>

#include <hstu/io/checksum.hpp>
#include <hstu/io/json.hpp>
#include <hstu/io/safetensors.hpp>
#include <hstu/nn/module.hpp>

namespace hstu {

struct Checkpoint {
  TensorFile weights;    ///< parameters by name; metadata as the caller likes, except keys that begin with "hstu."
  TensorFile optimizer;  ///< empty if only the model was loaded
  JsonTree state;        ///< epoch, step, seed, best metric, ...; finite numbers only
};

enum class CheckpointPart { all, model };

inline constexpr std::string_view kModelFile = "model.safetensors";

/// True if `folder` holds a checkpoint, damaged or not.
inline bool has_checkpoint(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / kModelFile, error);
}

namespace detail {

inline constexpr std::string_view kOptimizerPrefix = "optimizer-";
inline constexpr std::string_view kTensorFileSuffix = ".safetensors";
inline constexpr std::string_view kReservedPrefix = "hstu.";
inline constexpr const char* kStateKey = "hstu.state";
inline constexpr const char* kOptimizerKey = "hstu.optimizer";
inline constexpr const char* kChecksumKey = "hstu.checksum";

/// Checksum, as 16 hex digits, of names, shapes, metadata and data.
inline std::string content_checksum(const TensorFile& file) {
  std::uint64_t crc = crc64(safetensors_prefix(file));
  for (const auto& [name, tensor] : data_order(file)) crc = crc64(bytes_of(*tensor), crc);
  return hex_digits(crc);
}

inline std::string optimizer_file_name(const std::string& checksum) {
  return concat(kOptimizerPrefix, checksum, kTensorFileSuffix);
}
inline bool is_checksum(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}
inline bool is_optimizer_file_name(std::string_view name) {
  if (!name.starts_with(kOptimizerPrefix) || !name.ends_with(kTensorFileSuffix)) return false;
  name.remove_prefix(kOptimizerPrefix.size());
  return name.size() == 16 + kTensorFileSuffix.size() && is_checksum(name.substr(0, 16));
}

/// True unless the checkpoint in `folder` surely goes with another optimizer file.
inline bool may_use_optimizer(const std::filesystem::path& folder, const std::string& checksum) {
  if (!has_checkpoint(folder)) return false;
  try {
    const auto metadata = load_safetensors(folder / kModelFile).metadata;
    const auto entry = metadata.find(kOptimizerKey);
    return entry == metadata.end() || entry->second == checksum;
  } catch (const Error&) {
    return true;
  }
}

/// Takes the value of `key` out of the metadata.
inline std::string take_metadata(TensorFile& file, const char* key, const std::string& origin) {
  auto entry = file.metadata.extract(key);
  check<CheckpointError>(!entry.empty(), origin, ": expected a checkpoint with the metadata '", key, "', found none");
  return std::move(entry.mapped());
}

/// Throws CheckpointError if a part of a checkpoint is not there, IoError if it cannot be read.
inline TensorFile load_part(const std::filesystem::path& path) {
  std::error_code error;
  const bool is_there = std::filesystem::exists(path, error);
  check<CheckpointError>(is_there || error, path.string(), ": this part of a checkpoint is missing");
  return load_safetensors(path);
}

}  // namespace detail

/// Removes optimizer files of other saves than `current`, which `folder` holds, and what killed processes left: the end
/// of a save, and of one that was cut short.  Leftovers cost only space: no error is raised.
inline void remove_leftovers(const std::filesystem::path& folder, const Checkpoint& current) {
  const std::string optimizer_name = detail::optimizer_file_name(detail::content_checksum(current.optimizer));
  detail::for_each_name(folder, [&](std::string_view name) {
    std::error_code ignored;
    if (detail::is_optimizer_file_name(name) && name != optimizer_name) std::filesystem::remove(folder / name, ignored);
  });
  remove_stale_temporaries(folder);
}

/// Replaces the checkpoint in `folder`, creating the folder if need be.  After the return it survives a lost power.
/// Throws CheckpointError on content that cannot be stored, IoError if the system refuses; `folder` then holds the old
/// checkpoint, whole (the new one, whole, if only its very last step failed).
inline void save_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint) {
  const std::string origin = (folder / kModelFile).string();
  TensorFile model = checkpoint.weights;  // shares the data
  for (const auto& [key, value] : model.metadata) {
    check<CheckpointError>(!key.starts_with(detail::kReservedPrefix), origin, ": metadata key ", detail::in_quotes(key),
                           " is taken: keys that begin with '", detail::kReservedPrefix, "' are the checkpoint's own");
  }
  const std::string state = checkpoint.state->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  check<CheckpointError>(*parse_json<CheckpointError>(state, origin + ": state") == *checkpoint.state, origin,
                         ": state: expected finite numbers and UTF-8 text only");
  const std::string optimizer_checksum = detail::content_checksum(checkpoint.optimizer);
  model.metadata[detail::kStateKey] = state;
  model.metadata[detail::kOptimizerKey] = optimizer_checksum;
  model.metadata[detail::kChecksumKey] = detail::content_checksum(model);

  std::error_code error;
  const bool is_new_folder = std::filesystem::create_directories(folder, error);
  if (error) detail::throw_io_error(folder, "create_directories", error.value());
  if (is_new_folder) detail::sync_folder(detail::folder_of((folder / "").parent_path()));

  const std::string optimizer_name = detail::optimizer_file_name(optimizer_checksum);
  try {
    save_safetensors(folder / optimizer_name, checkpoint.optimizer);
    save_safetensors(folder / kModelFile, model);
  } catch (const IoError&) {  // a full disk must not fill further with each attempt
    if (!detail::may_use_optimizer(folder, optimizer_checksum)) std::filesystem::remove(folder / optimizer_name, error);
    throw;
  }
  remove_leftovers(folder, checkpoint);
}

/// The checkpoint in `folder`, every bit checked against its checksums; `CheckpointPart::model` is for inference, without
/// the optimizer.  Throws CheckpointError if anything is missing, damaged or of another save, IoError if the system
/// refuses to read.
inline Checkpoint load_checkpoint(const std::filesystem::path& folder, CheckpointPart part = CheckpointPart::all) {
  const std::string origin = (folder / kModelFile).string();
  Checkpoint checkpoint;
  TensorFile& model = checkpoint.weights = detail::load_part(folder / kModelFile);
  const std::string stated = detail::take_metadata(model, detail::kChecksumKey, origin);
  const std::string found = detail::content_checksum(model);
  check<CheckpointError>(found == stated, origin, ": damaged: expected checksum ", detail::in_quotes(stated), ", got '",
                         found, "'");
  const std::string optimizer_checksum = detail::take_metadata(model, detail::kOptimizerKey, origin);
  const std::string state = detail::take_metadata(model, detail::kStateKey, origin);
  checkpoint.state = parse_json<CheckpointError>(state, origin + ": state");
  if (part == CheckpointPart::model) return checkpoint;

  check<CheckpointError>(detail::is_checksum(optimizer_checksum), origin, ": ", detail::kOptimizerKey,
                         ": expected 16 hex digits, got ", detail::in_quotes(optimizer_checksum));
  const std::filesystem::path optimizer_path = folder / detail::optimizer_file_name(optimizer_checksum);
  checkpoint.optimizer = detail::load_part(optimizer_path);
  const std::string optimizer_found = detail::content_checksum(checkpoint.optimizer);
  check<CheckpointError>(optimizer_found == optimizer_checksum, optimizer_path.string(),
                         ": damaged: expected checksum '", optimizer_checksum, "', got '", optimizer_found, "'");
  return checkpoint;
}

/// Copies `file`'s tensors into parameters of the same names.  Throws CheckpointError, with the parameters unchanged,
/// if a name is missing or unknown or a shape or dtype differs.
inline void load_weights(const ParameterList& parameters, const TensorFile& file) {
  check<CheckpointError>(file.tensors.size() == parameters.size(), "weights: the model has ", parameters.size(),
                         " parameters, the file ", file.tensors.size());
  for (const auto& [name, value] : parameters) {
    const auto found = file.tensors.find(name);
    check<CheckpointError>(found != file.tensors.end(), "weights: the file has no parameter ", name);
    check<CheckpointError>(found->second.shape() == value.shape() && found->second.dtype() == value.dtype(),
                           "weights: ", name, " must be ", value.dtype(), value.shape(), ", the file has ",
                           found->second.dtype(), found->second.shape());
  }
  for (const auto& [name, value] : parameters) {
    Tensor destination = value;
    destination.copy_from(file.tensors.at(name));
  }
}

}  // namespace hstu
