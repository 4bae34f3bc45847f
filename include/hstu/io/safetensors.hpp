// SPDX-License-Identifier: MIT
// Tensors by name in the safetensors format: 8 bytes header length, JSON header, the data of all tensors without gaps.
#pragma once
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <hstu/core/tensor.hpp>
#include <hstu/io/atomic_write.hpp>
#include <hstu/io/read_file.hpp>
#include <hstu/io/safetensors_header.hpp>

namespace hstu {

/// Content of a safetensors file.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;            ///< limit of the format
inline constexpr std::uint64_t kMaxTensorFileBytes = std::uint64_t{64} << 30U;  ///< refuses sparse or endless files

namespace detail {

using NamedTensor = std::pair<std::string_view, const Tensor*>;

/// The order of the data: large elements first, then by name, so that each tensor is aligned to its element.
inline std::vector<NamedTensor> data_order(const TensorFile& file) {
  std::vector<NamedTensor> order;
  for (const auto& [name, tensor] : file.tensors) {
    check<CheckpointError>(tensor.defined(), "tensor ", in_quotes(name), ": expected data, got an undefined tensor");
    check<CheckpointError>(name != kMetadataKey, "tensor ", in_quotes(name), ": this name is taken by the format");
    order.emplace_back(name, &tensor);
  }
  std::ranges::stable_sort(order, [](const NamedTensor& a, const NamedTensor& b) {
    return size_of(a.second->dtype()) > size_of(b.second->dtype());
  });
  return order;
}

inline std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return dispatch_any(tensor.dtype(),
                      [&]<class Scalar>(Scalar) { return std::as_bytes(tensor.values<Scalar>()); });
}

/// {"key":value, ..}
inline std::string json_object(const std::map<std::string, std::string>& values) {
  std::string text = "{";
  for (const auto& [key, value] : values) {
    if (text.size() > 1) text += ',';
    text += nlohmann::json(key).dump() + ':' + value;
  }
  return text + '}';
}

/// The header's JSON, keys in order.  Written as text: a tree of nlohmann's needs memory even to be destroyed.
inline std::string safetensors_header_text(const TensorFile& file) {
  std::map<std::string, std::string> entries, metadata;
  for (const auto& [key, value] : file.metadata) metadata.emplace(key, nlohmann::json(value).dump());
  if (!metadata.empty()) entries.emplace(kMetadataKey, json_object(metadata));
  std::int64_t begin = 0;
  for (const auto& [name, tensor] : data_order(file)) {
    const std::int64_t end = begin + tensor->bytes();
    std::string shape;
    for (const std::int64_t size : tensor->shape().sizes()) shape += concat(shape.empty() ? "" : ",", size);
    entries.emplace(name, concat("{\"data_offsets\":[", begin, ",", end, "],\"dtype\":\"",
                                 safetensors_name(tensor->dtype()), "\",\"shape\":[", shape, "]}"));
    begin = end;
  }
  return json_object(entries);
}

/// Length and JSON header, filled with spaces to 8 bytes; the same content gives the same bytes.
inline std::string safetensors_prefix(const TensorFile& file) {
  std::string text;
  try {
    text = safetensors_header_text(file);
  } catch (const nlohmann::json::type_error&) {
    throw CheckpointError("safetensors: names and metadata must be UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  check<CheckpointError>(text.size() <= kMaxSafetensorsHeader, "safetensors: expected a header of at most ",
                         kMaxSafetensorsHeader, " bytes, got ", text.size());
  const auto length = static_cast<std::uint64_t>(text.size());
  std::string prefix(8, '\0');
  std::memcpy(prefix.data(), &length, 8);
  return prefix + text;
}

}  // namespace detail

/// Reads a safetensors file that is in memory.  Checks what the official reader checks (lengths, names, offsets without
/// hole, overlap or rest, shapes against extents) before any tensor is allocated.
/// Throws CheckpointError "origin: ..." on everything else, and on dtypes that a Tensor cannot hold.
inline TensorFile parse_safetensors(std::string_view bytes, const std::string& origin) {
  check<CheckpointError>(bytes.size() >= 8, origin, ": expected a safetensors file, got ", bytes.size(), " bytes");
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  check<CheckpointError>(header_bytes <= kMaxSafetensorsHeader, origin, ": expected a header of at most ",
                         kMaxSafetensorsHeader, " bytes, got ", header_bytes);
  check<CheckpointError>(header_bytes <= bytes.size() - 8, origin, ": the header needs ", header_bytes,
                         " bytes, the file has ", bytes.size() - 8, " after its length");
  const std::string_view header_text = bytes.substr(8, static_cast<std::size_t>(header_bytes));
  const std::string_view data = bytes.substr(8 + header_text.size());
  check<CheckpointError>(header_text.starts_with('{'), origin, ": expected a header that starts with {, got ",
                         detail::in_quotes(header_text.substr(0, 8)));
  detail::SafetensorsHeader header;
  read_json<CheckpointError>(header_text, origin + ": header", header);

  using Entry = std::pair<const std::string, detail::TensorEntry>;
  std::vector<const Entry*> order;
  for (const Entry& entry : header.tensors) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const Entry* entry) { return std::pair(entry->second.begin, entry->second.end); });
  std::uint64_t end = 0;
  for (const Entry* entry : order) {
    check<CheckpointError>(entry->second.begin == end, origin, ": tensor ", detail::in_quotes(entry->first),
                           ": expected to begin at ", end, ", got ", entry->second.begin);
    end = entry->second.end;
  }
  check<CheckpointError>(end == data.size(), origin, ": the tensors need ", end, " bytes, the file has ", data.size(),
                         " after its header");

  TensorFile file;
  file.metadata = std::move(header.metadata);
  for (const auto& [name, entry] : header.tensors) {
    Tensor tensor(entry.shape, entry.dtype);
    const std::string_view bytes_of_entry = data.substr(entry.begin, entry.end - entry.begin);
    dispatch_any(entry.dtype, [&]<class Scalar>(Scalar) {
      if (!bytes_of_entry.empty()) {
        std::memcpy(tensor.mutable_data<Scalar>(), bytes_of_entry.data(), bytes_of_entry.size());
      }
    });
    file.tensors.emplace(name, std::move(tensor));
  }
  return file;
}

/// Throws IoError if the file cannot be read or exceeds `max_bytes`, CheckpointError if it is damaged.
inline TensorFile load_safetensors(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxTensorFileBytes) {
  return parse_safetensors(read_file(path, max_bytes), path.string());
}

/// The bytes of a safetensors file.  Throws CheckpointError on undefined tensors and on names that are not UTF-8.
inline std::string serialize_safetensors(const TensorFile& file) {
  std::string bytes = detail::safetensors_prefix(file);
  for (const auto& [name, tensor] : detail::data_order(file)) {
    const auto data = detail::bytes_of(*tensor);
    bytes.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return bytes;
}

/// Replaces `path` atomically.  Throws IoError with the old file untouched.
inline void save_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  atomic_write(path, serialize_safetensors(file));
}

}  // namespace hstu
