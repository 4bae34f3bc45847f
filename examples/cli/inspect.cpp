// SPDX-License-Identifier: MIT
// hstu inspect: names, shapes and ranges of what is in a tensor file, a JSON file, a log, or a folder of them.
#include <filesystem>
#include <map>

#include <hstu/train/checkpoint.hpp>

#include "options.hpp"

namespace hstu::cli {
namespace inspect_detail {

namespace fs = std::filesystem;

constexpr std::size_t kShownBytes = 160;  // of a text

/// Smallest, largest and mean of the finite values, and the number of the others.
struct Range {
  double smallest = std::numeric_limits<double>::infinity();
  double largest = -std::numeric_limits<double>::infinity();
  double sum = 0;
  std::int64_t finite = 0;
  std::int64_t not_a_number = 0;
  std::int64_t infinite = 0;

  void add(double value) {
    if (std::isnan(value)) {
      ++not_a_number;
    } else if (std::isinf(value)) {
      ++infinite;
    } else {
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
      sum += value;
      ++finite;
    }
  }
  std::string text() const {
    std::string result;
    if (finite > 0) {
      result = concat("min ", smallest, "  max ", largest, "  mean ", sum / static_cast<double>(finite), "  ");
    }
    result += concat("NaN ", not_a_number);
    return infinite > 0 ? concat(result, "  Inf ", infinite) : result;
  }
};

inline std::string cut(std::string_view text) {
  return text.size() <= kShownBytes ? plain(text)
                                    : concat(plain(text.substr(0, kShownBytes)), "... (", text.size(), " bytes)");
}

inline std::string inspect_tensors(const fs::path& path, const std::string& bytes) {
  const TensorFile file = parse_safetensors(bytes, path.string());
  Sheet metadata, tensors;
  for (const auto& [key, value] : file.metadata) metadata.row("  " + plain(key), cut(value));
  std::int64_t values = 0;
  for (const auto& [name, stored] : file.tensors) {
    const Tensor& tensor = stored;  // Clang 14 lets no lambda capture a structured binding
    Range range;
    dispatch_any(tensor.dtype(), [&]<class Scalar>(Scalar) {
      for (const Scalar value : tensor.values<Scalar>()) range.add(static_cast<double>(value));
    });
    values += tensor.numel();
    tensors.row("  " + plain(name), tensor.dtype(), tensor.shape(), "  ", range.text());
  }
  return concat("safetensors, ", bytes.size(), " bytes, ", file.tensors.size(), " tensors, ", values, " values\n",
                metadata.text(), tensors.text());
}

inline std::string short_text(const nlohmann::json& value) {
  if (value.is_array() || value.is_object()) return concat(value.type_name(), " of ", value.size());
  return cut(value.dump());
}

inline std::string inspect_json(const fs::path& path, const std::string& bytes) {
  const JsonTree tree = parse_json(bytes, path.string());
  const nlohmann::json& json = *tree;
  if (!json.is_object()) return concat("JSON, ", short_text(json), "\n");
  Sheet sheet;
  for (const auto& [key, value] : json.items()) {
    sheet.row("  " + plain(key), value.is_object() && value.dump().size() <= kShownBytes ? plain(value.dump())
                                                                                       : short_text(value));
  }
  return concat("JSON, object of ", json.size(), "\n", sheet.text());
}

inline std::string inspect_lines(const fs::path& path, const std::string& bytes) {
  std::map<std::string, Range> ranges;
  std::map<std::string, double> last;
  std::size_t lines = 0;
  for (std::string_view rest = bytes; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const JsonTree tree = parse_json(line, path.string(), ++lines);
    const nlohmann::json& json = *tree;
    if (!json.is_object()) continue;
    for (const auto& [key, value] : json.items()) {
      if (!value.is_number()) continue;
      ranges[key].add(value.get<double>());
      last[key] = value.get<double>();
    }
  }
  Sheet sheet;
  for (const auto& [key, range] : ranges) sheet.row("  " + plain(key), "last ", last[key], "  ", range.text());
  return concat("JSON lines, ", lines, "\n", sheet.text());
}

inline std::string inspect_file(const fs::path& path) {
  constexpr std::uint64_t kMostTextBytes = std::uint64_t{1} << 30;
  const std::string name = path.filename().string();
  const bool is_lines = name.ends_with(".jsonl");
  const bool is_json = name.ends_with(".json");
  const std::string bytes =
      reading_data([&] { return read_file(path, is_lines || is_json ? kMostTextBytes : kMaxTensorFileBytes); });
  if (is_lines) return inspect_lines(path, bytes);
  if (is_json || (bytes.starts_with('{') && !name.ends_with(".safetensors"))) return inspect_json(path, bytes);
  check<DataError>(name.ends_with(".safetensors") || (bytes.size() > 8 && bytes[8] == '{'), path.string(),
                   ": expected a safetensors, JSON or JSON lines file");
  if (name == kModelFile && bytes.find(hstu::detail::kChecksumKey) != std::string::npos) {
    load_checkpoint(path.parent_path(), CheckpointPart::model);  // compares the checksums
  }
  return inspect_tensors(path, bytes);
}

/// The files of `folder` that may be ours, by name, with those of the folders in it.
inline std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  try {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      const bool is_ours = extension == ".safetensors" || extension == ".json" || extension == ".jsonl";
      if (is_ours && entry.is_regular_file()) files.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    throw DataError(error.what());
  }
  std::ranges::sort(files);
  check<DataError>(!files.empty(), folder.string(), ": expected .safetensors, .json or .jsonl files, found none");
  return files;
}

}  // namespace inspect_detail

int inspect(Arguments arguments) {
  using namespace inspect_detail;
  const Options options(arguments, "FILE",
                        "Shows what is in a safetensors file, checkpoint, configuration, log, prepared data or run,\n"
                        "given as a file or as a folder.",
                        {}, "FILE");
  if (options.help()) return print(*options.help()), kOk;
  const fs::path path = options.operand();
  std::error_code error;
  if (!fs::is_directory(path, error)) return print(inspect_file(path)), kOk;
  std::string text;
  for (const fs::path& file : files_of(path)) text += concat(plain(file.string()), ": ", inspect_file(file), "\n");
  print(text);
  return kOk;
}

}  // namespace hstu::cli
