// SPDX-License-Identifier: MIT
// One layer of Meta's production model from ops: contextual tokens, a windowed history, candidates that do not see each
// other; group norm and gate after attention.
#include <cmath>
#include <cstdio>

#include <hstu/hstu.hpp>

using namespace hstu;

namespace {

constexpr std::int64_t kWidth = 16, kHeads = 2, kHead = 8;

struct Layer {
  Tensor uvqk = parameter(randn({4 * kHeads * kHead, kWidth}, {.seed = 1}, 0.3));
  Tensor weight = parameter(Tensor::full({kHeads}, 1.0)), bias = parameter(Tensor::zeros({kHeads}));
  Tensor output = parameter(randn({kWidth, 3 * kHeads * kHead}, {.seed = 2}, 0.1));

  /// x [T, D] → [T, D]; `targets` candidates end every sequence.
  Tensor operator()(const Tensor& x, const Tensor& offsets, const Tensor& targets) const {
    const Tensor parts = linear_silu(layer_norm(x, 1e-6), uvqk, {});
    constexpr std::int64_t kColumns = kHeads * kHead;
    const Columns v(parts, kColumns, kColumns), q(parts, 2 * kColumns, kColumns), k(parts, 3 * kColumns, kColumns);
    const Tensor u = split_columns(parts, {kColumns, 3 * kColumns})[0];
    const AttentionOptions options{.num_heads = kHeads,
                                   .alpha = 1.0 / std::sqrt(double{kHead}),
                                   .normalizer = 64.0,
                                   .mask = {.contextual_seq_len = 2, .max_attn_len = 12, .min_full_attn_seq_len = 4},
                                   .num_targets = targets};
    const Tensor attended = hstu_attention(q, k, v, offsets, {}, options);
    const Tensor gated = gated_output(attended, u, weight, bias,
                                      {.groups = kHeads, .activation = GateActivation::none, .concat_u = true,
                                       .concat_x = true});
    return linear(gated, output, {}, x);
  }
};

}  // namespace

int main() {
  const Layer layer;
  const Tensor offsets = Tensor::from(std::vector<std::int64_t>{0, 40, 65});  // two users
  const Tensor targets = Tensor::from(std::vector<std::int64_t>{5, 3});       // their last tokens are candidates
  Tensor x = randn({65, kWidth}, {.seed = 3});
  const Tensor before = layer(x, offsets, targets);

  // Another candidate beside them changes nothing for the others.
  x.rows(39, 40).copy_from(randn({1, kWidth}, {.seed = 4}));
  const Tensor after = layer(x, offsets, targets);
  const bool others_stay = before.rows(35, 39).to_vector<float>() == after.rows(35, 39).to_vector<float>();
  const bool it_changed = before.rows(39, 40).to_vector<float>() != after.rows(39, 40).to_vector<float>();
  std::printf("candidates beside a changed one: %s\n", others_stay ? "the same bits" : "changed");

  // Training works as with any op.
  backward(mean(after * after));
  std::printf("gradient of the projection: %.3g at its first entry\n",
              static_cast<double>(grad(layer.uvqk).values<float>()[0]));
  return others_stay && it_changed && grad(layer.weight).defined() ? 0 : 1;
}
