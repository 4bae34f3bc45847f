// SPDX-License-Identifier: MIT
// Which row of the item table an item has: its own, or one that it shares with the items of the same hash.
#pragma once
#include <hstu/core/tensor.hpp>

namespace hstu {

/// With `table_rows` = N > 0, item v ≥ 1 has row 1 + mix(v) mod (N − 1), mix being the finaliser of SplitMix64: a table
/// of fixed size, in which two items share a row with probability 1 / (N − 1); of V items about
/// (N − 1)·(1 − (1 − 1/(N − 1))^V) rows are used.  Padding keeps row 0.
class ItemRows {
 public:
  ItemRows(std::int64_t num_items, std::int64_t table_rows) : num_items_(num_items), table_rows_(table_rows) {}

  bool are_hashed() const { return table_rows_ > 0; }
  /// Rows of the table, padding included.
  std::int64_t size() const { return are_hashed() ? table_rows_ : num_items_; }

  std::int64_t row_of(std::int64_t item) const {
    return !are_hashed() || item == 0 ? item : 1 + static_cast<std::int64_t>(mix(item) % rows());
  }
  /// int32, of `items`, int32 or int64 of any shape; `items` themselves if they are not hashed.
  /// Throws DataError for an item outside [0, num_items).
  Tensor of(const Tensor& items) const {
    if (!are_hashed()) return items;
    Tensor result(items.shape(), DType::int32);
    dispatch_integer("item_rows", items.dtype(), [&]<class Index>(Index) {
      std::ranges::transform(items.values<Index>(), result.mutable_data<std::int32_t>(), [&](Index item) {
        check<DataError>(item >= 0 && item < num_items_, "item_rows: item ", item, " is outside of the ", num_items_,
                         " items");
        return static_cast<std::int32_t>(row_of(item));
      });
    });
    return result;
  }
  /// Of all items, int32 [V].
  Tensor of_all() const {
    Tensor result({num_items_}, DType::int32);
    for (std::int64_t item = 0; item < num_items_; ++item) {
      result.mutable_data<std::int32_t>()[item] = static_cast<std::int32_t>(row_of(item));
    }
    return result;
  }

 private:
  std::uint64_t rows() const { return static_cast<std::uint64_t>(table_rows_ - 1); }
  /// Steele, Lea & Flood 2014, Fast splittable pseudorandom number generators.
  static std::uint64_t mix(std::int64_t item) {
    std::uint64_t x = static_cast<std::uint64_t>(item) + 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }

  std::int64_t num_items_, table_rows_;
};

}  // namespace hstu
