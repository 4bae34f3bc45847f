// SPDX-License-Identifier: MIT
// Rows of a table by id.
#pragma once
#include <hstu/ops/reshape.hpp>

namespace hstu {

/// y[i] = weight[ids[i]] with weight [V, D], ids int32 or int64 of any shape, y [ids..., D];
/// dweight[ids[i]] += dy[i] unless ids[i] is padding_id; docs/math.md (20).  padding_id -1: no padding row.
/// The padding row is read like any other, as torch.nn.Embedding does.
/// Throws DataError for an id outside [0, V), ConfigError for such a padding_id.
inline Tensor embedding(const Tensor& weight, const Tensor& ids, std::int64_t padding_id = -1) {
  detail::check_defined("embedding", "weight", weight);
  detail::check_defined("embedding", "ids", ids);
  check<ShapeError>(weight.rank() == 2, "embedding: weight must be [V, D], got ", weight.shape());
  check<ConfigError>(padding_id >= -1 && padding_id < weight.size(0), "embedding: padding_id must be -1 or in [0, ",
                     weight.size(0), "), got ", padding_id);
  return record("embedding", detail::copy_rows("embedding", "id", weight, ids), {weight},
                [weight = weight.without_data(), ids = ids.detach(), padding_id](const Tensor& dy, Accumulator& into) {
    detail::scatter_rows("embedding", "id", dy, ids, padding_id, into.buffer(weight));
  });
}

}  // namespace hstu
