// SPDX-License-Identifier: MIT
// Feature tables in a run folder: one safetensors file that carries its own checksum.
#pragma once
#include <hstu/train/checkpoint.hpp>
#include <hstu/train/ranking_settings.hpp>

namespace hstu::detail {

inline constexpr const char* kUserPrefix = "user.";
inline constexpr const char* kItemPrefix = "item.";

inline Tensor column_tensor(const FeatureColumn& column) {
  return column.spec.kind == FeatureKind::category ? Tensor::from(column.categories) : Tensor::from(column.numbers);
}

/// Throws IoError if the system refuses.
inline void save_features(const std::filesystem::path& path, const RankingData& data) {
  TensorFile file;
  for (const FeatureColumn& c : data.users) file.tensors.emplace(kUserPrefix + c.spec.name, column_tensor(c));
  for (const FeatureColumn& c : data.items) file.tensors.emplace(kItemPrefix + c.spec.name, column_tensor(c));
  const std::string checksum = content_checksum(file);
  file.metadata[kChecksumKey] = checksum;
  save_safetensors(path, file);
}

/// The column of `spec` with `rows` rows.  Throws CheckpointError if the file has no such column.
inline FeatureColumn read_feature_column(const TensorFile& file, const std::string& prefix, const FeatureSpec& spec,
                                         std::int64_t rows, const std::string& origin) {
  const auto found = file.tensors.find(prefix + spec.name);
  check<CheckpointError>(found != file.tensors.end(), origin, ": expected the feature ", quote_text(prefix + spec.name),
                         ", found none");
  const Tensor& values = found->second;
  const DType dtype = spec.kind == FeatureKind::category ? DType::int32 : DType::float32;
  check<CheckpointError>(values.dtype() == dtype && values.shape() == Shape{rows}, origin, ": ",
                         quote_text(prefix + spec.name), " must be ", dtype, " [", rows, "], got ", values.dtype(),
                         values.shape());
  FeatureColumn column{.spec = spec, .categories = {}, .num_categories = 1, .numbers = {}};
  if (spec.kind == FeatureKind::number) {
    column.numbers = values.to_vector<float>();
    return column;
  }
  column.categories = values.to_vector<std::int32_t>();
  for (const std::int32_t category : column.categories) {
    check<CheckpointError>(category >= 0 && category < std::numeric_limits<std::int32_t>::max(), origin, ": ",
                           quote_text(prefix + spec.name), ": category ", category);
    column.num_categories = std::max<std::int64_t>(column.num_categories, category + std::int64_t{1});
  }
  return column;
}

/// The tables of users and of items that save_features() wrote.  Throws CheckpointError for anything damaged or missing.
inline std::pair<FeatureTable, FeatureTable> load_features(const std::filesystem::path& path,
                                                           const RankingConfig& ranking, const Sequences& sequences) {
  const std::string origin = path.string();
  TensorFile file = load_part(path);
  const std::string stated = take_metadata(file, kChecksumKey, origin);
  check<CheckpointError>(content_checksum(file) == stated, origin, ": damaged: expected checksum '", stated, "', got '",
                         content_checksum(file), "'");
  std::pair<FeatureTable, FeatureTable> tables;
  for (const FeatureSpec& spec : ranking.user_features) {
    tables.first.push_back(read_feature_column(file, kUserPrefix, spec, sequences.num_users(), origin));
  }
  for (const FeatureSpec& spec : ranking.item_features) {
    tables.second.push_back(read_feature_column(file, kItemPrefix, spec, sequences.vocabulary.size(), origin));
  }
  return tables;
}

}  // namespace hstu::detail
