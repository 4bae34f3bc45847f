// SPDX-License-Identifier: MIT
// Prepared data: a folder with sequences.safetensors (the columns) and data.json (names, rules, counts).
#pragma once
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include <hstu/core/tensor.hpp>
#include <hstu/data/sequences.hpp>
#include <hstu/io/atomic_write.hpp>
#include <hstu/io/checksum.hpp>
#include <hstu/io/json.hpp>
#include <hstu/io/read_file.hpp>
#include <hstu/io/safetensors.hpp>

namespace hstu {

inline constexpr std::string_view kPreparedFormat = "hstu-sequences";
inline constexpr std::int64_t kPreparedVersion = 1;

namespace detail {

inline std::filesystem::path columns_path(const std::filesystem::path& folder) {
  return folder / "sequences.safetensors";
}
inline std::filesystem::path description_path(const std::filesystem::path& folder) {
  return folder / "data.json";
}

inline const std::string kEventColumnPrefix = "event.";  ///< of the tensors of Sequences::columns

/// Everything but the columns, and the checksum of the file that holds them.
inline nlohmann::json describe(const Sequences& sequences, std::uint64_t columns_crc64) {
  const FilterOptions& filters = sequences.filters;
  nlohmann::json json = {
      {"format", kPreparedFormat},
      {"version", kPreparedVersion},
      {"source", sequences.source},
      {"ties", {{"rule", name_of(sequences.ties)}, {"seed", sequences.tie_seed}}},
      {"filters",
       {{"min_user_count", filters.min_user_count},
        {"min_item_count", filters.min_item_count},
        {"min_rating", std::isfinite(filters.min_rating) ? nlohmann::json(filters.min_rating) : nlohmann::json()}}},
      {"counts",
       {{"users", sequences.num_users()},
        {"items", sequences.vocabulary.num_names()},
        {"events", sequences.num_events()}}},
      {"columns_crc64", columns_crc64},
      {"has_unknown", sequences.vocabulary.has_unknown()},
      {"users", sequences.users},
      {"items", sequences.vocabulary.names()},
  };
  if (!sequences.titles.empty()) json["titles"] = sequences.titles;
  for (const EventColumn& column : sequences.columns) json["event_columns"].push_back(column.name);
  return json;
}

/// The reverse of describe(), without the columns; `origin` begins every message.
inline Sequences read_description(const nlohmann::json& json, const std::string& origin) {
  const auto format = required<std::string>(json, "format", origin);
  check<DataError>(format == kPreparedFormat, origin, ": expected format ", kPreparedFormat, ", got ",
                   quote_text(format));
  const auto version = required<std::int64_t>(json, "version", origin);
  check<DataError>(version == kPreparedVersion, origin, ": expected version ", kPreparedVersion, ", got ", version);
  Sequences sequences;
  sequences.source = required<std::string>(json, "source", origin);
  const nlohmann::json& ties = required_value(json, "ties", origin);
  try {
    sequences.ties = parse_tie_rule(required<std::string>(ties, "rule", origin));
    const auto names = required<std::vector<std::string>>(json, "items", origin);
    sequences.vocabulary = Vocabulary::from_names(names, required<bool>(json, "has_unknown", origin));
  } catch (const Error& error) {
    const std::string_view what = error.what();
    throw DataError(what.starts_with(origin) ? std::string(what) : concat(origin, ": ", what));
  }
  sequences.tie_seed = required<std::uint64_t>(ties, "seed", origin);
  const nlohmann::json& filters = required_value(json, "filters", origin);
  sequences.filters.min_user_count = required<std::int64_t>(filters, "min_user_count", origin);
  sequences.filters.min_item_count = required<std::int64_t>(filters, "min_item_count", origin);
  if (!required_value(filters, "min_rating", origin).is_null()) {
    sequences.filters.min_rating = required<float>(filters, "min_rating", origin);
  }
  sequences.users = required<std::vector<std::string>>(json, "users", origin);
  if (json.contains("titles")) sequences.titles = required<std::vector<std::string>>(json, "titles", origin);
  return sequences;
}

/// The values of the tensor `name` of rank 1.
template <class Scalar>
std::vector<Scalar> read_column(const TensorFile& file, const std::string& name, const std::string& origin) {
  const auto found = file.tensors.find(name);
  check<DataError>(found != file.tensors.end(), origin, ": expected a tensor ", name, ", found none");
  const Tensor& tensor = found->second;
  check<DataError>(tensor.dtype() == dtype_of<Scalar>() && tensor.rank() == 1, origin, ": expected ", name, " as ",
                   dtype_of<Scalar>(), " of rank 1, got ", tensor.dtype(), tensor.shape());
  return tensor.to_vector<Scalar>();
}

inline void check_counts(const Sequences& sequences, const nlohmann::json& counts, const std::string& origin) {
  const auto require = [&](const char* name, std::int64_t found) {
    const auto expected = required<std::int64_t>(counts, name, origin);
    check<DataError>(expected == found, origin, ": expected ", expected, " ", name, ", found ", found);
  };
  require("users", sequences.num_users());
  require("items", sequences.vocabulary.num_names());
  require("events", sequences.num_events());
}

}  // namespace detail

/// Writes `sequences` to `folder`, which is made if it is not there.  Each file is replaced atomically and data.json,
/// written last, holds the checksum of the other: a crash between them is noticed when loading. Throws DataError if the
/// sequences contradict themselves or a name is not UTF-8, IoError if the system refuses.
inline void save_sequences(const std::filesystem::path& folder, const Sequences& sequences) {
  check_sequences(sequences);
  TensorFile file;
  file.tensors.emplace("offsets", Tensor::from(sequences.offsets));
  file.tensors.emplace("items", Tensor::from(sequences.items));
  file.tensors.emplace("ratings", Tensor::from(sequences.ratings));
  file.tensors.emplace("timestamps_s", Tensor::from(sequences.timestamps_s));
  for (const EventColumn& column : sequences.columns) {
    file.tensors.emplace(detail::kEventColumnPrefix + column.name, Tensor::from(column.values));
  }
  file.metadata.emplace("format", kPreparedFormat);
  const std::string columns = serialize_safetensors(file);
  std::string description;
  try {
    description = detail::describe(sequences, crc64(columns)).dump(1) + "\n";
  } catch (const nlohmann::json::type_error&) {
    throw DataError("sequences: expected names and source in UTF-8");
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": expected a folder: ", error.message());
  atomic_write(detail::columns_path(folder), columns);
  atomic_write(detail::description_path(folder), description);
}

/// Reads what save_sequences() wrote.  Throws IoError if a file cannot be read, DataError "file: expectation, fact" on
/// anything damaged, missing or contradicting: checksum, counts, offsets, ids, times, names.
inline Sequences load_sequences(const std::filesystem::path& folder) {
  const std::string description = detail::description_path(folder).string();
  const std::string columns = detail::columns_path(folder).string();
  const JsonTree tree = parse_json(read_file(description, kMaxTensorFileBytes), description);
  const nlohmann::json& json = *tree;
  Sequences sequences = detail::read_description(json, description);

  const std::string bytes = read_file(columns, kMaxTensorFileBytes);
  const auto expected_crc64 = required<std::uint64_t>(json, "columns_crc64", description);
  check<DataError>(crc64(bytes) == expected_crc64, columns, ": expected the checksum ", expected_crc64, " that ",
                   description, " names, got ", crc64(bytes));
  TensorFile file;
  try {
    file = parse_safetensors(bytes, columns);
  } catch (const CheckpointError& error) {
    throw DataError(error.what());
  }
  const auto names = json.contains("event_columns")
                         ? required<std::vector<std::string>>(json, "event_columns", description)
                         : std::vector<std::string>{};
  check<DataError>(file.tensors.size() == 4 + names.size(), columns, ": expected ", 4 + names.size(), " tensors, got ",
                   file.tensors.size());
  for (const std::string& name : names) {
    sequences.columns.push_back({name, detail::read_column<float>(file, detail::kEventColumnPrefix + name, columns)});
  }
  sequences.offsets = detail::read_column<std::int64_t>(file, "offsets", columns);
  sequences.items = detail::read_column<std::int32_t>(file, "items", columns);
  sequences.ratings = detail::read_column<float>(file, "ratings", columns);
  sequences.timestamps_s = detail::read_column<std::int64_t>(file, "timestamps_s", columns);
  check_sequences(sequences, columns);
  detail::check_counts(sequences, required_value(json, "counts", description), description);
  return sequences;
}

}  // namespace hstu
