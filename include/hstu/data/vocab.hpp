// SPDX-License-Identifier: MIT
// Vocabulary: item names <-> dense ids with 0 as padding; VocabMask: ids that must never be recommended.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/data/text.hpp>

namespace hstu {
namespace detail {

/// Lets a map keyed by std::string be searched with a std::string_view, without a copy.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};

/// Distinct texts numbered 0, 1, 2, … in order of first appearance.
class TextIndex {
 public:
  std::int32_t add(std::string_view text) {
    if (const auto found = numbers_.find(text); found != numbers_.end()) return found->second;
    check<DataError>(names_.size() < static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) - 2,
                     "ids: expected fewer than 2^31 distinct ones, got one more: ", quote_text(text));
    const auto number = static_cast<std::int32_t>(names_.size());
    names_.emplace_back(text);
    numbers_.emplace(names_.back(), number);
    return number;
  }
  std::optional<std::int32_t> find(std::string_view text) const {
    const auto found = numbers_.find(text);
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>> numbers_;
};

}  // namespace detail

/// Names <-> rows of the item table.  Id 0 is padding; id 1 stands for every unknown name if `with_unknown` was asked
/// for; real names follow in order of first add. torch-rechub's VocabMapper is the identity on numbers and maps what is
/// out of range to 1; here names are text, and an unknown one is an error unless the unknown row was asked for.
class Vocabulary {
 public:
  static constexpr std::int32_t kPadding = 0;
  static constexpr std::int32_t kUnknown = 1;

  Vocabulary() = default;
  explicit Vocabulary(bool with_unknown) : first_(with_unknown ? 2 : 1) {}

  /// The vocabulary whose real ids are `names` in this order.  Throws DataError on an empty or repeated name.
  static Vocabulary from_names(std::span<const std::string> names, bool with_unknown = false) {
    Vocabulary vocabulary(with_unknown);
    for (const std::string& name : names) {
      check<DataError>(!vocabulary.find(name), "vocabulary: expected distinct names, got ", quote_text(name), " twice");
      vocabulary.add(name);
    }
    return vocabulary;
  }

  /// Id of `name`, new if it was not there.  Throws DataError on an empty name.
  std::int32_t add(std::string_view name) {
    check<DataError>(!name.empty(), "vocabulary: expected a name, got an empty one");
    return first_ + index_.add(name);
  }

  /// Id of `name` if it is known.
  std::optional<std::int32_t> find(std::string_view name) const {
    const std::optional<std::int32_t> number = index_.find(name);
    return number ? std::optional(first_ + *number) : std::nullopt;
  }

  /// Id of `name`; an unknown name gives kUnknown, or DataError if this vocabulary has no unknown row.
  std::int32_t encode(std::string_view name) const {
    const std::optional<std::int32_t> id = find(name);
    check<DataError>(id.has_value() || has_unknown(), "vocabulary: expected one of ", index_.names().size(),
                     " known names, got ", quote_text(name));
    return id.value_or(kUnknown);
  }

  /// Name of `id`; "[PAD]" and "[UNK]" for the reserved ids.  Throws DataError if id is not in [0, size()).
  std::string_view decode(std::int32_t id) const {
    check<DataError>(id >= 0 && id < size(), "vocabulary: expected an id in [0, ", size(), "), got ", id);
    if (id == kPadding) return "[PAD]";
    if (id < first_) return "[UNK]";
    return index_.names()[static_cast<std::size_t>(id - first_)];
  }

  /// Rows of the item table: padding, the unknown row if any, and the real names.
  std::int64_t size() const { return first_ + static_cast<std::int64_t>(index_.names().size()); }
  /// Number of real names.
  std::int64_t num_names() const { return static_cast<std::int64_t>(index_.names().size()); }
  /// Id of the first real name: 1, or 2 with an unknown row.
  std::int32_t first_id() const { return first_; }
  bool has_unknown() const { return first_ == 2; }
  /// Real names in order of id, for from_names().
  const std::vector<std::string>& names() const { return index_.names(); }

  friend bool operator==(const Vocabulary& a, const Vocabulary& b) {
    return a.first_ == b.first_ && a.names() == b.names();
  }

 private:
  std::int32_t first_ = 1;
  detail::TextIndex index_;
};

/// Removes ids from a row of scores [V] by setting them to -infinity, below any score a model can give: a top-k then
/// recognises them exactly.  (torch-rechub writes -1e9, which a large finite score could undercut.)
class VocabMask {
 public:
  /// `invalid_ids` are removed from every row.  Throws DataError if one is not in [0, vocab_size).
  explicit VocabMask(std::int64_t vocab_size, std::span<const std::int32_t> invalid_ids = kPaddingOnly)
      : vocab_size_(vocab_size), invalid_ids_(invalid_ids.begin(), invalid_ids.end()) {
    check<DataError>(vocab_size >= 0, "vocab mask: expected a size of at least 0, got ", vocab_size);
    check_ids(invalid_ids_);
  }

  /// scores_row [V]: the fixed ids and `row_ids` (for example the user's history; padding and repeats are welcome)
  /// become -infinity.  Throws ShapeError if the row is not [V], DataError on an id out of range; scores are then
  /// untouched.
  template <class Scalar>
  void apply(std::span<Scalar> scores_row, std::span<const std::int32_t> row_ids = {}) const {
    check<ShapeError>(static_cast<std::int64_t>(scores_row.size()) == vocab_size_, "vocab mask: expected scores [",
                      vocab_size_, "], got [", scores_row.size(), "]");
    check_ids(row_ids);
    for (const std::span<const std::int32_t> ids : {std::span<const std::int32_t>(invalid_ids_), row_ids}) {
      for (const std::int32_t id : ids) {
        scores_row[static_cast<std::size_t>(id)] = -std::numeric_limits<Scalar>::infinity();
      }
    }
  }

  std::int64_t vocab_size() const { return vocab_size_; }
  std::span<const std::int32_t> invalid_ids() const { return invalid_ids_; }

 private:
  static constexpr std::int32_t kPaddingOnly[] = {Vocabulary::kPadding};

  void check_ids(std::span<const std::int32_t> ids) const {
    for (const std::int32_t id : ids) {
      check<DataError>(id >= 0 && id < vocab_size_, "vocab mask: expected an id in [0, ", vocab_size_, "), got ", id);
    }
  }

  std::int64_t vocab_size_;
  std::vector<std::int32_t> invalid_ids_;
};

}  // namespace hstu
