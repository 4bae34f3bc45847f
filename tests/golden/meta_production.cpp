// SPDX-License-Identifier: MIT
// Families computed by Meta's production ops: masked attention, attention of delta queries over cached keys, gated
// output.
#include <hstu/ops/gated_output.hpp>
#include <hstu/ops/hstu_attention.hpp>
#include <hstu/ops/paged_attention.hpp>

#include "golden_file.hpp"

namespace hstu::golden {

namespace {

/// What the configuration says about an attention, checked against in.offsets.
struct MetaAttention {
  Tensor offsets;
  AttentionOptions options;

  explicit MetaAttention(GoldenFile& file) {
    offsets = file.raw("in.offsets").to(DType::int64);
    std::vector<std::int64_t> bounds{0};
    for (const auto length : file.option<std::vector<std::int64_t>>("lens")) bounds.push_back(bounds.back() + length);
    check<CheckpointError>(offsets.to_vector<std::int64_t>() == bounds, file.origin(), ": in.offsets and lens differ");
    options = {.num_heads = file.option<std::int64_t>("H"),
               .alpha = file.option<double>("alpha"),
               .normalizer = file.option<double>("N"),
               .mask = {.contextual_seq_len = file.option_or<std::int64_t>("contextual_seq_len", 0),
                        .max_attn_len = file.option_or<std::int64_t>("max_attn_len", 0),
                        .min_full_attn_seq_len = file.option_or<std::int64_t>("min_full_attn_seq_len", 0)}};
    if (file.has_option("num_targets")) {
      options.num_targets = Tensor::from(file.option<std::vector<std::int64_t>>("num_targets"));
    }
    if (file.has("in.attn_scale")) options.attn_scale = file.real("in.attn_scale");
  }
};

/// [T, H, d] as [T, H·d].
Tensor tokens_of(GoldenFile& file, const char* name) {
  const Tensor x = file.real(name);
  check<CheckpointError>(x.rank() == 3, file.origin(), ": ", name, " must be [T, H, d], got ", x.shape());
  return x.reshaped({x.size(0), x.size(1) * x.size(2)});
}

/// The last `delta` queries of one user over its keys and values, which go into pages first.
template <class Scalar>
Tensor attend_to_pages(const PageLayout& layout, const SequenceMask& mask, const Tensor& q, const Tensor& k,
                       const Tensor& v, const AttentionOptions& options) {
  const std::int64_t pages = layout.pages_for(mask.length), delta = q.size(0);
  Tensor memory({std::max<std::int64_t>(pages, 1), layout.size()}, q.dtype());
  std::vector<const Scalar*> addresses;
  for (std::int64_t p = 0; p < pages; ++p) addresses.push_back(memory.data<Scalar>() + p * layout.size());
  for (std::int64_t i = 0; i < mask.length; ++i) {
    detail::write_position(layout, memory.mutable_data<Scalar>() + i / layout.positions * layout.size(),
                           i % layout.positions, k.data<Scalar>() + i * k.size(1), v.data<Scalar>() + i * v.size(1));
  }
  std::vector<CachedQuery> queries;
  for (std::int64_t i = mask.length - delta; i < mask.length; ++i) {
    queries.push_back({.place = mask.place(i), .keys = mask.keys_of(i), .sees_itself = i >= mask.targets_begin()});
  }
  const detail::CachedBias<Scalar> no_bias({}, layout.heads, 1, layout.positions);
  const Tensor own_k = k.rows(mask.length - delta, mask.length), own_v = v.rows(mask.length - delta, mask.length);
  return detail::PagedAttention<Scalar>({layout, addresses, queries, no_bias, nullptr, q, own_k, own_v}, options).run();
}

}  // namespace

void run_meta_attention(GoldenFile& file) {
  const MetaAttention attention(file);
  const Tensor q = parameter(tokens_of(file, "in.q")), k = parameter(tokens_of(file, "in.k")),
               v = parameter(tokens_of(file, "in.v"));
  const Tensor y = hstu_attention(q, k, v, attention.offsets, {}, attention.options);
  file.compare("out.y", y, value_tolerance(file.dtype()));
  backward_from(y, tokens_of(file, "in.grad_out"));
  file.compare("grad.q", grad(q), value_tolerance(file.dtype()));
  file.compare("grad.k", grad(k), value_tolerance(file.dtype()));
  file.compare("grad.v", grad(v), value_tolerance(file.dtype()));
}

void run_meta_cached_attention(GoldenFile& file) {
  const MetaAttention attention(file);
  const auto delta = file.option<std::int64_t>("delta");
  const Tensor q = tokens_of(file, "in.delta_q"), k = tokens_of(file, "in.k"), v = tokens_of(file, "in.v");
  const std::int64_t H = attention.options.num_heads;
  const PageLayout layout{.positions = 32, .heads = H, .dqk = q.size(1) / H, .dv = v.size(1) / H};
  const auto bounds = attention.offsets.values<std::int64_t>();
  Tensor y({q.size(0), v.size(1)}, file.dtype());
  const Tensor& targets = attention.options.num_targets;
  for (std::int64_t b = 0; b + 1 < std::ssize(bounds); ++b) {
    const std::int64_t first = bounds[static_cast<std::size_t>(b)], last = bounds[static_cast<std::size_t>(b) + 1];
    const SequenceMask mask{attention.options.mask, last - first,
                            targets.defined() ? targets.data<std::int64_t>()[b] : 0};
    check<CheckpointError>(delta <= mask.length, file.origin(), ": user ", b, " has fewer than delta tokens");
    dispatch_floating("golden", file.dtype(), [&]<class Scalar>(Scalar) {
      y.rows(b * delta, (b + 1) * delta)
          .copy_from(attend_to_pages<Scalar>(layout, mask, q.rows(b * delta, (b + 1) * delta), k.rows(first, last),
                                             v.rows(first, last), attention.options));
    });
  }
  file.compare("out.y", y, value_tolerance(file.dtype()));
}

void run_meta_norm_gate(GoldenFile& file) {
  constexpr double kTolerance = 1e-5;  // the peer computes in float32
  const auto H = file.option<std::int64_t>("H");
  const Tensor x = parameter(file.real("in.x")), u = parameter(file.real("in.u"));
  const Tensor weight = parameter(file.real("in.weight")), bias = parameter(file.real("in.bias"));
  check<CheckpointError>(x.shape() == Shape{file.option<std::int64_t>("T"), H * file.option<std::int64_t>("dv")},
                         file.origin(), ": in.x is ", x.shape(), ", which T, H and dv do not say");
  // The peer's group norm joins both of u and x or none.
  const bool has_groups = file.option<bool>("group_norm");
  const bool concat_u = file.option<bool>("concat_u"), concat_x = file.option<bool>("concat_x");
  const Tensor y = gated_output(x, u, weight, bias,
                                {.eps = file.option<double>("eps"),
                                 .groups = has_groups ? H : 0,
                                 .concat_u = concat_u && (concat_x || !has_groups),
                                 .concat_x = concat_x && (concat_u || !has_groups)});
  file.compare("out.y", y, kTolerance);
  backward_from(y, file.real("in.grad_out"));
  file.compare("grad.x", grad(x), kTolerance);
  file.compare("grad.u", grad(u), kTolerance);
  file.compare("grad.weight", grad(weight), kTolerance);
  file.compare("grad.bias", grad(bias), kTolerance);
}

}  // namespace hstu::golden
